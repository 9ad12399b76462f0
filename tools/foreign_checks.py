"""What `foreign_servers.py` asks of each server, through the public client alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from deepthrift import AsyncClient, Finished, HostProfile, ReasoningDelta, Reply, TextDelta
from deepthrift.errors import ContextLengthExceeded, DeepthriftError, StatusError
from deepthrift.tools import ToolResult
from deepthrift_pricing import Ledger, Mode, PriceBook

QUESTION: Final = "What is the capital of France?"
LONG: Final = " the" * 9_000
"""More tokens than any of the servers takes."""


class NotOffered(Exception):
    """The server has no such thing, and says so or is known for it."""


@dataclass(frozen=True)
class Place:
    """A server as the client is told of it."""

    name: str
    host: HostProfile
    settings: Callable[[str], Mapping[str, Any]]
    """The client's arguments for a scripted model: `answer`, `tool` or `random`."""
    says: Mapping[Mode, str]
    """What the scripted model `answer` says in each mode."""
    lacks: Mapping[str, str] = field(default_factory=dict[str, str])
    """Checks that make no sense here, and why."""

    def client(self, script: str = "answer", **changes: Any) -> AsyncClient:
        """A client for one of the models."""
        prices = PriceBook.flat(cache_hit="0.07", cache_miss="0.56", completion="1.68")
        given = {"host": self.host, "prices": prices, "max_retries": 0, "timeout": 120.0, **self.settings(script)}
        return AsyncClient(**{**given, **changes})


Checks: TypeAlias = Mapping[str, Callable[[Place], Awaitable[str]]]
"""Checks by name; each tells what it found."""


def right(found: object, wanted: object, what: str) -> None:
    """Nothing, if they are the same."""
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, not {wanted!r}")


async def models(place: Place) -> str:
    async with place.client() as client:
        return f"{len(await client.models())} listed"


def judge(reply: Reply, place: Place, mode: Mode) -> str:
    """Whether a reply is what the scripted model says, in the mode that was asked for, and booked once."""
    right(reply.text, place.says[mode], "the text")
    right((reply.mode, bool(reply.reasoning)), (mode, mode == "thinking"), "the mode that ran")
    right([attempt.status for attempt in reply.attempts], ["settled"], "what is booked")
    return f"usage {reply.usage.certainty}" + (f"; {'; '.join(reply.warnings)}" if reply.warnings else "")


def plain(mode: Mode) -> Callable[[Place], Awaitable[str]]:
    """A plain call in `mode`."""

    async def check(place: Place) -> str:
        async with place.client() as client:
            return judge(await client.chat(QUESTION, mode=mode, max_tokens=200), place, mode)

    return check


def streamed(mode: Mode) -> Callable[[Place], Awaitable[str]]:
    """A streamed call in `mode`."""

    async def check(place: Place) -> str:
        async with place.client() as client, client.stream(QUESTION, mode=mode, max_tokens=200) as stream:
            events = [event async for event in stream]
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        thoughts = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
        right((text, thoughts or None), (stream.reply.text, stream.reply.reasoning), "the pieces put together")
        right(isinstance(events[-1], Finished), True, "the last event")
        return judge(stream.reply, place, mode)

    return check


async def told(place: Place) -> str:
    """The mode that ran is told, and a warning comes with it when it is not the one asked for."""
    async with place.client() as client:
        reply = await client.chat(QUESTION, mode="thinking", max_tokens=200)
    right(bool(reply.warnings), reply.mode != "thinking", "whether there is a warning")
    return f"thinking asked, {reply.mode} ran"


async def counted(place: Place) -> str:
    async with place.client() as client:
        here, reply = await client.count(QUESTION), await client.chat(QUESTION, max_tokens=200)
    told_there = reply.usage.prompt_tokens
    counted_here = f"at most {here} here" if here != told_there else f"{here} here"
    return f"{counted_here}, {told_there} there" if reply.usage.certainty == "exact" else f"{here} here, not told there"


def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: The city's name.
    """
    return f"Sunny in {city}."


def tools(*, stream: bool) -> Callable[[Place], Awaitable[str]]:
    """A loop of tool calls, its rounds streamed or not."""

    async def check(place: Place) -> str:
        seen: list[object] = []
        async with place.client("tool") as client:
            reply = await client.run_tools(
                "What is the weather in Paris?",
                tools=[get_weather],
                max_tokens=200,
                on_event=seen.append if stream else None,
            )
        right([result.text for result in reply.results], ["Sunny in Paris."], "the result")
        right((reply.rounds, bool(reply.text)), (2, True), "rounds, and whether there is an answer")
        right(any(isinstance(event, ToolResult) for event in seen), stream, "whether events came")
        return "; ".join(reply.warnings)

    return check


class Flag(BaseModel):
    """Whether it is raised."""

    raised: bool


async def objects(place: Place) -> str:
    async with place.client() as client:
        reply = await client.parse_reply("Is the flag raised?", into=Flag, max_tokens=200)
    return f"{reply.value!r}, {reply.repairs} repairs"


async def logprobs(place: Place) -> str:
    async with place.client() as client:
        reply = await client.chat(QUESTION, logprobs=True, top_logprobs=2, max_tokens=200)
    if not reply.logprobs:
        raise NotOffered("asked for, and none came")
    return f"{len(reply.logprobs)} tokens"


async def options(place: Place) -> str:
    async with place.client() as client:
        reply = await client.chat(QUESTION, temperature=0.1, top_p=0.9, seed=7, stop=[" short"], max_tokens=200)
    return "stop obeyed" if reply.text != place.says["standard"] else "stop ignored"


async def short(place: Place) -> str:
    async with place.client() as client:
        reply = await client.chat(QUESTION, max_tokens=3)
    right(reply.finish_reason, "length", "the finish reason")
    return ""


async def left(place: Place) -> str:
    """A stream that is left stops the generation: the next answer does not wait for 3,000 tokens."""
    async with place.client("random") as client:
        async with client.stream(QUESTION, max_tokens=3_000) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
        [attempt] = client.ledger.attempts()
        right((attempt.status, attempt.cost.certainty), ("settled", "estimated"), "what is booked")
        began = time.monotonic()
        await client.chat(QUESTION, max_tokens=3)
        return f"next answer after {time.monotonic() - began:.1f} s"


async def cancelled(place: Place) -> str:
    """A call that is cancelled is held as unknown, and the client serves on."""
    async with place.client("random") as client:
        task = asyncio.create_task(client.chat(QUESTION, max_tokens=3_000))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        right([attempt.status for attempt in client.ledger.attempts()], ["unknown"], "what is booked")
        began = time.monotonic()
        await client.chat(QUESTION, max_tokens=3)
        return f"next answer after {time.monotonic() - began:.1f} s"


async def refused(place: Place, **changes: Any) -> str:
    """Which typed error comes of a call that cannot work."""
    host = place.host.model_copy(update={"context": 2**20})
    messages = changes.pop("messages", QUESTION)
    async with place.client(**{"host": host, **changes}) as client:
        try:
            await client.chat(messages, max_tokens=20)
        except (StatusError, ContextLengthExceeded) as error:
            right([attempt.status for attempt in client.ledger.attempts()], ["released"], "what is booked")
            status = f" {error.status}" if isinstance(error, StatusError) else ""
            return f"{type(error).__name__}{status}"
    raise NotOffered("answered all the same")


async def wrong_key(place: Place) -> str:
    return await refused(place, api_key="wrong-key")


async def wrong_model(place: Place) -> str:
    return await refused(place, model="no-such-model")


async def too_long(place: Place) -> str:
    return await refused(place, messages=LONG)


async def at_once(place: Place) -> str:
    """Sixteen calls at once, every other one streamed; the ledger holds what the replies say."""
    ledger = Ledger.open("memory:")

    async def one(client: AsyncClient, number: int) -> Reply:
        mode: Mode = "thinking" if number % 4 > 1 else "standard"
        if number % 2:
            return await client.chat(QUESTION, mode=mode, max_tokens=200)
        async with client.stream(QUESTION, mode=mode, max_tokens=200) as stream:
            async for _ in stream:
                pass
        return stream.reply

    async with place.client(ledger=ledger) as client:
        replies = await asyncio.gather(*[one(client, number) for number in range(16)])
    for reply in replies:
        right(reply.text, place.says[reply.requested_mode], "the text")
    total = sum(attempt.cost.amount for attempt in ledger.attempts())
    right(sum(reply.cost.amount for reply in replies), total, "the sum of the replies")
    ledger.close()
    return ""


CHECKS: Final[Checks] = {
    "models": models,
    "standard": plain("standard"),
    "standard, streamed": streamed("standard"),
    "thinking": plain("thinking"),
    "thinking, streamed": streamed("thinking"),
    "the mode that ran": told,
    "prompt tokens": counted,
    "cut by max_tokens": short,
    "temperature, top_p, seed, stop": options,
    "log-probabilities": logprobs,
    "tools": tools(stream=False),
    "tools, streamed": tools(stream=True),
    "an object": objects,
    "16 calls at once": at_once,
    "a stream that is left": left,
    "a call that is cancelled": cancelled,
    "a wrong key": wrong_key,
    "a wrong model": wrong_model,
    "a prompt too long": too_long,
}
"""In the order of the table."""


async def run(place: Place, name: str, checks: Checks = CHECKS) -> str:
    """What came of one check, as a cell of the table."""
    if name in place.lacks:
        return f"– {place.lacks[name]}"
    try:
        detail = await checks[name](place)
    except NotOffered as reason:
        return f"– {reason}"
    except AssertionError as error:
        return f"**wrong**: {error}"
    except DeepthriftError as error:
        return f"**{type(error).__name__}**: {error.message[:160]}"
    return f"✓ {detail}".rstrip()
