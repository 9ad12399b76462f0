"""What `import deepthrift` does not load: engines, vocabularies, and the HTTP stack before there is a client."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import json, sys
read = []
sys.addaudithook(lambda event, given: read.append(str(given[0])) if event == "open" else None)
import deepthrift
before = sorted(sys.modules)
client = deepthrift.AsyncClient("http://gpu-box:8000/v1")
after = sorted(sys.modules)
client.ledger.close()
print(json.dumps([before, after, [path for path in read if path.endswith(".xz")]]))
"""


def test_what_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    imported, with_client, vocabularies = json.loads(done.stdout)
    heavy = {"xllamacpp", "numpy", "sklearn", "gguf", "tokenizers", "deepthrift.local", "deepthrift_router.cli"}
    assert not heavy & set(with_client)
    assert not {"click", "rich", "httpx", "tenacity"} & set(imported)
    assert "httpx" in with_client
    assert not vocabularies
