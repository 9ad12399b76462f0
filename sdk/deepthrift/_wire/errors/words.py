"""The host's own words in an error of any shape: what it says, the status that it names, and its codes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from deepthrift._wire.halves import whole

LONGEST: Final = 2000
"""Characters that are kept of a message."""
_DEEPEST: Final = 8
_LONGEST_READ: Final = 65_536
_MESSAGES: Final = (
    "message", "msg", "detail", "errormsg", "errmsg", "errormessage", "errordescription", "statusmsg", "errors",
    "details", "faultstring", "description", "title",
)  # fmt: skip
_ERRORS: Final = ("error", "err", "fault", "exception", "baseresp")
_REASONS: Final = ("metadata", "raw", "innererror", "upstreamerror", "originalerror", "providererror", "cause")
"""Where gateways put what the host behind them said."""
_CODES: Final = (
    "code", "type", "status", "reason", "errorcode", "errcode", "errno", "errortype", "statuscode", "subcode",
)  # fmt: skip
_STATUSES: Final = ("status", "statuscode", "code", "errorcode")
_FINE: Final = frozenset({"", "0", "200", "ok", "success", "succeeded", "none", "null"})
_FAILED: Final = frozenset({"error", "fail", "failed", "failure"})
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Words:
    """What an error says."""

    message: str = ""
    """On one line."""
    status: int | None = None
    """The HTTP status that the body itself names."""
    codes: tuple[str, ...] = ()
    """Codes, types and reasons for programs to read, in lower case."""
    found: bool = True
    """Whether a message was found, and not the JSON itself taken for it."""


def words_of(body: bytes) -> Words:
    """The words in an error's body: JSON, a page or plain text."""
    text = body[:_LONGEST_READ].decode("utf-8", "replace").strip()
    value = json_in(text)
    if value is None:
        return Words(plain(text))
    return words_in(value) if value else Words()


def words_in(value: object) -> Words:
    """The words in the JSON of an error."""
    words = _read(value, 0)
    return replace(words, message=one_line(words.message))


def one_line(text: str) -> str:
    """`text` on one line, without characters that a terminal would obey."""
    text = _ANSI.sub(" ", whole(text[:_LONGEST_READ]))
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())[:LONGEST]


def plain(text: str) -> str:
    """Readable words of a page or a plain text."""
    if "<" in text:  # both patterns take one pass, whatever is never closed
        text = re.sub(r"(?is)<(script|style)\b.*?(?:</\1>|\Z)", " ", text)
        text = re.sub(r"<[^<>]*>", " ", text)
    return one_line(text)


def json_in(text: str | bytes) -> object | None:
    """The JSON in `text`, `None` if it is none."""
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def error_in(value: object, *, answered: bool) -> object | None:
    """The error in the JSON of a success, `None` if it is none.

    Args:
        value: The JSON.
        answered: Whether it has an answer or a usage, so that only what is an error beyond doubt counts.
    """
    if not isinstance(value, Mapping):
        return None
    answer = cast("Mapping[str, object]", value)
    data = _named(answer)
    if any(_is_failure(data.get(name)) for name in _ERRORS if name != "baseresp"):
        return answer
    for choice in _mappings(data.get("choices")):
        if _is_failure(choice.get("error")):
            return {"error": choice["error"]}
    if isinstance(wrapped := data.get("response"), Mapping) and _is_failure(
        _named(cast("Mapping[str, object]", wrapped)).get("error")
    ):
        return answer
    base = data.get("baseresp")
    if isinstance(base, Mapping) and not _fine(cast("Mapping[str, object]", base).get("status_code")):
        return answer
    if answered:
        return None
    failed = (
        any(data.get(name) not in (None, "", [], {}) for name in _MESSAGES)
        or any(not _fine(data.get(name)) for name in ("code", "errorcode", "errcode", "errno", "retcode"))
        or data.get("success") is False
        or data.get("ok") is False
        or str(data.get("status", "")).lower() in _FAILED
        or any(_status(data.get(name)) is not None for name in _STATUSES)
        or any(str(data.get(name, "")).lower().endswith("error") for name in ("object", "type"))
        or data.get("error") not in (None, False)
    )
    return answer if failed else None


def _is_failure(value: object) -> bool:
    """Whether the value of an error field says that there is one: some hosts always send the field."""
    if isinstance(value, Mapping):
        return not all(_fine(each) for each in cast("Mapping[str, object]", value).values())
    return bool(value) and not _fine(value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _fine(value: object) -> bool:
    return value is None or value is False or (isinstance(value, str | int) and str(value).lower() in _FINE)


def _read(value: object, depth: int) -> Words:
    if isinstance(value, str):
        return _text(value, depth)
    if depth > _DEEPEST:
        return Words("…", found=False)
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[str, object]", value), depth)
    if isinstance(value, Sequence):
        parts = [_read(item, depth + 1) for item in cast("Sequence[object]", value)[:20]]
        codes = tuple(code for part in parts for code in part.codes)
        return Words("; ".join(part.message for part in parts if part.message), None, codes)
    return Words(str(value))


def _mapping(value: Mapping[str, object], depth: int) -> Words:
    data = _named(value)
    if isinstance(wrapped := data.get("response"), Mapping) and _says(
        _named(cast("Mapping[str, object]", wrapped)).get("error")
    ):
        return _mapping(cast("Mapping[str, object]", wrapped), depth + 1)  # Tencent's own form
    inner = next((data[name] for name in _ERRORS if _says(data.get(name))), None)
    own = next((data[name] for name in _MESSAGES if _says(data.get(name))), None)
    words = Words(found=False)
    if inner is not None and not (isinstance(inner, str) and own is not None):
        words = _read(inner, depth + 1)
        own = None if words.found and words.message else own
    elif isinstance(inner, str):
        words = replace(words, codes=(inner.lower(),))
    status, codes = words.status, list(words.codes)
    if own is not None:
        told = _read(own, depth + 1)
        words, status = told, status if status is not None else told.status
        codes += told.codes
    codes += _codes(data)
    if status is None:
        status = next((found for name in _STATUSES if (found := _status(data.get(name))) is not None), None)
    message, found = words.message, words.found
    for name in _REASONS:
        reason: object = data.get(name)
        if reason is None or (name == "metadata" and not _is_mapping(reason)):
            continue
        further = _read(reason, depth + 1)
        codes += further.codes
        if further.found and further.message and further.message not in message:
            message, found = (f"{message}: {further.message}" if message and found else further.message), True
    if (provider := data.get("providername")) and isinstance(provider, str) and message and found:
        message += f" (from {provider})"
    if not message:
        message, found = json.dumps(value, ensure_ascii=False, default=str)[:LONGEST], False
    return Words(message, status, tuple(dict.fromkeys(codes)), found)


def _text(text: str, depth: int) -> Words:
    """Words in a text, which may hold the JSON of another error, bare or behind the words of a gateway."""
    if depth >= _DEEPEST or "{" not in text or len(text) > _LONGEST_READ:
        return Words(text)
    start, end = text.find("{"), text.rfind("}") + 1
    value = json_in(text[start:end]) if end > start else None
    if value is None and end - start <= LONGEST:
        value = _literal(text[start:end])
    if not isinstance(value, Mapping):
        return Words(text)
    inner = _read(cast("Mapping[str, object]", value), depth + 1)
    if not inner.found:
        return Words(text)
    before, after = text[:start].rstrip(" -:b'\"\n"), text[end:].strip(" '\"\n")
    message = f"{before}: {inner.message}" if before else inner.message
    return replace(inner, message=f"{message} {after}" if after else message, status=None if before else inner.status)


def _named(data: Mapping[str, object]) -> dict[str, object]:
    """The fields under names that do not depend on how a host writes them."""
    return {str(name).lower().replace("_", "").replace("-", ""): value for name, value in data.items()}


def _says(value: object) -> bool:
    return value not in (None, "", [], {}) and not isinstance(value, bool | int | float)


def _codes(data: Mapping[str, object]) -> Iterator[str]:
    for name in _CODES:
        value = data.get(name)
        if isinstance(value, str) and value.strip():
            yield value.strip().lower()[:200]
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{name}:{value}"


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    for item in cast("list[object]", value) if isinstance(value, list) else ():
        if isinstance(item, Mapping):
            yield cast("Mapping[str, object]", item)


def _literal(text: str) -> object | None:
    """What Python clients behind a gateway write of a dict."""
    try:
        return cast("object", ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
