"""One row of a batch, read from the OpenAI batch format and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn, TypeAlias, TypeVar, cast, get_args

from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.messages import JSONObject, Message, Messages
from deepthrift._types.options import ChatOptions, options_of
from deepthrift._wire.request.conversation import wire_messages
from deepthrift._wire.request.request import settled
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Mode

Object: TypeAlias = Mapping[str, object]
T = TypeVar("T")

_FIELDS: Final = ("body", "custom_id", "effort", "method", "mode", "tags", "url")
_PATH: Final = "/chat/completions"
_LONGEST_ID: Final = 512
_OPTIONS: Final = (
    "logprobs", "response_format", "seed", "service_tier", "stop", "temperature", "tool_choice", "tools",
    "top_logprobs", "top_p",
)  # fmt: skip
_OWN: Final = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "n", "stream", "stream_options", *_OPTIONS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One call of a batch.

    Attributes:
        custom_id: Your name for it; unique in the batch.
        messages: A conversation in the OpenAI shape, or a string for one user message.
        mode: `"standard"` or `"thinking"`; left out, the batch's own, or the router's choice.
        max_tokens: The most tokens to generate, reasoning included.
        options: Further options of the call; see `ChatOptions`. A row with an `effort` thinks by default.
        model: The model that the row names, if it does: it has to be the client's.
        line: Its line in the file, or its place in the list, from 1.
    """

    custom_id: str
    messages: Messages
    mode: Mode | None = None
    max_tokens: int | None = None
    options: ChatOptions = field(default_factory=ChatOptions)
    model: str | None = None
    line: int = 0


def distinct_rows(
    values: Iterable[tuple[int, T]],
    row_of: Callable[[T, int], BatchRow],
    what: str,
    key: str,
    check: Callable[[BatchRow], object] | None = None,
) -> list[BatchRow]:
    """The rows that `row_of` makes of numbered values; `what` and `key` name one and its id in messages.

    Raises:
        InvalidRequestError: One is none, or two share an id; the message says which.
    """
    rows: dict[str, BatchRow] = {}
    for place, value in values:
        try:
            row = row_of(value, place)
            if row.custom_id in rows:
                raise InvalidRequestError(f"the {key} {row.custom_id!r} is that of an earlier {what}")
            if check is not None:
                check(row)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{what} {place}: {error.message}. Nothing was sent") from None
        rows[row.custom_id] = row
    return list(rows.values())


def parse_line(data: bytes, line: int) -> BatchRow:
    """The row in a line of a file.

    Raises:
        InvalidRequestError: It is not JSON, or not a row.
    """
    try:
        value: object = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise InvalidRequestError("the line is not UTF-8") from None
    except RecursionError:
        raise InvalidRequestError("the line is nested too deeply") from None
    except ValueError as error:
        raise InvalidRequestError(f"the line is not JSON: {error}") from None
    return parse_row(value, line)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def parse_row(value: object, line: int) -> BatchRow:
    """The row that a JSON object in the OpenAI batch format stands for.

    Raises:
        InvalidRequestError: A field is missing, unknown or wrong.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"a row is a JSON object, not {_kind(value)}")
    row = cast("Object", value)
    if unknown := sorted(set(row) - set(_FIELDS)):
        raise InvalidRequestError(f"{unknown[0]!r} is not a field of a row; the fields are {', '.join(_FIELDS)}")
    custom_id = row.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _LONGEST_ID:
        raise InvalidRequestError(f"custom_id is a text of 1 to {_LONGEST_ID} characters, not {_shown(custom_id)}")
    if row.get("method", "POST") != "POST":
        raise InvalidRequestError(f"method is 'POST', not {_shown(row['method'])}")
    url = row.get("url", _PATH)
    if not isinstance(url, str) or not url.endswith(_PATH):
        raise InvalidRequestError(f"url is '/v1{_PATH}', not {_shown(url)}")
    body = row.get("body")
    if not isinstance(body, Mapping):
        raise InvalidRequestError(f"body is a JSON object, not {_kind(body)}")
    found = _with_body(custom_id, _mode(row.get("mode")), _tags(row.get("tags")), cast("Object", body), line)
    if row.get("effort") is not None:
        found.options["effort"] = cast("str | int", row["effort"])
    return found


def _mode(value: object) -> Mode | None:
    if value is not None and value not in get_args(Mode):
        raise InvalidRequestError(f"mode is 'standard' or 'thinking', not {_shown(value)}")
    return cast("Mode | None", value)


def _tags(value: object) -> Mapping[str, str] | None:
    if value is None:
        return None
    tags: object = value
    if not isinstance(tags, Mapping) or not all(
        isinstance(text, str) for pair in cast("Object", tags).items() for text in pair
    ):
        raise InvalidRequestError("tags are pairs of strings")
    return cast("Mapping[str, str]", tags)


def _with_body(custom_id: str, mode: Mode | None, tags: Mapping[str, str] | None, body: Object, line: int) -> BatchRow:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequestError("body.messages is a list of at least one message")
    if body.get("stream"):
        raise InvalidRequestError("body.stream is of no use in a batch; leave it out")
    if body.get("n") not in (None, 1):
        raise InvalidRequestError("body.n is 1: write a row for each further answer")
    model = body.get("model")
    if model is not None and (not isinstance(model, str) or not model):
        raise InvalidRequestError(f"body.model is the name of a model, not {_shown(model)}")
    options = cast("ChatOptions", {name: body[name] for name in _OPTIONS if body.get(name) is not None})
    if extra := {name: value for name, value in body.items() if name not in _OWN}:
        options["extra_body"] = cast("JSONObject", extra)
    if tags is not None:
        options["tags"] = tags
    return BatchRow(
        custom_id=custom_id,
        messages=cast("Sequence[Message]", messages),
        mode=mode,
        max_tokens=_max_tokens(body),
        options=options,
        model=model,
        line=line,
    )


def _max_tokens(body: Object) -> int | None:
    limits = {name: body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None}
    if len(set(map(str, limits.values()))) > 1:
        raise InvalidRequestError("body has both max_tokens and max_completion_tokens, and they differ")
    for name, value in limits.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidRequestError(f"body.{name} is a whole number of at least 1, not {_shown(value)}")
        return value
    return None


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def row_mode(row: BatchRow, mode: Mode | None, profile: HostProfile) -> Mode | None:
    """The mode of a row: its own, that of its effort, the batch's, or what the name of its model says; `None` is the
    router's choice."""
    effort: Mode | None = None if row.options.get("effort") is None else "thinking"
    return row.mode or effort or mode or _named_mode(row, profile)


def _named_mode(row: BatchRow, profile: HostProfile) -> Literal["thinking"] | None:
    """Thinking, where the host tells the mode by the model's name and the row has that name."""
    thinking, standard = profile.switch("thinking").model, profile.switch("standard").model
    return "thinking" if thinking is not None and thinking != standard and row.model == thinking else None


def check_row(row: BatchRow, mode: Mode | None, profile: HostProfile, model: str) -> None:
    """Whether the host can do what the row asks.

    Raises:
        InvalidRequestError: It cannot, or the row names another model.
    """
    if row.model is not None:
        known = {model, profile.model_for("standard", model), profile.model_for("thinking", model)}
        if row.model not in known:
            raise InvalidRequestError(
                f"body.model is {row.model!r}, and the client asks {model!r}; a batch has one model"
            )
    wanted = row_mode(row, mode, profile)
    options = options_of(row.messages, wanted or "standard", row.max_tokens, row.options)
    wire_messages(options.messages, profile, tools=bool(options.tools))
    settled(options, profile, model)
