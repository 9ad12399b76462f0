"""The packaged vocabulary."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from deepthrift_pricing.errors import ConfigurationError
from deepthrift_pricing.tokens import SPECIAL_TOKENS, Vocabulary, _vocabulary, vocabulary


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_id_has_its_bytes() -> None:
    words = vocabulary()
    table = {words.token_bytes(token_id): token_id for token_id in range(words.size)}
    assert len(table) == words.size == 128_815
    known = {3: b"!", 258: b"\xad", 19_923: b"Hello", 127_999: "屋檐".encode()}
    assert {token_id: words.token_bytes(token_id) for token_id in known} == known
    assert words.token_bytes(128_798) == b"<think>"


@pytest.mark.parametrize("token_id", [-1, 128_815, 129_279])
def test_an_id_out_of_use_is_refused(token_id: int) -> None:
    with pytest.raises(LookupError, match=r"no token of V3\.1"):
        vocabulary().token_bytes(token_id)


def test_single_bytes_come_first() -> None:
    assert {vocabulary().token_bytes(token_id) for token_id in range(3, 259)} == {bytes([byte]) for byte in range(256)}


def test_special_tokens_have_the_ids_of_the_model_card() -> None:
    known = {
        "<｜begin▁of▁sentence｜>": 0,
        "<｜end▁of▁sentence｜>": 1,
        "<｜▁pad▁｜>": 2,
        "<｜place▁holder▁no▁795｜>": 128_795,
    }
    known |= {
        "<think>": 128_798,
        "</think>": 128_799,
        "<｜User｜>": 128_803,
        "<｜Assistant｜>": 128_804,
        "<|EOT|>": 128_805,
    }
    known |= {"<｜tool▁calls▁begin｜>": 128_806, "<｜tool▁output▁end｜>": 128_813, "<｜tool▁sep｜>": 128_814}
    assert known.items() <= SPECIAL_TOKENS.items()
    assert len(SPECIAL_TOKENS) == 818


def test_merges_make_the_tokens_in_order() -> None:
    """The first ones; all of them are compared with the reference in `test_reference.py`."""
    words = vocabulary()
    ranks = words.ranks()
    merges = list(islice(words.merges(), 3_000))
    assert merges[:2] == [(b" ", b"t"), (b" ", b"a")]
    assert [left + right for left, right in merges] == list(words.tokens[256:3_256])
    assert all(max(ranks[left], ranks[right]) < ranks[left + right] for left, right in merges)


def test_a_damaged_file_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vocabulary, "_loaded", None)
    monkeypatch.setattr(_vocabulary, "SHA256", "0" * 64)
    with pytest.raises(ConfigurationError, match="damaged: reinstall deepthrift"):
        vocabulary()


def test_a_missing_file_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vocabulary, "_loaded", None)
    monkeypatch.setattr(_vocabulary, "FILE", "not-there.xz")
    with pytest.raises(ConfigurationError, match="cannot be read: reinstall deepthrift"):
        vocabulary()


def test_threads_share_one_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vocabulary, "_loaded", None)
    with ThreadPoolExecutor(8) as pool:
        loaded: set[int] = set(pool.map(lambda _: id(vocabulary()), range(32)))
    assert len(loaded) == 1
    assert isinstance(vocabulary(), Vocabulary)


def test_importing_reads_nothing() -> None:
    code = "import sys, deepthrift_pricing.tokens as t; print('tiktoken' in sys.modules, t._vocabulary._loaded)"
    assert python(code) == "False None"


def test_threads_may_count_first_at_the_same_time() -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from deepthrift_pricing.tokens import count_text
with ThreadPoolExecutor(8) as pool:
    print(*set(pool.map(count_text, ["Hello, world!"] * 32)))
"""
    assert python(code) == "4"
