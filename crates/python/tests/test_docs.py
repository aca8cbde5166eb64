"""The examples of docstrings and of docs/python.md are run beside the guide's server."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

from majordomo import client as majordomo
from support import ROOT, Served

MODULES = ("", "._sync", "._aio", "._lease", "._aio_lease")
SOURCE = str(Path(majordomo.__file__).parents[2])
# A block of the page, and what it prints.
EXAMPLE = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


class Docs(unittest.TestCase):
    served: Served

    @classmethod
    def setUpClass(cls) -> None:
        cls.served = Served("guide.toml")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.served.close()

    def test_examples_of_docstrings(self) -> None:
        names = {name: getattr(majordomo, name) for name in ("Client", "AsyncClient")}
        flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
        n_tried = 0
        with mock.patch.dict(os.environ, {"MAJORDOMO_SOCKET": self.served.socket}):
            for suffix in MODULES:
                module = importlib.import_module(f"majordomo.client{suffix}")
                results = doctest.testmod(module, extraglobs=names, optionflags=flags)
                self.assertEqual(results.failed, 0, module.__name__)
                n_tried += results.attempted
        self.assertGreater(n_tried, 15)

    def test_examples_of_the_page(self) -> None:
        page = (ROOT / "docs/python.md").read_text()
        examples = EXAMPLE.findall(page)
        self.assertEqual(len(examples), page.count("```python"))
        environment = {**os.environ, "MAJORDOMO_SOCKET": self.served.socket, "PYTHONPATH": SOURCE}
        checker = doctest.OutputChecker()
        for script, expected in examples:
            with self.subTest(script):
                ran = subprocess.run(
                    [sys.executable, "-W", "error", "-c", script],
                    capture_output=True,
                    text=True,
                    env=environment,
                    timeout=60,
                )
                self.assertEqual((ran.returncode, ran.stderr), (0, ""))
                self.assertTrue(checker.check_output(expected, ran.stdout, doctest.ELLIPSIS), ran.stdout)


if __name__ == "__main__":
    unittest.main()
