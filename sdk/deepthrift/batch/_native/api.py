"""The wire of a host's own batch service: files and batches in OpenAI's form."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, TypeVar

import httpx
from pydantic import BaseModel

from deepthrift._call.endpoints.target import Target
from deepthrift._net.sender import Incoming, RequestBody
from deepthrift._types.errors import AttemptTimeout, ConnectionFailed, MalformedResponse
from deepthrift._util.private_files import private_file
from deepthrift._util.secrets import shown_url
from deepthrift._wire.errors.failures import status_error, without_secrets
from deepthrift._wire.events.large import off_loop, read_model
from deepthrift.batch._native.wire import NativeBatch
from deepthrift.hosts import BatchRules

T = TypeVar("T", bound=BaseModel)

_PIECE: Final = 65_536
_ROW: Final = 2**20
"""Bytes that the result of one row may have on average."""
_QUICK: Final = 60.0
"""Seconds that a question without a file may take."""


class _File(BaseModel):
    id: str


class _List(BaseModel):
    data: list[NativeBatch]


class _Upload(RequestBody):
    """A form with a file in it, read piece by piece."""

    def __init__(self, head: bytes, path: Path, tail: bytes) -> None:
        super().__init__(b"")
        self._head, self._path, self._tail = head, path, tail
        self.size = len(head) + path.stat().st_size + len(tail)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.sent = True
        yield self._head
        with self._path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
        yield self._tail


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


class NativeAPI:
    """What a host's batch service is asked. Errors are those of a call."""

    def __init__(self, core: Target, rules: BatchRules) -> None:
        self._core = core
        self._rules = rules

    async def upload(self, path: Path) -> str:
        """Upload the file of requests; returns the host's id of it."""
        boundary = f"deepthrift-{secrets.token_hex(16)}"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{self._rules.purpose}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="batch.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        form = _Upload(head, path, f"\r\n--{boundary}--\r\n".encode())
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        data = await self._post(self._rules.upload, form, form.size, headers, self._core.settings.timeout)
        return self._read(_File, data, "an uploaded file").id

    async def create(self, file_id: str, job: str) -> NativeBatch:
        """Make a batch of an uploaded file."""
        body = {
            "input_file_id": file_id,
            "endpoint": self._rules.endpoint,
            "completion_window": self._rules.window,
            "metadata": {"deepthrift": job},
        }
        return self._read(NativeBatch, await self._json("/batches", body), "a batch")

    async def get(self, batch_id: str) -> NativeBatch:
        """Where a batch stands."""
        return self._read(NativeBatch, await self._get(f"/batches/{batch_id}"), "a batch")

    async def cancel(self, batch_id: str) -> NativeBatch:
        """Ask the host to stop a batch."""
        return self._read(NativeBatch, await self._json(f"/batches/{batch_id}/cancel", {}), "a batch")

    async def find(self, file_id: str) -> NativeBatch | None:
        """The batch that was made of a file, if there is one among the latest."""
        found = self._read(_List, await self._get("/batches"), "a list of batches")
        return next((batch for batch in found.data if batch.input_file_id == file_id), None)

    async def download(self, file_id: str, path: Path, rows: int) -> None:
        """Write a file of the host's, with the results of so many rows, to `path`.

        Raises:
            ResponseTooLarge: It is larger than their results can be.
        """
        timeout = self._core.settings.timeout
        try:
            async with asyncio.timeout(timeout):
                incoming = await self._core.sender.get(f"/files/{file_id}/content")
                try:
                    if incoming.status >= 300:
                        await self._refused(incoming)
                    incoming.limit = max(incoming.limit, rows * _ROW)
                    with private_file(path) as file:
                        while (piece := await incoming.read()) is not None:
                            file.write(piece)
                        await off_loop(_to_disk, file)
                finally:
                    self._core.sender.close_behind(incoming)
        except TimeoutError:
            raise AttemptTimeout(f"the file {file_id!r} did not arrive within {timeout:g} s") from None
        except httpx.HTTPError as error:
            raise ConnectionFailed(f"the connection to {self._where} was lost: {self._said(error)}") from error

    async def _json(self, path: str, body: Mapping[str, object]) -> bytes:
        data = json.dumps(body).encode()
        return await self._post(path, RequestBody(data), len(data), {}, _QUICK)

    async def _post(
        self,
        path: str,
        body: RequestBody,
        size: int,
        headers: Mapping[str, str],
        seconds: float,
    ) -> bytes:
        return await self._exchange(seconds, lambda: self._core.sender.send(path, body, size, headers))

    async def _get(self, path: str) -> bytes:
        return await self._exchange(_QUICK, lambda: self._core.sender.get(path))

    async def _exchange(self, seconds: float, send: Callable[[], Awaitable[Incoming]]) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                incoming = await send()
                try:
                    if incoming.status >= 300:
                        await self._refused(incoming)
                    return await incoming.read_all()
                finally:
                    self._core.sender.close_behind(incoming)
        except TimeoutError:
            raise AttemptTimeout(
                f"{self._core.profile.name}'s batch service did not answer within {seconds:g} s"
            ) from None
        except (httpx.HTTPError, OSError) as error:
            raise ConnectionFailed(f"no answer from {self._where}: {self._said(error)}") from error

    @property
    def _where(self) -> str:
        return shown_url(str(self._core.sender.url))

    def _said(self, error: BaseException) -> str:
        return without_secrets(str(error) or type(error).__name__, *self._core.secrets)

    async def _refused(self, incoming: Incoming) -> NoReturn:
        data = await incoming.read_error()
        raise status_error(
            incoming.status, data, incoming.headers, host=self._core.profile.name, secrets=self._core.secrets
        )

    @staticmethod
    def _read(kind: type[T], data: bytes, what: str) -> T:
        try:
            return read_model(kind, data)
        except (ValueError, RecursionError):
            raise MalformedResponse(
                f"what the endpoint answered is not {what}; has the host a batch service at this URL?"
            ) from None
