#!/usr/bin/env python3
"""Runs the benches beside numpy's OpenBLAS, and prints minima with ratios.

Usage: python3 openblas.py [FILTER]   (needs numpy; any arguments go to criterion)

The minimum of many short samples is what the code costs when nothing disturbs it; the median follows it.
The rival is called through its C interface, not through numpy, whose call alone costs more than a
short dot product.
"""

import glob
import json
import os
import pathlib
import statistics
import subprocess
import sys

import numpy

here = pathlib.Path(__file__).resolve().parent
folder = pathlib.Path(numpy.__file__).resolve().parent.parent / "numpy.libs"
found = glob.glob(str(folder / "libscipy_openblas64_*"))
if not found:
    sys.exit(f"error: no OpenBLAS in {folder}; install numpy from its wheel")

results = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", here / "target")) / "criterion"
environment = dict(os.environ, OPENBLAS=found[0])
subprocess.run(["cargo", "bench", "--", *sys.argv[1:]], cwd=here, env=environment, check=True)

table = {}
for path in results.glob("**/new/benchmark.json"):
    names = json.loads(path.read_text())
    samples = json.loads((path.parent / "sample.json").read_text())
    times = [time / n for time, n in zip(samples["times"], samples["iters"])]
    group = (names["group_id"], int(names["value_str"]))
    table.setdefault(group, {})[names["function_id"]] = (min(times), statistics.median(times))
for (kernel, n), rows in sorted(table.items()):
    best = min(rows.values())[0]
    print(f"\n{kernel}, n = {n}")
    for who, (least, median) in sorted(rows.items(), key=lambda row: row[1]):
        print(f"  {who:<24} {least:>10.1f} ns  {least / best:>6.2f}  (median {median:.1f})")
