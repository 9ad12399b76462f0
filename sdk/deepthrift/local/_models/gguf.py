"""Reads the head of a GGUF file, so that a damaged model is told before the engine dies of it.

Only the header, the metadata and the tensor table are read, never the weights. Every length in the file is checked
against the file's size before it is believed. Layout: GGUF versions 2 and 3, as published in ggml's `docs/gguf.md`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from deepthrift._types.errors import ModelFileError

Scalar: TypeAlias = str | int | float | bool

_MAGIC: Final = b"GGUF"
_MAX_HEAD: Final = 256 * 1024 * 1024
_MAX_KEPT_TEXT: Final = 1024 * 1024
_MAX_DEPTH: Final = 3
_MAX_DIMENSIONS: Final = 8
_CHUNK: Final = 1024 * 1024
_DAMAGED: Final = "it is damaged, or not GGUF; fetch it again"

# Value types of the metadata: 8 is text, 9 is an array.
_TEXT: Final = 8
_ARRAY: Final = 9
_SCALARS: Final = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32: Final = _SCALARS[4]
_U64: Final = _SCALARS[10]

# Tensor type -> (weights per block, bytes per block). Types that are missing here are not checked for size.
_BLOCKS: Final = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
    40: (64, 36),
}

# V3.1 added the two search tokens to R1's vocabulary; V3 has none of the four. Their ids are fixed.
_V31_TOKENS: Final = {
    128796: "<｜search▁begin｜>",
    128797: "<｜search▁end｜>",
    128798: "<think>",
    128799: "</think>",
}


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """What the head of a GGUF file tells about the model.

    Attributes:
        path: The file, or the first file of a split set.
        size: Bytes of all files together.
        architecture: llama.cpp's name of the architecture, `"deepseek2"` for DeepSeek V3 and V3.1.
        name: The model's own name, or the file's.
        context_length: Tokens of context that the model was trained for, or `None` if the file does not say.
        tokens: The size of the vocabulary.
        chat_template: The chat template inside the file, or `None`.
        v31_vocabulary: Whether the vocabulary is DeepSeek V3.1's.
        files: Every file of the model, in order.
        metadata: Every single value of the metadata, arrays left out.
    """

    path: Path
    size: int
    architecture: str
    name: str
    context_length: int | None
    tokens: int
    chat_template: str | None = field(repr=False)
    v31_vocabulary: bool
    files: tuple[Path, ...]
    metadata: dict[str, Scalar] = field(repr=False)


def read_header(path: str | Path) -> GGUFHeader:
    """Read and check the head of a GGUF file, and of the further files of a split set.

    Args:
        path: The `.gguf` file, or the first file of a split set (`…-00001-of-00003.gguf`).

    Raises:
        ModelFileError: The file is missing, unreadable, not GGUF, cut short or damaged; the message says which.
    """
    first = Path(path)
    head = _read_file(first)
    files = [first, *_siblings(first, head.metadata)]
    size = head.size + sum(_read_file(file).size for file in files[1:])
    metadata = head.metadata
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise ModelFileError(f"{str(first)!r} does not name its architecture: {_DAMAGED}.")
    context = metadata.get(f"{architecture}.context_length")
    name = metadata.get("general.name")
    template = metadata.get("tokenizer.chat_template")
    return GGUFHeader(
        path=first,
        size=size,
        architecture=architecture,
        name=name if isinstance(name, str) and name else first.stem,
        context_length=context if isinstance(context, int) and context > 0 else None,
        tokens=head.tokens,
        chat_template=template if isinstance(template, str) and template else None,
        v31_vocabulary=head.v31_vocabulary,
        files=tuple(files),
        metadata=metadata,
    )


@dataclass(slots=True)
class _File:
    size: int
    metadata: dict[str, Scalar]
    tokens: int
    v31_vocabulary: bool


def _siblings(first: Path, metadata: dict[str, Scalar]) -> list[Path]:
    count = metadata.get("split.count", 0)
    if not isinstance(count, int) or count <= 1:
        return []
    match = re.fullmatch(r"(.*)-(\d{5})-of-(\d{5})\.gguf", first.name)
    if match is None or int(match[3]) != count:
        raise ModelFileError(
            f"{str(first)!r} is one of {count} files, but is not named like one (…-00001-of-{count:05}.gguf): "
            "give all files their original names."
        )
    if int(match[2]) != 1:
        raise ModelFileError(f"{str(first)!r} is a later part of a split model: give the path of the -00001-of- file.")
    files = [first.with_name(f"{match[1]}-{number:05}-of-{count:05}.gguf") for number in range(2, count + 1)]
    for file in files:
        if not file.is_file():
            raise ModelFileError(f"The split model is not complete: {str(file)!r} is missing; fetch it.")
    return files


def _read_file(path: Path) -> _File:
    try:
        if path.is_dir():
            raise ModelFileError(f"{str(path)!r} is a folder: give the path of a .gguf file.")
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            return _Reader(path, stream, size).read()
    except FileNotFoundError:
        raise ModelFileError(f"There is no model file {str(path)!r}: check the path.") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"The model file {str(path)!r} cannot be read: {error}.") from None


class _Reader:
    """Walks the head of one file. The part read so far stays in memory: some 6 MB for V3.1's vocabulary."""

    def __init__(self, path: Path, stream: BinaryIO, size: int) -> None:
        self._path = path
        self._stream = stream
        self._size = size
        self._data = bytearray()
        self._at = 0
        self._tokens = 0
        self._v31 = False

    def read(self) -> _File:
        magic = self._stream.read(4)
        if magic != _MAGIC:
            hint = "; it looks like a web page or a pointer file" if magic[:1] in (b"<", b"v") else ""
            raise ModelFileError(f"{str(self._path)!r} is not a GGUF file{hint}: the engine runs GGUF models only.")
        self._stream.seek(0)
        self._at = 4
        version = self._u32()
        if version & 0xFFFF == 0 and version:
            raise ModelFileError(f"{str(self._path)!r} is a big-endian GGUF file: fetch a little-endian one.")
        if version not in (2, 3):
            raise ModelFileError(f"{str(self._path)!r} is GGUF version {version}: the engine reads versions 2 and 3.")
        tensors = self._u64()
        entries = self._u64()
        metadata: dict[str, Scalar] = {}
        for _ in range(self._plausible(entries, 13)):
            key = self._text()
            value = self._value(self._u32(), key, 0)
            if value is not None:
                metadata[key] = value
        self._tensor_table(self._plausible(tensors, 24), metadata.get("general.alignment", 32))
        return _File(self._size, metadata, self._tokens, self._v31)

    def _broken(self, what: str) -> ModelFileError:
        return ModelFileError(f"{str(self._path)!r}: {what}: {_DAMAGED}.")

    def _need(self, count: int) -> int:
        """Make `count` bytes available, move past them, and return where they begin."""
        begin = self._at
        end = begin + count
        if end > self._size:
            raise ModelFileError(
                f"{str(self._path)!r} is cut short: it ends at {self._size:,} bytes, inside its header; fetch it again."
            )
        if end > _MAX_HEAD:
            raise self._broken("its header is larger than any model's")
        while len(self._data) < end:
            piece = self._stream.read(max(_CHUNK, end - len(self._data)))
            if not piece:
                raise self._broken("it shrank while it was read")
            self._data += piece
        self._at = end
        return begin

    def _plausible(self, count: int, least: int) -> int:
        """A count of things that take at least `least` bytes each must fit into what is left of the file."""
        if count * least > self._size - self._at:
            raise self._broken(f"it promises {count:,} entries and is only {self._size:,} bytes long")
        return count

    def _u32(self) -> int:
        return int(_U32.unpack_from(self._data, self._need(4))[0])

    def _u64(self) -> int:
        return int(_U64.unpack_from(self._data, self._need(8))[0])

    def _text(self) -> str:
        length = self._u64()
        begin = self._need(length)
        return self._data[begin : begin + min(length, _MAX_KEPT_TEXT)].decode("utf-8", "replace")

    def _value(self, kind: int, key: str, depth: int) -> Scalar | None:
        if kind == _TEXT:
            return self._text()
        if kind == _ARRAY:
            self._array(key, depth)
            return None
        layout = _SCALARS.get(kind)
        if layout is None:
            raise self._broken(f"{key[:80]!r} has the unknown type {kind}")
        value: Scalar = layout.unpack_from(self._data, self._need(layout.size))[0]
        return value

    def _array(self, key: str, depth: int) -> None:
        if depth >= _MAX_DEPTH:
            raise self._broken(f"{key[:80]!r} is nested too deeply")
        kind = self._u32()
        count = self._u64()
        if kind == _TEXT:
            self._texts(self._plausible(count, 8), vocabulary=key == "tokenizer.ggml.tokens")
        elif kind == _ARRAY:
            for _ in range(self._plausible(count, 12)):
                self._array(key, depth + 1)
        elif kind in _SCALARS:
            self._need(count * _SCALARS[kind].size)
        else:
            raise self._broken(f"{key[:80]!r} has the unknown type {kind}")

    def _texts(self, count: int, *, vocabulary: bool) -> None:
        found = 0
        for index in range(count):
            length: int = _U64.unpack_from(self._data, self._need(8))[0]
            begin = self._need(length)
            if (
                vocabulary
                and index in _V31_TOKENS
                and bytes(self._data[begin : self._at]) == _V31_TOKENS[index].encode()
            ):
                found += 1
        if vocabulary:
            self._tokens = count
            self._v31 = found == len(_V31_TOKENS)

    def _tensor_table(self, count: int, alignment: Scalar) -> None:
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise self._broken(f"its alignment is {alignment!r}")
        end = 0
        for _ in range(count):
            name = self._text()
            dimensions = self._u32()
            if dimensions > _MAX_DIMENSIONS:
                raise self._broken(f"the tensor {name[:80]!r} has {dimensions} dimensions")
            weights = 1
            for _ in range(dimensions):
                weights *= self._u64()
            per_block, block_bytes = _BLOCKS.get(self._u32(), (0, 0))
            length = weights // per_block * block_bytes if per_block else 0
            end = max(end, self._u64() + length)
        if count == 0:
            return
        needed = -(-self._at // alignment) * alignment + end
        if needed > self._size:
            raise ModelFileError(
                f"{str(self._path)!r} is cut short: it has {self._size:,} bytes and needs {needed:,}; fetch it again."
            )
