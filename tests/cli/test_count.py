"""`deepthrift count` against counts known from the tokenizer's own golden values."""

from __future__ import annotations

import json
from pathlib import Path

from deepthrift_pricing import tokens
from tests.cli.conftest import Run


def test_text_is_counted_alone_and_as_a_prompt(run: Run) -> None:
    ran = run("count", "Hello, world!")
    assert ran.code == 0
    assert "4 tokens in 13 characters" in ran.out
    assert "8 prompt tokens in standard mode, 8 in thinking mode" in ran.out
    assert run("count", "Hello, world!", "--json").json == {
        "text_tokens": 4,
        "prompt_tokens": {"standard": 8, "thinking": 8},
        "messages": 1,
        "tools": 0,
    }


def test_standard_input_and_files_count_the_same(run: Run, tmp_path: Path) -> None:
    text = "你好，世界 and <think> as text\n"
    file = tmp_path / "prompt.txt"
    file.write_text(text, encoding="utf-8")
    expected = tokens.count_text(text)
    for ran in (
        run("count", "--json", input=text),
        run("count", "-", "--json", input=text),
        run("count", "--file", str(file), "--json"),
    ):
        assert ran.code == 0, ran.err
        assert ran.json["text_tokens"] == expected


def test_a_conversation_with_tools(run: Run, tmp_path: Path) -> None:
    conversation = [
        {"role": "system", "content": "You are a helpful assistant"},
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "DeepSeek"},
        {"role": "user", "content": "1+1=?"},
    ]
    tool = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
    file = tmp_path / "conversation.json"
    file.write_text(json.dumps(conversation))
    plain = run("count", "--messages", str(file), "--json").json
    assert plain["prompt_tokens"]["standard"] == tokens.count_messages(conversation, mode="standard")
    assert plain["text_tokens"] is None
    file.write_text(json.dumps({"messages": conversation, "tools": [tool]}))
    tooled = run("count", "--messages", str(file), "--json").json
    assert tooled["prompt_tokens"]["thinking"] == tokens.count_messages(conversation, mode="thinking", tools=[tool])
    assert tooled["prompt_tokens"]["standard"] > plain["prompt_tokens"]["standard"]
    assert "4 messages and 1 tool:" in run("count", "--messages", str(file)).out


def test_wrong_input_is_refused_with_the_reason(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    for content, reason in (
        ("{", "is not JSON"),
        ("{}", "holds no list of messages"),
        ("[]", "holds no list of messages"),
        ('[{"content": "x"}]', "is not a message with a role"),
        ('{"messages": [{"role": "user", "content": "x"}], "tools": 3}', "tools is not a list"),
        ('[{"role": "wizard", "content": "x"}]', "wizard"),
    ):
        file.write_text(content)
        ran = run("count", "--messages", str(file))
        assert ran.code == 2, content
        assert ran.out == ""
        assert reason in ran.err
    assert run("count", "text", "--file", str(file)).code == 2


def test_a_file_is_counted_byte_for_byte(run: Run, tmp_path: Path) -> None:
    for content in (b"one\r\n\r\ntwo\r\n" * 20, b"one\rtwo\r", b"\xef\xbb\xbfone\r\n"):
        file = tmp_path / "text.txt"
        file.write_bytes(content)
        assert run("count", "--file", str(file), "--json").json["text_tokens"] == tokens.count_text(content.decode())


def test_a_conversation_with_a_byte_order_mark_is_counted(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "conversation.json"
    text = json.dumps([{"role": "user", "content": "Grüße"}], ensure_ascii=False)
    counts = []
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16")):
        file.write_bytes(data)
        counts.append(run("count", "--messages", str(file), "--json").json["prompt_tokens"])
    assert counts == [counts[0]] * 3
