"""The chat template: what V3.1 reads for a conversation."""

from __future__ import annotations

from typing import Any

import pytest

from deepthrift_pricing import Mode
from deepthrift_pricing.errors import InvalidRequestError
from deepthrift_pricing.tokens import plain_text, render, tools_prompt
from tests.support import token_goldens

BOS, EOS, USER, ASSISTANT = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"
SYSTEM = {"role": "system", "content": "You are a helpful assistant"}
CALLS = [
    {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
    {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]
RENDERED_CALLS = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\":1}<｜tool▁call▁end｜>"
    "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
)  # fmt: skip
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Wetter für eine Stadt",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TOOLS_SECTION = """## Tools
You have access to the following tools:

### get_weather
Description: Wetter für eine Stadt

Parameters: {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

### now
Description:\x20

Parameters: {}

IMPORTANT: ALWAYS adhere to this exact format for tool use:
<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>\
{{additional_tool_calls}}<｜tool▁calls▁end｜>

Where:

- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces
"""


def user(text: object) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: object, **more: object) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def tool(text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "1", "content": text}


def test_renders_what_the_official_template_renders() -> None:
    goldens = token_goldens.load()["prompts"]
    assert len(goldens) > 30
    assert [golden for golden in goldens if render(golden["messages"], mode=golden["mode"]) != golden["prompt"]] == []


@pytest.mark.parametrize(("mode", "mark"), [("standard", "</think>"), ("thinking", "<think>")])
def test_the_mode_is_the_last_token(mode: Mode, mark: str) -> None:
    history = [SYSTEM, user("Who are you?"), assistant("<think>Hmm</think>I am DeepSeek"), user("1+1=?")]
    turns = f"{USER}Who are you?{ASSISTANT}</think>I am DeepSeek{EOS}{USER}1+1=?{ASSISTANT}{mark}"
    assert render(history, mode=mode) == f"{BOS}You are a helpful assistant{turns}"
    assert render("Hi", mode=mode) == render([user("Hi")], mode=mode) == f"{BOS}{USER}Hi{ASSISTANT}{mark}"


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([user("a"), user("b")], f"{USER}a{USER}b{ASSISTANT}</think>"),
        ([user("a"), SYSTEM, user("b")], f"You are a helpful assistant{USER}a{USER}b{ASSISTANT}</think>"),
        (
            [SYSTEM, user("a"), SYSTEM],
            f"You are a helpful assistant\n\nYou are a helpful assistant{USER}a{ASSISTANT}</think>",
        ),
        ([user("a"), assistant("b", reasoning_content="c")], f"{USER}a{ASSISTANT}</think>b{EOS}"),
        ([user("a"), assistant("b"), assistant("c")], f"{USER}a{ASSISTANT}</think>b{EOS}c{EOS}"),
        ([user("a"), assistant("b</think>c</think>d")], f"{USER}a{ASSISTANT}</think>c</think>d{EOS}"),
        ([user("a"), assistant("b</think>")], f"{USER}a{ASSISTANT}</think>{EOS}"),
        ([user("a"), assistant("b", tool_calls=[])], f"{USER}a{ASSISTANT}</think>b{EOS}"),
        ([user("a"), assistant("b", tool_calls=None)], f"{USER}a{ASSISTANT}</think>b{EOS}"),
        ([user("W?"), assistant(None, tool_calls=CALLS)], f"{USER}W?{ASSISTANT}</think>{RENDERED_CALLS}{EOS}"),
        ([user("W?"), assistant("Look:", tool_calls=CALLS)], f"{USER}W?{ASSISTANT}</think>Look:{RENDERED_CALLS}{EOS}"),
        (
            [user("W?"), assistant(None, tool_calls=CALLS), tool("R1"), tool("R2")],
            f"{USER}W?{ASSISTANT}</think>{RENDERED_CALLS}{EOS}"
            "<｜tool▁output▁begin｜>R1<｜tool▁output▁end｜><｜tool▁output▁begin｜>R2<｜tool▁output▁end｜>",
        ),
        (
            [user("W?"), assistant(None, tool_calls=CALLS[1:]), tool("R"), assistant("a</think>b"), user("c")],
            f"{USER}W?{ASSISTANT}</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>g<｜tool▁sep｜>{{}}<｜tool▁call▁end｜>"
            f"<｜tool▁calls▁end｜>{EOS}<｜tool▁output▁begin｜>R<｜tool▁output▁end｜>a</think>b{EOS}{USER}c{ASSISTANT}</think>",
        ),
        ([user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])], f"{USER}a\nb{ASSISTANT}</think>"),
    ],
)
def test_every_kind_of_turn(messages: list[dict[str, Any]], prompt: str) -> None:
    assert render(messages, mode="standard") == BOS + prompt


@pytest.mark.parametrize(("mode", "mark"), [("standard", "</think>"), ("thinking", "<think>")])
def test_a_prefix_has_no_end_token(mode: Mode, mark: str) -> None:
    expected = f"{BOS}{USER}a{ASSISTANT}{mark}The"
    assert render([user("a"), assistant("The")], mode=mode, prefix=True) == expected
    assert render([user("a"), assistant("The", prefix=True)], mode=mode) == expected
    assert render([user("a"), assistant("The", prefix=False)], mode=mode) == f"{BOS}{USER}a{ASSISTANT}</think>The{EOS}"


def test_a_prefix_in_the_history_is_an_answer() -> None:
    messages = [user("a"), assistant("The", prefix=True), user("b")]
    assert render(messages, mode="standard") == f"{BOS}{USER}a{ASSISTANT}</think>The{EOS}{USER}b{ASSISTANT}</think>"


def test_tools_end_the_system_prompt() -> None:
    tools = [WEATHER, {"type": "function", "function": {"name": "now"}}]
    assert tools_prompt(tools) == TOOLS_SECTION
    expected = f"{BOS}You are a helpful assistant\n\n{TOOLS_SECTION}{USER}a{ASSISTANT}</think>"
    assert render([user("a"), SYSTEM], mode="standard", tools=tools) == expected
    assert render("a", mode="standard", tools=tools) == f"{BOS}\n\n{TOOLS_SECTION}{USER}a{ASSISTANT}</think>"
    assert render("a", mode="standard", tools=[]) == f"{BOS}{USER}a{ASSISTANT}</think>"


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "no messages"),
        (["Hi"], r"messages\[0\] is str"),
        ([{"content": "x"}], r"messages\[0\] has the role None"),
        ([user("x"), {"role": "developer", "content": "x"}], r"messages\[1\] has the role 'developer'.*use 'system'"),
        ([user(None)], r"messages\[0\] \(user\): content must be a string"),
        ([{"role": "user"}], r"messages\[0\] \(user\): content must be a string"),
        ([user(7)], "not int"),
        ([user(b"x")], "not bytes"),
        ([user([{"type": "image_url", "image_url": {"url": "x"}}])], "type 'image_url' cannot be sent"),
        ([user(["x"])], "type 'str' cannot be sent"),
        ([user([{"type": "text", "text": None}])], "type 'text' cannot be sent"),
        ([user("a\ud83d")], "lone surrogate at 1"),
        ([user("x"), assistant(None)], r"messages\[1\] \(assistant\): content must be a string"),
        ([user("x"), assistant(None, tool_calls="f")], "tool_calls must be a list"),
        (
            [user("x"), assistant(None, tool_calls=[{"function": {"name": "f", "arguments": {}}}])],
            "arguments as JSON text",
        ),
        (
            [user("x"), assistant(None, tool_calls=[{"function": {"arguments": "{}"}}])],
            r"tool_calls\[0\] needs a function",
        ),
        ([user("x"), assistant(None, tool_calls=["f"])], r"tool_calls\[0\] needs a function"),
        ([user("x"), assistant(None, tool_calls=CALLS, prefix=True)], "cannot be a prefix"),
    ],
)
def test_what_cannot_be_rendered_is_refused(messages: list[Any], complaint: str) -> None:
    with pytest.raises(InvalidRequestError, match=complaint):
        render(messages, mode="standard")


@pytest.mark.parametrize(
    ("tools", "complaint"),
    [
        ([{"type": "function"}], r"tools\[0\] needs a 'function' object"),
        ([WEATHER, {"function": {"name": 1}}], r"tools\[1\] needs a 'function' object"),
        ([{"function": {"name": "f", "parameters": {"a": {1, 2}}}}], r"tools\[0\]: the parameters are not JSON"),
    ],
)
def test_tools_that_cannot_be_rendered_are_refused(tools: list[Any], complaint: str) -> None:
    with pytest.raises(InvalidRequestError, match=complaint):
        render("a", mode="standard", tools=tools)


def test_an_unknown_mode_is_refused() -> None:
    mode: Any = "deep"
    with pytest.raises(InvalidRequestError, match="mode 'deep' is unknown: use 'standard' or 'thinking'"):
        render("a", mode=mode)


def test_a_prefix_needs_the_beginning_of_an_answer() -> None:
    with pytest.raises(InvalidRequestError, match="a prefix needs an assistant message at the end"):
        render("a", mode="standard", prefix=True)


def test_text_parts_meet_at_a_newline() -> None:
    assert plain_text([{"type": "text", "text": "a"}, {"type": "text", "text": ""}]) == "a\n"
    assert plain_text([]) == ""
