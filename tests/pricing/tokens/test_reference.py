"""Against the real thing: Hugging Face's tokenizer on DeepSeek's file, and DeepSeek's template in jinja2."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from deepthrift_pricing.tokens import encode, encode_messages, render, vocabulary
from tests.support import token_goldens, v31_reference
from tests.support.conversations import conversations
from tests.support.corpus import documents, every_code_point
from tests.support.token_goldens import official_prompt
from tools import build_vocabulary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("v31-reference")]

CORPUS_MEGABYTES = 24
BATCH = 2_000


def mismatches(texts: Iterator[str]) -> tuple[list[str], int]:
    """The texts that are encoded otherwise than by the reference, and the bytes compared."""
    reference = v31_reference.tokenizer()
    wrong: list[str] = []
    size = 0
    while batch := list(islice(texts, BATCH)):
        expected = reference.encode_batch(batch, add_special_tokens=False)
        size += sum(len(text.encode()) for text in batch)
        # Source code may hold the text of a special token, which the reference reads as that token.
        literal = set(vocabulary().special.values())
        wrong += [
            text
            for text, made in zip(batch, expected, strict=True)
            if made.ids != encode(text) and literal.isdisjoint(made.ids)
        ]
    return wrong, size


def test_a_large_corpus_is_encoded_alike() -> None:
    wrong, size = mismatches(text for _, text in documents(CORPUS_MEGABYTES, seed=1))
    assert wrong == []
    assert size > 20e6


def test_every_code_point_is_encoded_alike_in_many_contexts() -> None:
    wrong, _ = mismatches(every_code_point())
    assert wrong == []


def test_runs_of_every_length_are_encoded_alike() -> None:
    borders = ("", "x", " x", "中", "1", "!", "\n", "\nx", "\u0301", "\u3041")
    runs = (
        f"{before}{unit * length}{after}"
        for before in ("", "a", "!")
        for unit in (" ", "\t", "\u3000", "\u200d", "\u3040", "\u3097", "\x00", "\n", " \n")
        for after in borders
        for length in range(1, 200)
    )
    wrong, _ = mismatches(runs)
    assert wrong == []


def test_prompts_are_rendered_alike() -> None:
    made = [conversation for conversation in conversations(1_000, seed=2) if conversation.tools is None]
    assert len(made) > 600
    for conversation in made:
        messages, mode = conversation.messages, conversation.mode
        prompt = render(messages, mode=mode)
        assert prompt == official_prompt(messages, mode, prefix=conversation.prefix)
        ids = v31_reference.tokenizer().encode(prompt, add_special_tokens=False).ids
        assert encode_messages(messages, mode=mode, literals="control") == ids


def test_the_packaged_vocabulary_is_the_reference_one(tmp_path: Path) -> None:
    tokenizer = json.loads(v31_reference.tokenizer_json())
    assert build_vocabulary.token_table(tokenizer) == list(vocabulary().tokens)
    bytes_of = build_vocabulary.byte_of_character()
    merges = (merge.split(" ") if isinstance(merge, str) else merge for merge in tokenizer["model"]["merges"])
    expected = [tuple(bytes(bytes_of[character] for character in part) for part in merge) for merge in merges]
    assert list(vocabulary().merges()) == expected


def test_the_goldens_are_up_to_date() -> None:
    assert json.loads(json.dumps(token_goldens.build())) == token_goldens.load()
