"""Calls that are made of several requests, and requests that are no chats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from deepthrift._call.chats import Chats
from deepthrift._client.session import Session
from deepthrift._types.messages import JSONObject, Messages
from deepthrift._types.options import CallOptions, ChatOptions, chat_options, options_of
from deepthrift_pricing import Mode, Money

if TYPE_CHECKING:
    from deepthrift._call.endpoints.target import Target
    from deepthrift._types.samples import Samples
    from deepthrift.structured import AsyncParseStream, Parsed
    from deepthrift.tools import Tool, ToolLoopOptions, ToolReply

M = TypeVar("M")


async def samples(
    session: Session, messages: Messages, n: int, mode: Mode, max_tokens: int | None, options: ChatOptions
) -> Samples:
    """Several answers to one question."""
    from deepthrift._call.sampling import draw

    given = options_of(messages, mode, max_tokens, {"purpose": "sample", **options})
    return await draw(session.allowed(given), given, n, session.in_flight, session.blame_engine)


async def run_tools(
    client: Chats,
    session: Session,
    messages: Messages,
    tools: Sequence[Callable[..., object] | Tool],
    mode: Mode,
    max_tokens: int | None,
    options: ToolLoopOptions,
) -> ToolReply:
    """The answer after tool calls."""
    from deepthrift.tools._loop import ToolLoop
    from deepthrift.tools._options import ToolLoopOptions as Known
    from deepthrift.tools._running import Toolbox

    spend, on_event = options.get("max_spend"), options.get("on_event")
    if spend is not None and not isinstance(spend, Money):
        spend = Money.of(spend, session.targets.first.currency)
    own = set(Known.__annotations__) - set(CallOptions.__annotations__)
    others = cast("CallOptions", {name: value for name, value in options.items() if name not in own})
    toolbox = Toolbox(
        tools, parallel=options.get("parallel", True), on_error=options.get("on_error", "report"), tell=on_event
    )
    loop = ToolLoop(
        client,
        messages,
        toolbox,
        mode=mode,
        max_tokens=max_tokens,
        max_rounds=options.get("max_rounds", 10),
        max_spend=spend,
        tool_choice=options.get("tool_choice"),
        tell=on_event,
        options=_within_deadline(session, others),
    )
    return await loop.run()


async def parse(
    client: Chats,
    session: Session,
    messages: Messages,
    into: type[M],
    mode: Mode,
    max_tokens: int | None,
    max_repairs: int,
    options: CallOptions,
) -> Parsed[M]:
    """A validated object."""
    from deepthrift.structured._parse import Parsing

    parsing = Parsing(
        client,
        messages,
        into,
        mode=mode,
        max_tokens=max_tokens,
        max_repairs=max_repairs,
        options=_within_deadline(session, options),
        features=session.features(mode),
    )
    return await parsing.run()


def stream_parse(
    client: Chats,
    session: Session,
    messages: Messages,
    into: type[M],
    mode: Mode,
    max_tokens: int | None,
    options: CallOptions,
) -> AsyncParseStream[M]:
    """An object as it arrives."""
    from deepthrift.structured._stream import AsyncParseStream
    from deepthrift.structured._target import Target

    target = Target(into)
    question, format_ = target.ask(messages, session.features(mode))
    given = chat_options(options, response_format=format_)
    stream = client.stream(question, mode=mode, max_tokens=max_tokens, **given)
    return AsyncParseStream(stream, target, url=client.base_url, messages=len(question))


async def count(target: Target, messages: Messages, mode: Mode, tools: Sequence[JSONObject] | None) -> int:
    """Prompt tokens of a conversation."""
    from deepthrift._call.prepare.counting import count_and_ids
    from deepthrift._call.prepare.tokenize import engine_count
    from deepthrift._wire.request.conversation import wire_messages

    conversation = options_of(messages, mode, None, {}).messages
    wire = wire_messages(conversation, target.profile, mode=mode, tools=bool(tools))
    counted = await engine_count(target, wire, mode=mode, tools=tools)
    if counted is not None:
        return counted
    return count_and_ids(target.profile, target.model, wire, mode=mode, tools=tools)[0].tokens


def _within_deadline(session: Session, options: CallOptions) -> CallOptions:
    """`options` with the client's own deadline where they have none."""
    if options.get("deadline") is not None:
        return options
    return {**options, "deadline": session.settings.deadline}
