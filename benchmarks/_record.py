"""Runs a benchmark and puts what it prints into `docs/benchmarks.md`, in place of what an earlier run printed there.

python benchmarks/_record.py peers_client [arguments of the benchmark]
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs" / "benchmarks.md"


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    name, *arguments = sys.argv[1:]
    block = re.compile(rf"(?<=<!-- {re.escape(name)} -->\n```text\n).*?(?=^```$)", re.M | re.S)
    if not block.search(PAGE.read_text(encoding="utf-8")):
        raise SystemExit(f"{PAGE.name} has no block for {name!r}")
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout)
    if done.returncode:
        raise SystemExit(f"{name} failed, so nothing was recorded")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(block.sub(lambda _: done.stdout.rstrip() + "\n", text, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
