"""41. Tool calls left as text, in V3.1's form or in DSML, are read or reported on every host."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift import AsyncClient, TextDelta
from tests.scenarios.test_38_tool_calls_stay_apart import TOOL, USAGE
from tests.scenarios.test_40_cut_tool_calls import body
from tests.support.bill_server import BillServer, RawBody, Received
from tests.support.doors import settings

ROME = '{"city": "Rome"}'
V31 = f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{ROME}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
DSML = (
    '<｜DSML｜function_calls>\n<｜DSML｜invoke name="weather">\n<｜DSML｜parameter name="city" string="true">Rome'
    "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"
)
FORMS = {
    "V3.1": V31,
    "V3.1, half-width": V31.replace("｜", "|").replace("▁", "_"),
    "DSML": DSML,
    "V4": DSML.replace("function_calls", "tool_calls"),
    "half-width": DSML.replace("｜", "|"),
    "doubled": DSML.replace("｜", "｜｜"),
    "in a fence": f"```xml\n{DSML}\n```",
    "without a wrapper": DSML.split("\n", 1)[1].rsplit("\n", 1)[0],
    "without its end": DSML.rsplit("\n", 1)[0],
}
HOSTS = ["vllm", "deepseek-v4", "siliconflow", "ollama"]


def streamed_body(field: str, text: str, size: int = 5) -> bytes:
    parts = [text[place : place + size] for place in range(0, len(text), size)]
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": {field: part}}]} for part in parts]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": USAGE}]
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
@pytest.mark.parametrize("form", FORMS)
async def test_a_call_left_as_text_is_run(host: str, field: str, form: str) -> None:
    ran: list[str] = []

    def weather(city: str) -> str:
        """The weather."""
        ran.append(city)
        return "sunny"

    said = f"I look.\n\n{FORMS[form]}"

    def answer(request: Received) -> RawBody:
        if request.messages[-1]["role"] == "tool":
            message = {"content": "It is sunny."}
            data = (
                streamed_body("content", "It is sunny.")
                if request.stream
                else body(message, "stop", USAGE, stream=False)
            )
        else:
            data = streamed_body(field, said) if request.stream else body({field: said}, "stop", USAGE, stream=False)
        return RawBody(data)

    shown: list[str] = []

    def tell(event: object) -> None:
        if isinstance(event, TextDelta):
            shown.append(event.text)

    async with BillServer(answer) as server, AsyncClient(**settings(server, host=host)) as client:
        for on_event in (None, tell):
            reply = await client.run_tools("Weather?", tools=[weather], max_tokens=50, on_event=on_event)
            assert reply.text == "It is sunny."
            assert any("tool call" in warning for warning in reply.warnings)
    assert ran == ["Rome", "Rome"]
    assert not any(mark in "".join(shown) for mark in ("DSML", "tool▁", "tool_", "invoke"))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("text", [DSML[:70], V31[:40], "<｜DSML｜browse>\n<url>x</url>\n</｜DSML｜browse>"])
async def test_markup_without_a_whole_call_is_reported(streamed: bool, text: str) -> None:
    data = streamed_body("content", text) if streamed else body({"content": text}, "stop", USAGE, stream=False)
    async with BillServer(RawBody(data)) as server, AsyncClient(**settings(server)) as client:
        if streamed:
            async with client.stream("Weather?", tools=[TOOL], max_tokens=50) as stream:
                async for _ in stream:
                    pass
            reply = stream.reply
        else:
            reply = await client.chat("Weather?", tools=[TOOL], max_tokens=50)
    assert not reply.tool_calls
    assert any("tool call" in warning for warning in reply.warnings)


async def test_an_answer_about_the_markup_is_no_call() -> None:
    text = f"DSML looks so:\n```xml\n{DSML}\n```\nIt is text."
    async with (
        BillServer(RawBody(body({"content": text}, "stop", USAGE, stream=False))) as server,
        AsyncClient(**settings(server)) as client,
    ):
        reply = await client.chat("What is DSML?", max_tokens=50)
    assert (reply.text, reply.tool_calls) == (text, ())
    assert reply.warnings
