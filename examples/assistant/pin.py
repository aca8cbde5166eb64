"""Makes requirements.txt of requirements.in: the hash of every wheel that the supported Pythons take.

`python pin.py`, with network. Packages are installed without their dependencies, so requirements.in lists those that are used."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHONS = ["3.11", "3.12"]
PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64",
             "manylinux2014_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64"]


def wheels(python, folder):
    """File name and hash of what pip would install, by the package's name in lower case."""
    report = folder / f"{python}.json"
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:",
         "--python-version", python, *platforms, "--target", folder / "unused", "--report", report, "-r", HERE / "requirements.in"],
        check=True)
    return {plain(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
            for item in json.loads(report.read_text())["install"]}


def plain(name):
    return name.lower().replace("_", "-").replace(".", "-")


with tempfile.TemporaryDirectory() as folder:
    found = [wheels(python, Path(folder)) for python in PYTHONS]
blocks = ["# Made by pin.py of requirements.in. Each block begins with the components that need the package.",
          f"# python: {' '.join(PYTHONS)}", "# platform: Linux x86_64, glibc 2.28"]
for line in (HERE / "requirements.in").read_text().splitlines():
    if line.startswith("#"):
        continue
    pin, components = (part.strip() for part in line.split("#"))
    hashes = dict.fromkeys(hashes[plain(pin.split("==")[0])] for hashes in found)
    blocks.append(f"# for: {components}\n{pin} \\\n" + " \\\n".join(f"    --hash=sha256:{digest}" for digest in hashes))
(HERE / "requirements.txt").write_text("\n".join(blocks) + "\n")
