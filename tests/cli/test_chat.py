"""`deepthrift chat`: the conversation, its commands, and what Ctrl-C stops."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest

from tests.cli.processes import COMMAND, PATIENCE, deepthrift, environment
from tests.support.bill_server import Answer, BillServer
from tests.support.serve_answer import Received

PRICES = ("--prices", "official-2025-09-05")


def reply(request: Received) -> Answer:
    """An answer that tells how long the conversation is; `slow` is endless."""
    messages = request.body["messages"]
    if messages[-1]["content"] == "slow":
        return Answer([f"word{number} " for number in range(2000)], stall_after=10)
    return Answer(f"Message {len(messages)} was: {messages[-1]['content']}", reasoning="I count the messages.")


@pytest.fixture
def server() -> Iterator[BillServer]:
    """An endpoint that remembers nothing by itself."""
    with BillServer(reply) as bill:
        yield bill


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, *args: str, columns: int = 80, variables: Mapping[str, str] | None = None) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment({"COLUMNS": str(columns), "TERM": "xterm", **(variables or {})}),
        )
        os.close(theirs)
        self.raw = ""

    @property
    def screen(self) -> str:
        """What was shown so far, without colours and cursor movements."""
        return self.unescaped.replace("\r", "")

    @property
    def unescaped(self) -> str:
        """The same with its carriage returns."""
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07)", "", self.raw)

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._ours, f"{text}\n".encode())

    def until(self, text: str) -> None:
        """Read until `text` is on the screen."""
        while text not in self.screen:
            if not self._read(text, PATIENCE):
                raise AssertionError(f"{text!r} did not come:\n{self.screen}")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def interrupt_until(self, text: str) -> None:
        """Press Ctrl-C, and again like a person while nothing happens: readline misses one that comes as it starts."""
        end = time.monotonic() + PATIENCE
        while text not in self.screen:
            if time.monotonic() > end:
                raise AssertionError(f"{text!r} did not come:\n{self.screen}")
            self.interrupt()
            while text not in self.screen and self._read(text, 0.5):
                pass

    def _read(self, text: str, seconds: float) -> bool:
        """Read what is there within so many seconds; whether anything came."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._ours, 65536)
        except OSError:
            piece = b""
        if not piece:
            raise AssertionError(f"ended before {text!r}:\n{self.screen}")
        self.raw += piece.decode(errors="replace")
        return True

    def quit(self) -> int:
        """Type /quit, and again while nothing comes of it: a Ctrl-C that was on its way takes the line with it."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"it did not end:\n{self.screen}")
            with contextlib.suppress(OSError):
                self.type("/quit")
            with contextlib.suppress(OSError, AssertionError):
                while self._read("the end", 2.0):
                    pass
        return self.end()

    def end(self) -> int:
        """Read to the end; the exit code."""
        with contextlib.suppress(OSError):
            while piece := os.read(self._ours, 65536):
                self.raw += piece.decode(errors="replace")
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._ours)


def test_a_conversation_on_a_terminal(server: BillServer, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    with Terminal("chat", *PRICES, "--url", server.url, "--host", "deepseek") as chat:
        chat.until("/help lists the commands")
        chat.type("Hello there")
        chat.until("Message 1 was: Hello there")
        chat.until("standard · stop")
        chat.type("/mode thinking")
        chat.until("mode: thinking")
        chat.type("And now?")
        chat.until("thinking: I count the messages.")
        chat.until("Message 3 was: And now?")
        chat.until("thinking · stop")
        chat.type("/cost")
        chat.until("for 2 answers")
        chat.type(f"/save {saved}")
        chat.until("saved 4 messages")
        chat.type("/mode deep")
        chat.until("'deep' is no mode")
        chat.type("/wrong")
        chat.until("/wrong is no command")
        chat.type('"""first line')
        chat.type('second line"""')
        chat.until("Message 5 was: first line")
        chat.type("/reset")
        chat.until("forgotten")
        chat.type("Again")
        chat.until("Message 1 was: Again")
        chat.type("/quit")
        assert chat.end() == 0
    assert "Traceback" not in chat.screen
    assert "\x1b[2" in chat.raw or "\x1b[2;3m" in chat.raw, "reasoning and cost are dimmed"
    kept = json.loads(saved.read_text())
    assert [message["role"] for message in kept] == ["user", "assistant", "user", "assistant"]
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert server.requests[3].body["messages"] == [{"role": "user", "content": "Again"}]


def test_ctrl_c_stops_the_answer_and_not_the_conversation(server: BillServer) -> None:
    with Terminal("chat", *PRICES, "--url", server.url, "--host", "deepseek", "--max-tokens", "3000") as chat:
        chat.until("/help lists the commands")
        chat.type("slow")
        chat.until("word5")
        chat.interrupt()
        chat.until("the question is not kept")
        chat.until("estimated")
        chat.type("Still there?")
        chat.until("Message 1 was: Still there?")
        chat.until("standard · stop")
        chat.interrupt_until("/quit or Ctrl-D leaves")
        assert chat.quit() == 0
    assert "Traceback" not in chat.screen
    server.quiet()
    assert server.requests[0].disconnected


def test_a_refused_answer_leaves_the_conversation_going(server: BillServer) -> None:
    deepthrift("budget", "set", "0.000001", "--name", "tight", "--policy", "refuse")
    with Terminal("chat", *PRICES, "--url", server.url, "--host", "deepseek") as chat:
        chat.until("/help lists the commands")
        chat.type("Hello")
        chat.until("error: ")
        chat.until("tight")
        chat.type("/cost")
        chat.until("nothing spent")
        chat.type("/quit")
        assert chat.end() == 0
    assert server.requests == []


def test_json_lines_from_a_pipe(server: BillServer) -> None:
    ran = deepthrift(
        "chat", *PRICES, "--url", server.url, "--host", "deepseek", "--json", stdin="One\n\nTwo\n/mode thinking\n"
    )
    assert ran.code == 0, ran.err
    replies = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["text"] for each in replies] == [
        "Message 1 was: One",
        "Message 3 was: Two",
        "Message 5 was: /mode thinking",
    ]


def test_a_saved_conversation_is_resumed(server: BillServer, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    saved.write_text(json.dumps([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]))
    ask = ("chat", *PRICES, "--url", server.url, "--host", "deepseek", "--json", "--resume", str(saved))
    ran = deepthrift(*ask, "--system", "Be brief.", stdin="c\n")
    assert json.loads(ran.out)["text"] == "Message 4 was: c"
    saved.write_text('{"not": "messages"}')
    assert deepthrift(*ask, stdin="c\n").code == 2


def test_an_error_ends_json_lines_with_its_exit_code(server: BillServer) -> None:
    deepthrift("budget", "set", "0.000001", "--name", "tight", "--policy", "refuse")
    ran = deepthrift("chat", *PRICES, "--url", server.url, "--host", "deepseek", "--json", stdin="One\nTwo\n")
    assert ran.code == 3
    assert len(ran.out.splitlines()) == 1
    assert json.loads(ran.out)["error"]["type"] == "BudgetExceeded"


def test_the_last_question_is_undone(server: BillServer, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    lines = ["One", "Two", "/undo", "Three", f"/save {saved}", "/undo", "/undo", "/undo", "/save"]
    ran = deepthrift("chat", *PRICES, "--url", server.url, "--host", "deepseek", stdin="\n".join(lines) + "\n")
    assert ran.code == 0, ran.err
    assert "Message 3 was: Three" in ran.out
    assert "2 messages are left" in ran.err
    assert "there is nothing to undo" in ran.err
    assert "saved 4 messages" in ran.err
    assert "saved 0 messages" in ran.err
    assert json.loads(saved.read_text()) == []


@pytest.mark.slow
def test_typed_lines_come_back_with_the_arrow_keys(server: BillServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one conversation to the next, privately; only where that is asked for."""
    monkeypatch.setenv("DEEPTHRIFT_HISTORY", "1")
    command = ("chat", *PRICES, "--url", server.url, "--host", "deepseek")
    with Terminal(*command) as chat:
        chat.until("/help lists the commands")
        chat.type("Remember me")
        chat.until("standard · stop")
        chat.type("/quit")
        assert chat.end() == 0
    history = Path(os.environ["DEEPTHRIFT_HOME"]) / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "Remember me" in history.read_text()
    with Terminal(*command) as chat:
        chat.until("/help lists the commands")
        chat.until("> ")
        chat.type("\x1b[A\x1b[A")
        chat.until("Message 1 was: Remember me")
        chat.type("/quit")
        assert chat.end() == 0
    monkeypatch.delenv("DEEPTHRIFT_HISTORY")
    before = history.read_bytes()
    with Terminal(*command) as chat:
        chat.until("/help lists the commands")
        chat.type("A secret")
        chat.until("standard · stop")
        chat.type("/quit")
        assert chat.end() == 0
    assert history.read_bytes() == before


@pytest.mark.slow
def test_a_pipe_ends_with_the_code_of_its_last_answer(server: BillServer, tmp_path: Path) -> None:
    gone = ("chat", *PRICES, "--url", "http://127.0.0.1:9/v1", "--host", "deepseek")
    ran = deepthrift(*gone, stdin="One\n")
    assert (ran.code, "error: no connection" in ran.err) == (4, True)
    deepthrift("budget", "set", "0.0004", "--name", "tight", "--policy", "refuse")
    here = ("chat", *PRICES, "--url", server.url, "--host", "deepseek", "--max-tokens")
    assert deepthrift(*here, "4000", stdin="One\n").code == 3
    assert deepthrift(*here, "20", stdin="One\n").code == 0


def test_what_a_conversation_cost_counts_answers_that_were_stopped_or_failed(server: BillServer) -> None:
    ask = ("chat", *PRICES, "--url", server.url, "--host", "deepseek", "--max-tokens", "3000", "--mode", "auto")
    with Terminal(*ask) as chat:
        chat.until("/help lists the commands")
        chat.type("slow")
        server.wait_for(lambda seen: bool(seen.requests) and seen.requests[0].generated > 3)
        chat.interrupt()
        chat.until("the question is not kept")
        chat.type("/cost")
        chat.until("for 0 answers")
        chat.type("/quit")
        assert chat.end() == 0
    [row] = deepthrift("spend", "--by", "tag:chat", "--json").json["rows"]
    assert row["key"]["tag:chat"].startswith("chat-")
    assert float(row["total"]["amount"]) > 0


def test_a_message_without_an_end_is_not_sent(server: BillServer) -> None:
    ran = deepthrift("chat", *PRICES, "--url", server.url, "--host", "deepseek", stdin='"""One\nTwo\n')
    assert ran.code == 0
    assert "was not sent" in ran.err
    assert server.requests == []


def test_a_half_letter_is_kept(server: BillServer, tmp_path: Path) -> None:
    saved, again = tmp_path / "talk.json", tmp_path / "again.json"
    saved.write_text('[{"role": "user", "content": "a"}, {"role": "assistant", "content": "\\ud83d"}]')
    ask = ("chat", *PRICES, "--url", server.url, "--host", "deepseek", "--resume", str(saved))
    ran = deepthrift(*ask, stdin=f"/save {again}\n")
    assert "saved 2 messages" in ran.err
    assert json.loads(again.read_text()) == json.loads(saved.read_text())
