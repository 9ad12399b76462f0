"""Everything a release consists of, in dist/: `python tools/dev.py release`.

The wheel and the source distribution are built twice, and must come out alike to the last byte; beside them lie a bill
of materials (CycloneDX) of what the core installs, and the hashes of all of it. Publishing is the workflow's part.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def run(*command: str | Path, **environment: str) -> None:
    """Run a command, and stop if it fails."""
    subprocess.run([str(part) for part in command], cwd=ROOT, env={**os.environ, **environment}, check=True)


def commit_time(root: Path = ROOT) -> str:
    """Seconds since 1970 of the last commit: what every file of a build is dated with."""
    command = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def build(into: Path) -> dict[str, str]:
    """The hashes of a build, by file name."""
    run(sys.executable, "-m", "build", "--outdir", into, ROOT, SOURCE_DATE_EPOCH=commit_time())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(into.iterdir())}


def bill_of_materials(wheel: Path, into: Path) -> None:
    """What installing the core brings along, as CycloneDX JSON, reproducible too."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "venv"
        venv.create(environment, with_pip=True, symlinks=os.name != "nt")
        python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        run(python, "-m", "pip", "install", "--disable-pip-version-check", "-q", wheel)
        run(python, "-m", "pip", "uninstall", "--disable-pip-version-check", "-q", "-y", "pip", "setuptools")
        command = [sys.executable, "-m", "cyclonedx_py", "environment", python]
        run(*command, "--output-reproducible", "--pyproject", ROOT / "pyproject.toml", "--output-file", into)


def main() -> int:
    """Build, compare, describe."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        again = build(Path(folder))
    hashes = build(DIST)
    if hashes != again:
        print(f"two builds of one commit differ:\n{again}\n{hashes}", file=sys.stderr)
        return 1
    [wheel] = DIST.glob("*.whl")
    bill_of_materials(wheel, DIST / "sbom.cdx.json")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
