"""The notebook runs from its first cell to its last, as Jupyter runs it, and its figures are the ledger's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests.docs.answers import answer
from tests.docs.test_example_programs import ROOT, environment
from tests.support.bill_server import BillServer

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
RUN = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path) -> None:
    made = tmp_path / "made.ipynb"
    with BillServer(answer) as server:
        command = [sys.executable, "-c", RUN, str(NOTEBOOK), str(made)]
        variables = environment(server.url, tmp_path, IPYTHONDIR=str(tmp_path), JUPYTER_RUNTIME_DIR=str(tmp_path))
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        server.quiet()
        asked = len(server.requests)
    cells = json.loads(made.read_text("utf-8"))["cells"]
    printed = ["".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", [])]
    assert "There are 168 primes below 1,000." in printed[1]
    assert printed[2].startswith("standard")
    assert sum(int(count) for count in re.findall(r"(\d+) attempts", printed[3])) == asked >= 3
    booked = sum(Decimal(amount) for amount in re.findall(r"attempts, (\S+) USD", printed[3]))
    assert f"this notebook: {booked:f} USD of 0.1 USD" in printed[3]


def test_it_is_stored_without_what_it_printed() -> None:
    stored = json.loads(NOTEBOOK.read_text("utf-8"))
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert not [cell for cell in code if cell["outputs"] or cell["execution_count"]]
