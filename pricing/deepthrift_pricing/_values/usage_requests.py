"""What a provider says of requests that it bills by themselves: searches, fetched pages, pages read by OCR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

KINDS: Final[Mapping[str, str]] = {
    "web_search": "search",
    "deepseek_web_search": "search",
    "search": "search",
    "web_fetch": "fetch",
    "deepseek_read_url": "fetch",
    "read_url": "fetch",
    "fetch": "fetch",
    "ocr_page": "ocr_page",
    "file_search": "file_search",
    "code_execution": "code_execution",
}
"""Names of server tools, and the kinds of requests that they make."""
_FIELDS: Final = ("server_tool_use", "server_tool_calls", "server_tools", "tool_usage")
"""The fields of a usage that hold such counts; the first is Anthropic's, and DeepSeek's in its Messages form."""
_TOP: Final = ("web_search_requests", "web_fetch_requests", "num_search_queries")
_MOST: Final = 10**6
"""More requests than a call can make: a larger number is a fault, not a count."""


def kind_of(name: str) -> str | None:
    """The kind of request that a field such as `web_search_requests` counts, or `None`."""
    plain = name.removesuffix("_requests").removesuffix("_calls").removesuffix("_count")
    for each in (plain, plain.removesuffix("s"), plain.removesuffix("es")):
        if each in KINDS:
            return KINDS[each]
    return None


def parse_requests(raw: Mapping[str, object], notes: list[str]) -> dict[str, int]:
    """The counts by kind; a count that can't be is noted, and 0 is kept: it says that nothing was done."""
    found: dict[str, int] = {}
    for field in _FIELDS:
        held = raw.get(field)
        if not isinstance(held, Mapping):
            continue
        for name, value in cast("Mapping[object, object]", held).items():
            if isinstance(name, str) and (kind := kind_of(name)) is not None:
                _add(found, kind, _count(value, f"{field}.{name}", notes))
    if not found:
        for name in _TOP:
            if name in raw:
                _add(found, "search" if name != "web_fetch_requests" else "fetch", _count(raw[name], name, notes))
    return found


def _add(found: dict[str, int], kind: str, count: int | None) -> None:
    if count is not None:
        found[kind] = found.get(kind, 0) + count


def _count(value: object, where: str, notes: list[str]) -> int | None:
    if isinstance(value, Mapping):
        fields = cast("Mapping[object, object]", value)
        value = next((fields[name] for name in ("count", "requests", "num_requests") if name in fields), None)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return value
    notes.append(f"{where} is not a count of requests: {repr(value)[:40]}")
    return None
