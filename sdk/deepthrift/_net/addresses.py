"""A socket connected to the first address of a name that answers, with nothing left open when the caller gives up."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
from collections import deque
from typing import Final, TypeAlias, cast

AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

_NEXT: Final = 0.25
"""Seconds after which a further address is tried beside the ones that have not answered (RFC 8305)."""


async def connected(host: str, port: int, local_address: str | None = None) -> socket.socket:
    """A connected socket. A name's addresses are tried in turn, families by turns, without waiting for slow ones.

    Raises:
        OSError: No address answers.
    """
    found = await _found(host, port)
    if len(found) == 1:
        return await _attempt(found[0], local_address)
    return await _first(_by_turns(found), local_address)


async def _found(host: str, port: int) -> list[AddressInfo]:
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not found:
            raise OSError(f"{host!r} has no address") from None
        return cast("list[AddressInfo]", found)
    family = socket.AF_INET if number.version == 4 else socket.AF_INET6
    return [(family, socket.SOCK_STREAM, 0, "", (host, port))]  # a number needs no thread to look it up


async def _first(addresses: list[AddressInfo], local_address: str | None) -> socket.socket:
    todo, pending = deque(addresses), set[asyncio.Task[socket.socket]]()
    errors: list[BaseException] = []
    try:
        while todo or pending:
            if todo:
                pending.add(asyncio.create_task(_attempt(todo.popleft(), local_address)))
            done, _ = await asyncio.wait(pending, timeout=_NEXT if todo else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                pending.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                errors.append(error)
    finally:
        for task in pending:
            task.cancel()
            task.add_done_callback(_discard)
    if len({str(error) for error in errors}) == 1:
        raise errors[0]
    raise OSError("; ".join(map(str, errors)))


async def _attempt(address: AddressInfo, local_address: str | None) -> socket.socket:
    family, kind, protocol, _, target = address
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        if local_address is not None:
            made.bind((local_address, 0))
        await asyncio.get_running_loop().sock_connect(made, target)
    except BaseException:
        made.close()
        raise
    return made


def _discard(task: asyncio.Task[socket.socket]) -> None:
    """Close the socket of an attempt that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _by_turns(found: list[AddressInfo]) -> list[AddressInfo]:
    """The addresses with their families by turns, the system's first choice first."""
    families = list(dict.fromkeys(each[0] for each in found))
    groups = [[each for each in found if each[0] == family] for family in families]
    return [each for turn in itertools.zip_longest(*groups) for each in turn if each is not None]
