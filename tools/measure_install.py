"""What installing and importing costs, measured in a clean environment and written into the README.

`python tools/measure_install.py` prints; `--write` puts the figures into README.md. Import time is processor time, the
least of many fresh processes, less that of an empty one; sizes leave byte code out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 15
CPU = "import resource; used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime)"
MARKS = ("<!-- measured by tools/measure_install.py -->", "<!-- end of measured -->")


def cpu(python: Path, code: str) -> float:
    """Milliseconds of processor time that a fresh process needs for `code`."""
    command = [str(python), "-I", "-c", f"{code}\n{CPU}"]
    times = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(RUNS)]
    return min(times) * 1000


def size(folder: Path) -> float:
    """Megabytes of the files below a folder, without byte code."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc") / 1e6


def measure() -> str:
    """The figures as a Markdown table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True, symlinks=os.name != "nt")
        python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "install", str(ROOT)], check=True)
        subprocess.run([*pip, "uninstall", "-y", "pip", "setuptools"], check=True)
        [packages] = (folder / "venv").rglob("site-packages")
        count = len(list(packages.glob("*.dist-info")))
        ours = sum(size(packages / each) for each in ("deepthrift", "deepthrift_pricing", "deepthrift_router"))
        empty = cpu(python, "pass")
        imports = {module: cpu(python, f"import {module}") - empty for module in ("deepthrift", "deepthrift_router")}
        rows = [
            ("`pip install`, the core with what it needs", f"{size(packages):.0f} MB in {count} distributions"),
            ("of it our own", f"{ours:.1f} MB, the vocabulary and the price lists included"),
            *((f"`import {module}`", f"{time:.0f} ms of processor time") for module, time in imports.items()),
        ]
    return "\n".join(["| What | Cost |", "|---|---|", *(f"| {what} | {cost} |" for what, cost in rows)])


def main(arguments: list[str]) -> int:
    """Measure, and perhaps write."""
    table = measure()
    print(table)
    if "--write" in arguments:
        readme = ROOT / "README.md"
        text = readme.read_text(encoding="utf-8")
        start, end = map(re.escape, MARKS)
        changed, found = re.subn(f"(?<={start}\n).*?(?={end})", lambda _: f"\n{table}\n\n", text, flags=re.S)
        if found != 1:
            print("README.md lacks the marks between which the figures belong", file=sys.stderr)
            return 1
        readme.write_text(changed, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
