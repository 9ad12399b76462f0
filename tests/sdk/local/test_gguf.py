"""Reading the head of a model file: what it says, and every way in which it can be broken."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deepthrift.errors import ModelFileError
from deepthrift.local import Family, read_header
from deepthrift.local._engine.templates import family_of
from deepthrift.local._models.gguf import _BLOCKS


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, raw: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + raw


def tensor(name: str, *dimensions: int, kind: int = 0, offset: int = 0) -> bytes:
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


ARCHITECTURE = entry("general.architecture", 8, text("llama"))


def head(*entries: bytes, tensors: tuple[bytes, ...] = (), version: int = 3) -> bytes:
    counts = struct.pack("<IQQ", version, len(tensors), len(entries))
    return b"GGUF" + counts + b"".join(entries) + b"".join(tensors)


def padded(raw: bytes, data: int, alignment: int = 32) -> bytes:
    return raw + bytes(-len(raw) % alignment) + bytes(data)


@pytest.fixture
def written(tmp_path: Path):
    def write(raw: bytes, name: str = "model.gguf") -> Path:
        path = tmp_path / name
        path.write_bytes(raw)
        return path

    return write


def test_reads_what_the_reference_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Written")
    writer.add_context_length(8192)
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list(["a", "b", "ü"])
    writer.add_token_types([1, 1, 1])
    writer.add_rope_freq_base(10_000.0)
    writer.add_add_bos_token(True)
    writer.add_tensor("one", np.ones((3, 5), np.float32))
    packed = gguf.quants.quantize(np.ones((4, 64), np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("two", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    found = read_header(path)
    assert (found.architecture, found.name, found.context_length) == ("llama", "Written", 8192)
    assert (found.tokens, found.v31_vocabulary, found.chat_template) == (3, False, "{{ messages }}")
    assert found.size == path.stat().st_size
    reference = gguf.GGUFReader(path)
    assert found.metadata == {
        name: field.contents()
        for name, field in reference.fields.items()
        if not name.startswith("GGUF.") and field.types[0] is not gguf.GGUFValueType.ARRAY
    }


def test_tells_v31_by_its_vocabulary(tiny: Path) -> None:
    found = read_header(tiny)
    assert (found.architecture, found.tokens, found.context_length) == ("deepseek2", 129_280, 163_840)
    assert found.v31_vocabulary
    assert family_of(found) is Family.DEEPSEEK_V31


def test_tensor_sizes_are_the_reference_ones() -> None:
    assert {kind: gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)] for kind in _BLOCKS} == _BLOCKS


def test_one_byte_less_is_told(tiny: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(tiny.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match=f"cut short: it has {tiny.stat().st_size - 1:,} bytes and needs"):
        read_header(short)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a GGUF file"),
        (b"<!DOCTYPE html>", "looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer file"),
        (b"GGUF", "cut short"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack(">I", 3), "big-endian"),
        (head(ARCHITECTURE)[:-2], "cut short"),
        (head(), "does not name its architecture"),
        (head(entry("general.architecture", 8, text(""))), "does not name its architecture"),
        (head(entry("general.architecture", 4, struct.pack("<I", 7))), "does not name its architecture"),
        (head(ARCHITECTURE, entry("x", 13, b"")), "unknown type 13"),
        (head(ARCHITECTURE, entry("x", 9, struct.pack("<IQ", 99, 1))), "unknown type 99"),
        (head(ARCHITECTURE, entry("x", 9, struct.pack("<IQ", 8, 2**63))), "promises"),
        (head(ARCHITECTURE, entry("x", 9, struct.pack("<IQ", 10, 2**60))), "cut short"),
        (head(ARCHITECTURE, entry("x", 9, struct.pack("<IQ", 9, 1) * 5 + bytes(64))), "nested too deeply"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "promises"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "promises"),
        (head(ARCHITECTURE, entry("general.alignment", 4, struct.pack("<I", 0))), "alignment is 0"),
        (head(ARCHITECTURE, entry("general.alignment", 4, struct.pack("<I", 48))), "alignment is 48"),
        (head(ARCHITECTURE, tensors=(tensor("t", *[1] * 9),)), "9 dimensions"),
        (padded(head(ARCHITECTURE, tensors=(tensor("t", 10),)), 39), "cut short"),
        (padded(head(ARCHITECTURE, tensors=(tensor("t", 1, offset=2**63),)), 64), "cut short"),
        (padded(head(ARCHITECTURE, tensors=(tensor("t", 2**62, 2**62),)), 64), "cut short"),
    ],
)
def test_broken_files_are_told(written, raw: bytes, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        read_header(written(raw))


def test_exact_size_is_enough(written) -> None:
    path = written(padded(head(ARCHITECTURE, tensors=(tensor("t", 10), tensor("q", 64, kind=2, offset=64))), 100))
    found = read_header(path)
    assert (found.architecture, found.name, found.context_length) == ("llama", "model", None)
    assert family_of(found) is Family.OTHER


def test_unknown_tensor_types_count_by_their_place(written) -> None:
    raw = head(ARCHITECTURE, tensors=(tensor("t", 10, kind=9999, offset=64),))
    assert read_header(written(padded(raw, 64))).architecture == "llama"
    with pytest.raises(ModelFileError, match="cut short"):
        read_header(written(padded(raw, 63)))


def test_version_2_and_odd_text_are_read(written) -> None:
    odd = text("n") + struct.pack("<I", 8) + struct.pack("<Q", 2) + b"\xff\xfe"
    assert read_header(written(head(ARCHITECTURE, odd, version=2))).metadata["n"] == "��"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(ModelFileError, match="is a folder"):
        read_header(tmp_path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_header("nul\0byte.gguf")


def split_part(number: int, count: int) -> bytes:
    return head(
        ARCHITECTURE,
        entry("split.no", 2, struct.pack("<H", number)),
        entry("split.count", 2, struct.pack("<H", count)),
    )


def test_split_sets(written) -> None:
    first = written(split_part(0, 2), "big-00001-of-00002.gguf")
    with pytest.raises(ModelFileError, match="not complete"):
        read_header(first)
    second = written(split_part(1, 2), "big-00002-of-00002.gguf")
    found = read_header(first)
    assert found.files == (first, second)
    assert found.size == first.stat().st_size + second.stat().st_size
    with pytest.raises(ModelFileError, match="later part"):
        read_header(second)
    second.write_bytes(split_part(1, 2)[:-1])
    with pytest.raises(ModelFileError, match=r"00002-of-00002.*cut short"):
        read_header(first)
    with pytest.raises(ModelFileError, match="original names"):
        read_header(written(split_part(0, 2), "renamed.gguf"))


WHOLE = padded(
    head(
        ARCHITECTURE,
        entry("llama.context_length", 4, struct.pack("<I", 4096)),
        entry("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 3) + text("a") + text("b") + text("<think>")),
        entry("deep", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 5, 2) + bytes(8)),
        entry("tokenizer.chat_template", 8, text("{{ messages }}")),
        tensors=(tensor("t", 32, 2, kind=8), tensor("u", 4, offset=96)),
    ),
    112,
)


def only_model_file_errors(path: Path) -> None:
    try:
        found = read_header(path)
    except ModelFileError as error:
        assert str(path) in error.message  # noqa: PT017
    else:
        assert found.architecture


@given(raw=st.binary(max_size=400))
@example(WHOLE)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_a_model_file_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "garbage.gguf"
    path.write_bytes(raw if raw.startswith(b"GGUF") else b"GGUF\x03\x00\x00\x00" + raw)
    only_model_file_errors(path)


@given(changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4), end=st.integers(0))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
def test_damage_is_a_model_file_error(tmp_path: Path, changes: list[tuple[int, int]], end: int) -> None:
    raw = bytearray(WHOLE)
    for place, value in changes:
        raw[place] = value
    path = tmp_path / "damaged.gguf"
    path.write_bytes(bytes(raw[: end if end < len(raw) else len(raw)]))
    only_model_file_errors(path)
