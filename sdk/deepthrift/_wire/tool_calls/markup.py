"""Tool calls that a server left as text: V3.1's special tokens, and DSML, the markup of V3.2 and V4.

V3.1 writes `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>JSON<｜tool▁call▁end｜><｜tool▁calls▁end｜>`.
V3.2 writes (V4 has `tool_calls` in place of `function_calls`):

    <｜DSML｜function_calls>
    <｜DSML｜invoke name="NAME">
    <｜DSML｜parameter name="P" string="true|false">VALUE</｜DSML｜parameter>
    </｜DSML｜invoke>
    </｜DSML｜function_calls>

Servers and proxies change the details: half-width or doubled bars, blanks, other quotes, lost wrappers and end tags.
Sources: the model card's encoding file (deepseek-ai/DeepSeek-V3.2, encoding/encoding_dsv32.py) and public bug reports.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

State: TypeAlias = Literal["whole", "open", "cut"]
"""`open`: nothing is half-written, and the end mark is missing. `cut`: the text ends inside the call."""


@dataclass(frozen=True, slots=True)
class TextCall:
    """A call as it was found."""

    name: str
    arguments: str
    state: State


@dataclass(frozen=True, slots=True)
class Block:
    """One stretch of markup."""

    start: int
    end: int
    calls: tuple[TextCall, ...]


_BAR: Final = r"[｜|]\s?"
_DSML: Final = rf"(?:{_BAR}){{0,2}}DSML\s?(?:{_BAR}){{0,2}}"
_JOIN: Final = r"[▁_ ]"
_QUOTED: Final = r"\"[^\"]{0,2000}\"|'[^']{0,2000}'|“[^”]{0,2000}”|[^\s\"'“”<>/=]{1,200}"
_TOKEN: Final = re.compile(
    rf"<\s?{_BAR}tool{_JOIN}(?P<sign>calls{_JOIN}begin|call{_JOIN}begin|sep|call{_JOIN}end|calls{_JOIN}end)\s?{_BAR}>"
)
_TAG: Final = re.compile(
    rf"<\s?(?P<end1>/?)\s?(?P<mark>{_DSML})?(?P<end2>/?)\s?(?P<tag>function_calls|tool_calls|calls|invoke|parameter)"
    rf"(?P<attributes>(?:\s{{1,4}}\w{{1,40}}\s?=\s?(?:{_QUOTED}))*)\s{{0,4}}(?P<empty>/?)\s?>"
)
_ATTRIBUTE: Final = re.compile(rf"(\w{{1,40}})\s?=\s?({_QUOTED})")
_BARE_OPENING: Final = re.compile(r"<(?:function_calls|tool_calls)>\s{0,8}<invoke\s{1,4}name\s?=")
MARK: Final = re.compile(rf"<\s?/?\s?{_DSML}|<\s?{_BAR}tool{_JOIN}(?:calls?{_JOIN}(?:begin|end)|sep)")
"""What no answer holds unless it writes tool calls, or writes about them."""
_FENCED: Final = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


def blocks_of(text: str, *, bare: bool) -> list[Block]:
    """The stretches of markup in `text`, in order.

    Args:
        text: An answer, or its reasoning.
        bare: Whether tags without the DSML mark count, as servers leave them that drop special tokens.
    """
    found: list[Block] = []
    if "<" in text:
        if any(character in text for character in "｜|"):
            found += _token_blocks(text)
        found += _tag_blocks(text, bare=bare)
        found.sort(key=lambda block: block.start)
    return found


# -- V3.1's special tokens ------------------------------------------------------------------------------------------


def _token_blocks(text: str) -> list[Block]:
    blocks: list[Block] = []
    calls: list[TextCall] = []
    start = end = name_from = arguments_from = -1
    name = ""

    def close(upto: int, state: State) -> None:
        nonlocal name_from, arguments_from
        if arguments_from >= 0:
            calls.append(_token_call(name, text[arguments_from:upto], state))
        elif name_from >= 0 and state == "cut" and (half := text[name_from:upto].strip()):
            calls.append(TextCall(half, "", "cut"))
        name_from = arguments_from = -1

    def finish(upto: int) -> None:
        nonlocal start, calls
        blocks.append(Block(start, upto, tuple(calls)))
        start, calls = -1, []

    for match in _TOKEN.finditer(text):
        sign = re.sub(_JOIN, "_", match["sign"])
        if start < 0:
            if not sign.endswith("begin"):
                continue
            start = match.start()
        if sign == "sep":
            if name_from >= 0 and arguments_from < 0:
                name, arguments_from = text[name_from : match.start()].strip(), match.end()
            continue
        close(match.start(), "whole")
        end = match.end()
        if sign == "call_begin":
            name_from = match.end()
        elif sign == "calls_end":
            finish(match.end())
    if start >= 0:
        if name_from >= 0:
            end = len(text)
            close(end, "cut")
        finish(end)
    return blocks


def _token_call(name: str, arguments: str, state: State) -> TextCall:
    arguments = arguments.strip()
    if name == "function":  # checkpoints before V3.1 write the kind first, and the name before a fence
        first, newline, rest = arguments.partition("\n")
        if newline and rest.lstrip().startswith("```"):
            name, arguments = first.strip(), rest.strip()
    if (fenced := _FENCED.fullmatch(arguments)) is not None:
        arguments = fenced[1]
    if state == "cut" and is_json(arguments):
        state = "whole"  # the end mark is often the stop token, and left out
    return TextCall(name, arguments, state)


# -- DSML -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Invoke:
    name: str
    body_from: int
    values: dict[str, object] = field(default_factory=dict[str, object])
    parameter: str | None = None
    """The parameter whose value is being read."""
    typed: str | None = None
    value_from: int = 0

    def close_parameter(self, value: str) -> None:
        if self.parameter is not None:
            self.values[self.parameter] = _value(value, self.typed)
            self.parameter = None

    def call(self, body: str, state: State) -> TextCall:
        if not self.values and self.parameter is None and (body := body.strip()).startswith(("{", "```")):
            body = body if (fenced := _FENCED.fullmatch(body)) is None else fenced[1]
            return TextCall(self.name, body, "whole" if state != "whole" and is_json(body) else state)
        if self.parameter is None:
            written = json.dumps(self.values, ensure_ascii=False)
            return TextCall(self.name, written[:-1] if state == "cut" else written, state)
        # Cut inside a value: the text stays without its end, so that nobody can take it for whole.
        written = json.dumps({**self.values, self.parameter: body[self.value_from :]}, ensure_ascii=False)
        return TextCall(self.name, written[:-2], "cut")


class _Tags:
    """Reads the tags of one text in order."""

    def __init__(self, text: str, *, bare: bool) -> None:
        self._text = text
        self._bare = bare
        self.blocks: list[Block] = []
        self._calls: list[TextCall] = []
        self._invoke: _Invoke | None = None
        self._start = self._end = self._last = -1
        self._marked = True

    def read(self) -> list[Block]:
        for match in _TAG.finditer(self._text):
            self._tag(match)
        if self._start >= 0:
            if self._invoke is not None:
                self._end = len(self._text)
                self._close_invoke(self._end, "cut" if self._text[self._last :].strip() else "open")
            self._finish(self._end)
        return self.blocks

    def _tag(self, match: re.Match[str]) -> None:
        tag, marked = match["tag"], match["mark"] is not None
        attributes = {name: _unquoted(value) for name, value in _ATTRIBUTE.findall(match["attributes"] or "")}
        ends = bool(match["end1"] or match["end2"])
        if self._start < 0:
            if ends or (tag != "invoke" and attributes) or (tag == "invoke" and "name" not in attributes):
                return
            if not marked and not (self._bare and _BARE_OPENING.match(self._text, match.start())):
                return
            self._start, self._marked = match.start(), marked
        elif self._marked and not marked:
            return  # a value may hold tags of its own
        self._last = match.end()
        invoke = self._invoke
        ends = ends or (tag in ("invoke", "parameter") and "name" not in attributes)
        if tag == "parameter":
            self._parameter(match, attributes, ends=ends)
        elif tag == "invoke" and not ends:
            if invoke is not None and invoke.parameter is None and "string" in attributes:
                self._parameter(match, attributes, ends=False)  # a dialect writes parameters so
                return
            self._close_invoke(match.start(), "whole")
            self._invoke = _Invoke(attributes["name"], match.end())
            self._end = match.end()
        elif ends:
            self._close_invoke(match.start(), "whole")
            self._end = match.end()
            if tag != "invoke":
                self._finish(match.end())
        else:
            self._end = match.end()

    def _parameter(self, match: re.Match[str], attributes: dict[str, str], *, ends: bool) -> None:
        invoke = self._invoke
        if invoke is None:
            return
        invoke.close_parameter(self._text[invoke.body_from + invoke.value_from : match.start()])
        if ends:
            return
        name, typed = attributes["name"], attributes.get("string")
        if match["empty"]:
            invoke.values[name] = "" if typed in (None, "true", "false") else typed
            return
        invoke.parameter, invoke.typed = name, typed
        invoke.value_from = match.end() - invoke.body_from

    def _close_invoke(self, upto: int, state: State) -> None:
        invoke, self._invoke = self._invoke, None
        if invoke is None:
            return
        if state == "whole":
            invoke.close_parameter(self._text[invoke.body_from + invoke.value_from : upto])
        body = self._text[invoke.body_from : upto]
        self._calls.append(invoke.call(body, state))

    def _finish(self, upto: int) -> None:
        self.blocks.append(Block(self._start, upto, tuple(self._calls)))
        self._start, self._calls = -1, []


def _tag_blocks(text: str, *, bare: bool) -> list[Block]:
    if "DSML" not in text and not (bare and "<invoke" in text):
        return []
    return _Tags(text, bare=bare).read()


def _value(text: str, typed: str | None) -> object:
    """A parameter's value; what is not JSON, where it should be, stays the text that it is."""
    if typed == "true" or (typed is None and not text.lstrip().startswith(("{", "["))):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _unquoted(value: str) -> str:
    return value[1:-1] if value[0] in "\"'“" else value


def is_json(text: str) -> bool:
    """Whether `text` is one whole JSON text."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
