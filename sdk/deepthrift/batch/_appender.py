"""A file that lines are added to: what `append` returned from is on the disk, also after a kill or a power cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from deepthrift._types.errors import BatchError
from deepthrift._util.threads import in_thread


class Appender:
    """Adds lines to the end of an open file; lines that come together are written and synced together."""

    def __init__(self, descriptor: int, path: Path, size: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._size = size
        self._lines: list[bytes] = []
        self._written: asyncio.Future[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._broken: BatchError | None = None

    async def append(self, line: bytes) -> None:
        """Add a line, ended by a line feed. Once this was called, cancelling it does not take the line back.

        Raises:
            BatchError: The disk is full, or the like. Nothing more is written after that.
        """
        if self._broken is not None:
            raise self._broken
        loop = asyncio.get_running_loop()
        self._lines.append(line)
        if self._written is None:
            self._written = loop.create_future()
        written = self._written
        if self._flushing is None:
            self._flushing = loop.create_task(self._flush())
        await asyncio.shield(written)

    async def _flush(self) -> None:
        try:
            while self._lines:
                data, written = b"".join(self._lines), self._written
                self._lines, self._written = [], None
                try:
                    await in_thread(self._write, {"data": data})
                except OSError as error:
                    self._broken = BatchError(
                        f"{str(self._path)!r} cannot be written: {error.strerror or error}; make room and run it again"
                    )
                    self._broken.__cause__ = error
                    self._lines.clear()
                for each in (written, self._written if self._broken is not None else None):
                    if each is None or each.done():
                        continue
                    if self._broken is None:
                        each.set_result(None)
                    else:
                        each.set_exception(self._broken)
                        each.exception()  # whoever waited may have been cancelled
        finally:
            self._flushing = None

    def _write(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):  # no torn line, where that can be helped
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    async def aclose(self) -> None:
        """Wait until everything is written, and close the file."""
        try:
            while self._flushing is not None:
                await asyncio.wait([self._flushing])
        finally:
            if self._flushing is None:
                os.close(self._descriptor)
            else:  # cancelled a second time: the thread may still be writing
                self._flushing.add_done_callback(lambda _: os.close(self._descriptor))
