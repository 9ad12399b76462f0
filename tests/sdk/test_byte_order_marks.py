"""Files that Windows programs wrote: with a byte order mark, in UTF-8 or UTF-16, with CRLF."""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepthrift import Conversation, HostProfile
from deepthrift.batch._input import InputFile
from deepthrift.compare._prompts import read_prompts as read_compared
from deepthrift.errors import InvalidRequestError
from deepthrift_pricing import PriceBook
from deepthrift_router.cli._answers.chatting import read_conversation
from deepthrift_router.cli._money.budgets import load as load_budgets
from deepthrift_router.evaluation import read_outcomes
from deepthrift_router.labels._prompts import read_prompts as read_labelled

MESSAGES = '[{"role": "user", "content": "Grüße\\n你好"}]'
PRICES = '[[price]]\nid = "own"\ncache_miss = "1"\ncompletion = "2"\nsource = "own"\nchecked = 2026-11-01\n'
OUTCOME = '{"id": "a", "query": "2+2?", "standard": "4", "thinking": "4"}'
BUDGET = {
    "amount": "0.5", "currency": "USD", "per": "day", "tags": {}, "host": None, "model": None, "mode": None,
    "zone": "UTC", "policy": "wait", "name": "Größe",
}  # fmt: skip
MARKS = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "conversation": (lambda path: list(Conversation.load(path)), MESSAGES),
    "chat --resume": (read_conversation, MESSAGES),
    "compare": (read_compared, '{"prompt": "Grüße"}\n{"prompt": "你好"}\n'),
    "collect": (read_labelled, '{"query": "Grüße", "answer": "1"}\n"你好"\n'),
    "prices": (lambda path: PriceBook.load(path).rows, PRICES),
    "host profile": (HostProfile.load, 'name = "mine"\n'),
    "budgets": (load_budgets, json.dumps([BUDGET])),
}


def written(path: Path, text: str, encoding: str) -> Path:
    path.write_bytes(MARKS[encoding] + text.replace("\n", "\r\n").encode(encoding))
    return path


@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("name", READERS)
def test_a_mark_is_no_part_of_what_is_read(tmp_path: Path, name: str, encoding: str) -> None:
    read, text = READERS[name]
    plain = tmp_path / "file"
    plain.write_text(text, encoding="utf-8", newline="")
    wanted = read(plain)
    assert read(written(plain, text, encoding)) == wanted


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", MARKS)
def test_recorded_outcomes_with_a_mark_are_read(tmp_path: Path, encoding: str, packed: bool) -> None:
    path = tmp_path / "outcomes.jsonl"
    text = OUTCOME + "\n"
    path.write_text(text)
    wanted = read_outcomes(path)
    data = written(path, text, encoding).read_bytes()
    if packed:
        path.write_bytes(gzip.compress(data))
    assert read_outcomes(path) == wanted


async def test_a_batch_skips_the_mark_also_where_files_were_joined(tmp_path: Path) -> None:
    row = {"custom_id": "a", "body": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}}
    lines = [json.dumps({**row, "custom_id": name}).encode() + b"\r\n" for name in "abc"]
    path = tmp_path / "in.jsonl"
    path.write_bytes(codecs.BOM_UTF8 + lines[0] + lines[1] + codecs.BOM_UTF8 + lines[2])
    file = InputFile(path)
    try:
        assert (await file.scan(lambda row: None)).rows == 3
        assert [row.custom_id for row in file.rows(lambda line: True)] == ["a", "b", "c"]
    finally:
        file.close()


async def test_a_batch_in_utf_16_is_refused_with_advice(tmp_path: Path) -> None:
    file = InputFile(written(tmp_path / "in.jsonl", '{"custom_id": "a"}\n', "utf-16-le"))
    try:
        with pytest.raises(InvalidRequestError, match="save it as UTF-8"):
            await file.scan(lambda row: None)
    finally:
        file.close()
