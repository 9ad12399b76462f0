"""Ids of tool calls that differ within a conversation, whatever the endpoint sends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

_LENGTH: Final = 9
"""Bytes of the digest: 72 bits, so that two rounds never share one by chance."""


class CallIds:
    """The ids of one answer.

    An id of the endpoint's own stays, unless the conversation or the answer has it already. Ids made here are a digest
    of the request: they differ between rounds, for each round's request differs, and a recorded conversation gives the
    same ids when it is replayed.
    """

    def __init__(self, request: bytes = b"", messages: Sequence[Mapping[str, object]] = (), *, choice: int = 0) -> None:
        self._request = request
        self._messages = messages
        self._choice = choice
        self._seed = ""
        self._count = 0
        self._known: set[str] | None = None

    def admit(self, given: str) -> str:
        """The id for a new call: `given`, or one made here if it is blank or known."""
        known = self._known
        if known is None:
            self._known = known = set(ids_in(self._messages))
        own = given
        while not own.strip() or own in known:
            own = f"call_{self._prefix()}_{self._count}"
            self._count += 1
        known.add(own)
        return own

    def _prefix(self) -> str:
        if not self._seed:
            key = str(self._choice).encode()
            self._seed = hashlib.blake2b(self._request, digest_size=_LENGTH, key=key).hexdigest()
        return self._seed


def ids_in(messages: Iterable[Mapping[str, object]]) -> Iterable[str]:
    """The ids of the tool calls in `messages`."""
    for message in messages:
        for call in cast("Iterable[Mapping[str, object]]", message.get("tool_calls") or ()):
            yield str(call.get("id"))


def with_own_ids(messages: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """`messages`, in which no two tool calls share an id; results follow their calls.

    Endpoints refuse a conversation in which an id comes twice, and some hand out the same ids in every answer.
    """
    every = list(ids_in(messages))
    if len(every) == len(set(every)):
        return list(messages)
    seen: set[str] = set()
    waiting: dict[str, list[str]] = {}
    out: list[dict[str, object]] = []
    for message in messages:
        if calls := cast("Sequence[Mapping[str, object]]", message.get("tool_calls") or ()):
            waiting = {}
            renamed: list[object] = []
            for call in calls:
                given = str(call.get("id"))
                own, number = given, 2
                while own in seen or (own != given and own in every):
                    own, number = f"{given}_{number}", number + 1
                seen.add(own)
                waiting.setdefault(given, []).append(own)
                renamed.append({**call, "id": own})
            out.append({**message, "tool_calls": renamed})
        elif message.get("role") == "tool" and (line := waiting.get(str(message.get("tool_call_id")))):
            out.append({**message, "tool_call_id": line.pop(0) if len(line) > 1 else line[0]})
        else:
            out.append(message)
    return out
