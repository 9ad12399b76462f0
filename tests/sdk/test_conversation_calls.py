"""A conversation in use: through every door, with tools and objects, by the host's rule on reasoning."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import AsyncClient, Client, Conversation
from deepthrift._wire.request.conversation import wire_messages
from deepthrift.errors import InvalidRequestError
from deepthrift.hosts import HostProfile
from deepthrift.testing import MockReply, MockTransport
from deepthrift_pricing.tokens import count_messages
from tests.support.doors import Door, ask, every_door, prices

URL = "http://test.invalid/v1"
CALLING = MockReply(tool_calls=[("add", {"a": 1, "b": 2})], reasoning="I need a sum.")


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@dataclass
class Sum:
    total: int


@every_door
async def test_it_grows_by_calls_and_what_was_sent_stays_as_it_was(door: Door) -> None:
    transport = MockTransport([MockReply(f"Answer {number}.", reasoning="Hm.") for number in range(3)])
    talk = Conversation(system="Be brief.")
    for number in range(3):
        talk.user(f"Question {number}?")
        before = talk.count_tokens(mode="thinking")
        reply = await ask(door, URL, talk, mode="thinking", client={"transport": transport})
        assert reply.usage.prompt_tokens == before
        talk.add(reply)
    sent = [request.messages for request in transport.requests]
    assert sent[1][: len(sent[0])] == sent[0]
    assert sent[2][: len(sent[1])] == sent[1]
    assert all("reasoning_content" not in message for message in sent[2])
    assert [message.get("reasoning_content") for message in talk if message["role"] == "assistant"] == ["Hm."] * 3


async def test_tools_objects_and_streams_go_on_from_each_other() -> None:
    script = [CALLING, MockReply("3"), MockReply('{"total": 3}'), MockReply("Bye.")]
    transport = MockTransport(script)
    async with AsyncClient(URL, host="vllm", prices=prices(), transport=transport) as client:
        talk = Conversation().user("What is 1 + 2?")
        talk.add(await client.run_tools(talk, tools=[add]))
        assert [message["role"] for message in talk] == ["user", "assistant", "tool", "assistant"]
        talk.user("As an object?")
        talk.add(parsed := await client.parse_reply(talk, into=Sum))
        assert parsed.value == Sum(3)
        talk.user("Thank you.")
        async with client.stream(talk) as stream:
            async for _ in stream:
                pass
        talk.add(stream.reply)
    assert [message.get("content") for message in talk][-4:] == ["As an object?", '{"total": 3}', "Thank you.", "Bye."]
    transport.assert_all_used()


def test_the_synchronous_client_takes_it_too() -> None:
    transport = MockTransport([CALLING, MockReply("3")])
    with Client(URL, host="vllm", prices=prices(), transport=transport) as client:
        talk = Conversation().user("What is 1 + 2?")
        branch = talk.copy().user("And 2 + 3?")
        reply = client.run_tools(talk, tools=[add])
    with pytest.raises(InvalidRequestError, match="another conversation"):
        branch.add(reply)
    assert len(talk.add(reply)) == 4
    assert len(branch) == 2


async def test_reasoning_survives_trimming_and_saving_where_the_host_wants_it_back(tmp_path: Path) -> None:
    """R17: V4 refuses a turn with tools whose reasoning is missing."""
    script = [CALLING, MockReply("3", reasoning="It is 3."), MockReply("Yes.", reasoning="Sure.")]
    transport = MockTransport(script)
    wanted: dict[str, Any] = {"host": "deepseek-v4", "model": "deepseek-v4-flash", "prices": prices()}
    talk = Conversation()
    for number in range(20):
        talk.user(f"Question {number}?").assistant("Unknown.")
    async with AsyncClient(URL, transport=transport, **wanted) as client:
        talk.user("What is 1 + 2?").add(await client.run_tools(talk, tools=[add], mode="thinking"))
        assert talk.trim(100, mode="thinking")
        path = tmp_path / "talk.json"
        await asyncio.to_thread(talk.save, path)
        again = Conversation.load(path).user("Really?")
        await client.run_tools(again, tools=[add], mode="thinking")
    sent = transport.last.messages
    thoughts = [message["reasoning_content"] for message in sent if message["role"] == "assistant"]
    assert thoughts[-2:] == ["I need a sum.", "It is 3."]
    assert all(isinstance(thought, str) for thought in thoughts)


TURNS = st.lists(
    st.tuples(st.text(max_size=5).map(lambda text: text + "?"), st.text(max_size=8), st.booleans()),
    min_size=1,
    max_size=6,
)


@given(turns=TURNS, host=st.sampled_from(["vllm", "deepseek-v4", "local"]))
def test_a_longer_conversation_begins_with_what_was_sent_before(turns: list[tuple[str, str, bool]], host: str) -> None:
    profile = HostProfile.named(host)
    talk = Conversation()
    before: list[dict[str, object]] = []
    for asked, said, thought in turns:
        sent = wire_messages(talk.user(asked), profile)
        assert sent[: len(before)] == before
        before = sent
        assert talk.count_tokens(mode="standard") == count_messages(list(talk), mode="standard")
        talk.append({"role": "assistant", "content": said, **({"reasoning_content": "Hm."} if thought else {})})
