#!/usr/bin/env python3
"""Static cycles and instructions of the NEON kernels' inner loops, beside hand-written assembly.

Usage: cargo xtask cross && python3 neon.py TARGET_FOLDER/cross-tools/bin

llvm-mca models every Apple CPU as Cyclone, an old one: a ratio between loops means something, a number
of cycles does not.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile


def by_hand(n_accumulators, n_vectors=8):
    """What one would write in assembly: pairs of loads at offsets, one count, nothing else."""
    lines = []
    for i in range(0, n_vectors, 2):
        lines += [f"ldp q16, q17, [x0, #{16 * i}]", f"ldp q18, q19, [x1, #{16 * i}]"]
        lines += [f"fmla v{i % n_accumulators}.4s, v16.4s, v18.4s"]
        lines += [f"fmla v{(i + 1) % n_accumulators}.4s, v17.4s, v19.4s"]
    n_bytes = 16 * n_vectors
    lines += [f"add x0, x0, #{n_bytes}", f"add x1, x1, #{n_bytes}", "subs x2, x2, #1", "b.ne loop"]
    return "\n".join(lines)


def inner_loops(assembly, kernel):
    """The loops of a function that are one block: label, body, branch back to the label."""
    found = re.search(rf"^_ZN\S*neon\d+{kernel}17h\S*:\n(.*?)\.cfi_endproc", assembly, re.M | re.S)
    if not found:
        sys.exit(f"error: no function {kernel} in the assembly")
    lines = [line.strip() for line in found[1].splitlines() if not line.strip().startswith(".cfi")]
    start = None
    for i, line in enumerate(lines):
        if re.match(r"\.LBB\S+:$", line):
            start = i
        elif start is not None and re.match(r"(b\.\w+|cbn?z|tbn?z)\b.*" + re.escape(lines[start][:-1]) + "$", line):
            yield lines[start + 1 : i + 1]


def cycles(tools, body):
    """Cycles and instructions of one round of a loop, from a thousand."""
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write("loop:\n" + re.sub(r"\.LBB\w+", "loop", body) + "\n")
        file.flush()
        command = [tools / "llvm-mca", "-mtriple=aarch64", "-mcpu=apple-m1", "-iterations=1000", file.name]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    value = lambda name: int(re.search(rf"{name}:\s+(\d+)", report)[1])
    return value("Total Cycles") / 1000, value("Instructions") / 1000


def row(tools, name, body):
    n_fused = len(re.findall(r"\bfmla\b", body))
    n_cycles, n_instructions = cycles(tools, body)
    # Four floats a vector.
    scale = 16 / (4 * n_fused)
    print(f"{name:<34} {n_cycles * scale:>8.2f} {n_instructions * scale:>13.2f}   {n_fused} fmla a round")
    return n_cycles * scale


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tools = pathlib.Path(sys.argv[1]).resolve()
    root = pathlib.Path(__file__).resolve().parents[2]
    target = tools.parent.parent / "cross-assembly"
    triple = "aarch64-unknown-linux-gnu"
    environment = dict(os.environ, RUSTC=str(tools / "rustc"), CARGO_PROFILE_RELEASE_LTO="off")
    build = ["cargo", "rustc", "-q", "-p", "majordomo-simd", "--lib", "--release", "--target", triple]
    build += ["--target-dir", str(target), "--", "--emit", "asm", "-C", "codegen-units=1"]
    subprocess.run(build, cwd=root, env=environment, check=True)
    files = list((target / triple / "release" / "deps").glob("majordomo_simd-*.s"))
    assembly = max(files, key=lambda path: path.stat().st_mtime).read_text()

    print(f"{'per 16 floats':<34} {'cycles':>8} {'instructions':>13}")
    # Every fmla waits for the one before: the form that one writes first.
    base = row(tools, "dot, one accumulator, by hand", by_hand(1))
    for n in (2, 4, 8):
        row(tools, f"dot, {n} accumulators, by hand", by_hand(n))
    for kernel in ("dot_f32", "sum_squares_f32", "matvec_f32", "axpy_f32", "gather_accumulate_f32"):
        loops = ["\n".join(body) for body in inner_loops(assembly, kernel)]
        body = max(loops, key=lambda body: len(re.findall(r"\bfmla\b", body)))
        n_cycles = row(tools, f"{kernel}, intrinsics", body)
        if kernel == "dot_f32":
            print(f"{'':<34} {n_cycles / base:>8.2f} of the one accumulator's cycles")


main()
