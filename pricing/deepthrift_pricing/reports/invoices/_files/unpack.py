"""The tables in a file: plain, in gzip or zip, or in Parquet. Bounded in size, whatever a header says."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from deepthrift_pricing._values.errors import ConfigurationError

MOST_BYTES: Final = 256 * 2**20
"""Of all tables of one invoice together, unpacked."""
MOST_FILES: Final = 1000
_PIECE: Final = 2**20
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_PARQUET: Final = b"PAR1"
_OTHERS: Final = {
    b"%PDF": "a PDF; download the invoice or the usage as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save it as CSV",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"\xfd7zXZ": "packed with xz; unpack it first",
    b"BZh": "packed with bzip2; unpack it first",
    b"(\xb5/\xfd": "packed with zstd; unpack it first",
}
_TABLES: Final = (".csv", ".tsv", ".txt", ".parquet", ".gz", ".csv.gz")


@dataclass(frozen=True, slots=True)
class Source:
    """One table as bytes."""

    name: str
    """What errors call it; empty for the only one."""
    data: bytes
    parquet: bool = False


class Unpacker:
    """Unpacks one invoice."""

    def __init__(self) -> None:
        self._left = MOST_BYTES
        self.skipped: list[str] = []
        """Files of an archive that are no tables."""

    def sources(self, data: bytes, name: str = "") -> list[Source]:
        """The tables in `data`.

        Raises:
            ConfigurationError: It is damaged, encrypted, too large, or of a kind that is not read.
        """
        if data.startswith(_ZIP):
            return list(self._members(data, name))
        return [self._source(data, name)]

    def _source(self, data: bytes, name: str) -> Source:
        shown = name or "the invoice"
        if data.startswith(_GZIP):
            try:
                with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                    data = self._bounded(file, shown)
            except (OSError, EOFError, zlib.error) as error:
                raise ConfigurationError(f"{shown} is packed with gzip and damaged: {error}") from None
        else:
            self._take(len(data), shown)
        if data.startswith(_ZIP):
            raise ConfigurationError(f"{shown} is an archive inside another; unpack it first")
        for magic, what in _OTHERS.items():
            if data.startswith(magic):
                raise ConfigurationError(f"{shown} is {what}")
        return Source(name, data, parquet=data.startswith(_PARQUET))

    def _members(self, data: bytes, name: str) -> Iterator[Source]:
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise ConfigurationError(f"{name or 'the invoice'} is a damaged zip: {error}") from None
        with archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if any(member.filename == "[Content_Types].xml" for member in members):
                raise ConfigurationError(f"{name or 'the invoice'} is an Excel workbook; save it as CSV")
            if len(members) > MOST_FILES:
                raise ConfigurationError(f"the zip holds {len(members):,} files; an invoice has at most {MOST_FILES:,}")
            for member in members:
                base = member.filename.rpartition("/")[2]
                if member.filename.startswith("__MACOSX/") or base.startswith("."):
                    continue
                if not base.lower().endswith(_TABLES):
                    self.skipped.append(member.filename)
                    continue
                yield self._source(self._member(archive, member), member.filename)

    def _member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
        if member.flag_bits & 1:
            raise ConfigurationError(f"{member.filename!r} in the zip is encrypted; unpack it first")
        try:
            with archive.open(member) as file:
                data = self._bounded(file, member.filename)
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, zlib.error, RuntimeError) as error:
            raise ConfigurationError(f"{member.filename!r} in the zip cannot be unpacked: {error}") from None
        self._left += len(data)  # `_source` takes it
        return data

    def _bounded(self, file: IO[bytes] | gzip.GzipFile, shown: str) -> bytes:
        pieces: list[bytes] = []
        while piece := file.read(_PIECE):
            self._take(len(piece), shown)
            pieces.append(piece)
        return b"".join(pieces)

    def _take(self, size: int, shown: str) -> None:
        self._left -= size
        if self._left < 0:
            raise ConfigurationError(
                f"{shown} is larger than {MOST_BYTES // 2**20} MiB unpacked; split it, or give the amount itself"
            )
