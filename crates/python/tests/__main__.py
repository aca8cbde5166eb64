"""Runs all tests: `MAJORDOMO_PROGRAM=PATH python3 crates/python/tests`. The last line is one that `cargo xtask test` reads."""

from __future__ import annotations

import sys
import unittest
import warnings
from pathlib import Path


def main() -> int:
    """Runs them and returns the exit code."""
    here = Path(__file__).parent
    sys.path[:0] = [str(here), str(here.parent / "python")]
    from support import program

    program()
    warnings.simplefilter("error")
    suite = unittest.defaultTestLoader.discover(str(here))
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    n_failed = len({str(test) for test, _ in result.failures + result.errors})
    word = "ok" if result.wasSuccessful() else "FAILED"
    print(f"test result: {word}. {result.testsRun - n_failed} passed; {n_failed} failed", flush=True)
    return 0 if result.wasSuccessful() else 1


sys.exit(main())
