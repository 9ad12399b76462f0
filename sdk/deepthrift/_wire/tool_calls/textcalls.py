"""Tool calls taken out of an answer's text or reasoning, where the server left them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from deepthrift._types.reply import ToolCall
from deepthrift._wire.events.split import Kind
from deepthrift._wire.tool_calls.callids import CallIds
from deepthrift._wire.tool_calls.markup import MARK, Block, TextCall, blocks_of

CALLED: Final = frozenset({"tool_calls", "tool_call", "function_call", "tool_use"})
"""Finish reasons of an answer that calls tools."""
CUT_OFF: Final = frozenset(
    {"length", "max_tokens", "max_output_tokens", "max_new_tokens", "model_length", "model_context_window_exceeded"}
)
"""Finish reasons of an answer that reached its limit, in lower case."""
_FENCE_BEFORE: Final = re.compile(r"```[\w-]{0,20}\s{0,8}$")
_FENCE_AFTER: Final = re.compile(r"\s{0,8}```")
_PARSER: Final = "the server's tool parser does not fit the model (vLLM for V3.1: --tool-call-parser deepseek_v31)"


@dataclass(frozen=True, slots=True)
class Taken:
    """The calls that were found in one kind of text."""

    kind: Kind
    text: str
    """The text without them."""
    after: str
    """The part of it that follows the first of them."""
    calls: tuple[TextCall, ...]


class TextCalls:
    """Finds the calls in the texts of one answer.

    Args:
        ids: Where calls get their ids from.
        tools: The names of the tools in the request, `None` where they are not known. Markup that is quoted, in a code
            fence or between backticks, counts only if it calls one of them: an answer may be about markup.
    """

    def __init__(self, ids: CallIds, tools: Callable[[], frozenset[str] | None]) -> None:
        self._ids = ids
        self._tools = tools
        self._found: dict[tuple[Kind, str, str], str] = {}

    def take(self, text: str, reasoning: str, finish_reason: str) -> tuple[Taken | None, list[str]]:
        """The calls of an answer, and warnings about markup that holds none."""
        warnings: list[str] = []
        cut = finish_reason.lower() in CUT_OFF
        kinds: tuple[tuple[Kind, str], ...] = (("text", text), ("reasoning", reasoning))
        for kind, held in kinds:
            if "<" not in held:
                continue
            taken = self._taken(kind, held, cut=cut)
            if taken is not None and kind == "reasoning" and text.strip() and finish_reason not in CALLED:
                warnings.append(f"the reasoning holds {len(taken.calls)} tool call(s), which the answer does not make")
            elif taken is not None:
                return taken, [*warnings, _told(taken)]
            elif MARK.search(held):
                warnings.append(f"the {kind} holds the mark of a tool call, but no complete call; {_PARSER}")
        return None, warnings

    def _taken(self, kind: Kind, text: str, *, cut: bool) -> Taken | None:
        tools = self._tools()
        kept: list[str] = []
        calls: list[TextCall] = []
        place = 0
        for block in blocks_of(text, bare=tools is None or bool(tools)):
            usable = _usable(block, cut=cut)
            start, end, quoted = _around(text, block)
            if not usable or start < place or (quoted and tools is not None and _unknown(usable, tools)):
                continue
            calls += usable
            kept.append(text[place:start])
            place = end
        if not calls:
            return None
        kept.append(text[place:])
        before = kept[0].rstrip()
        after = "".join(kept[1:]).rstrip()
        return Taken(kind, before + after if before else after.lstrip(), after, tuple(calls))

    def named(self, taken: Taken, known: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
        """The calls with their ids, the same ones at every reading; those that the host sent as such too, left out."""
        told = [(call.name, _normal(call.arguments)) for call in known]
        calls: list[ToolCall] = []
        for number, call in enumerate(taken.calls):
            same = (call.name, _normal(call.arguments))
            if same in told:
                told.remove(same)
                continue
            key = (taken.kind, str(number), call.name)
            identity = self._found.get(key) or self._found.setdefault(key, self._ids.admit(""))
            calls.append(ToolCall(id=identity, name=call.name, arguments=call.arguments, cut=call.state != "whole"))
        return tuple(calls)


def _usable(block: Block, *, cut: bool) -> list[TextCall]:
    """The calls of a block; where the answer was not cut off, half a call is none."""
    if cut:  # without its end, no call may look whole
        return [
            TextCall(call.name, call.arguments[:-1], "cut") if call.state == "open" else call for call in block.calls
        ]
    return [TextCall(call.name, call.arguments, "whole") for call in block.calls if call.state != "cut"]


def _around(text: str, block: Block) -> tuple[int, int, bool]:
    """Where the block begins and ends with a fence around it, and whether it is quoted."""
    fence = _FENCE_BEFORE.search(text, max(0, block.start - 40), block.start)
    if fence is not None:
        closing = _FENCE_AFTER.match(text, block.end)
        return fence.start(), block.end if closing is None else closing.end(), True
    inside = text.count("```", 0, block.start) % 2 == 1
    return block.start, block.end, inside or text[: block.start].endswith("`")


def _unknown(calls: list[TextCall], tools: frozenset[str]) -> bool:
    return any(call.name not in tools for call in calls)


def _normal(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments


def _told(taken: Taken) -> str:
    return f"{len(taken.calls)} tool call(s) came as {taken.kind} and were read from there; {_PARSER}"


def tools_in(body: bytes) -> frozenset[str] | None:
    """The names of the tools in a request, none if it has none; `None` if it cannot be told."""
    if b'"tools":' not in body:
        return frozenset()
    try:
        tools = json.loads(body).get("tools")
        entries = cast("list[dict[str, dict[str, str]]]", tools or [])
        return frozenset(str(entry["function"]["name"]) for entry in entries if "function" in entry)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
