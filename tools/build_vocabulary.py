"""Build the packaged V3.1 vocabulary from DeepSeek's own `tokenizer.json`.

    python tools/build_vocabulary.py path/to/tokenizer.json

The input is pinned by its sha256. What is not kept follows by rule, and is checked here: the 256 single bytes are the
ids 3 to 258, every merge makes the next id from 259 on, so an id is also a merge rank; the added tokens are listed in
`deepthrift_pricing.tokens`. What is kept is the bytes of the ids 3 to 127999: all lengths, one byte each, then all
bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import sys
from pathlib import Path
from typing import Any

from deepthrift_pricing.tokens import SPECIAL_TOKENS

SOURCE_SHA256 = "32b34a41212e92f62e859cbbea121ae705a1fabbf157d9acf22d134ecd8dcf70"
TARGET = Path(__file__).parents[1] / "pricing/deepthrift_pricing/tokens/deepseek-v3.1.xz"
FIRST_ID, SINGLE_BYTES, END_ID = 3, 256, 128_000


def byte_of_character() -> dict[str, int]:
    """The printable stand-ins that byte-level BPE writes for the 256 bytes, read backwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}


def token_table(tokenizer: dict[str, Any]) -> list[bytes]:
    """The bytes of the ids 3 to 127999, in id order, after checking every rule that the package relies on."""
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    if added != dict(SPECIAL_TOKENS):
        raise SystemExit("the added tokens differ from deepthrift_pricing.tokens.SPECIAL_TOKENS")
    bytes_of = byte_of_character()
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    by_id = {
        token_id: bytes(bytes_of[character] for character in text)
        for text, token_id in vocabulary.items()
        if text not in added
    }
    if sorted(by_id) != list(range(FIRST_ID, END_ID)):
        raise SystemExit("the ids are not 3 to 127999 without gaps")
    if {len(by_id[i]) for i in range(FIRST_ID, FIRST_ID + SINGLE_BYTES)} != {1}:
        raise SystemExit("the ids 3 to 258 are not the single bytes")
    pairs = [m.split(" ") if isinstance(m, str) else m for m in tokenizer["model"]["merges"]]
    if [vocabulary[left + right] for left, right in pairs] != list(range(FIRST_ID + SINGLE_BYTES, END_ID)):
        raise SystemExit("the merges are not in id order")
    return [by_id[token_id] for token_id in range(FIRST_ID, END_ID)]


def main() -> None:
    """Check the source, write the packaged file, print its sha256."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path, help="tokenizer.json of DeepSeek-V3.1")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    source = arguments.tokenizer.read_bytes()
    if hashlib.sha256(source).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{arguments.tokenizer} is not the pinned tokenizer.json (sha256 {SOURCE_SHA256})")
    tokens = token_table(json.loads(source))
    table = bytes(len(token) for token in tokens) + b"".join(tokens)
    packed = lzma.compress(table, preset=9 | lzma.PRESET_EXTREME)
    arguments.output.write_bytes(packed)
    sys.stdout.write(f"{hashlib.sha256(packed).hexdigest()}  {arguments.output.name}  {len(packed):,} bytes\n")


if __name__ == "__main__":
    main()
