"""The loop of `deepthrift chat`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

import click

from deepthrift.shared.files import private_file
from deepthrift_pricing import Cost, new_id, utc_now
from deepthrift_pricing.shared.files import read_text
from deepthrift_router.cli._answers.history import line_editing
from deepthrift_router.cli._answers.interrupts import Interrupt
from deepthrift_router.cli._answers.replies import show_cost, show_stream
from deepthrift_router.cli._shared.connect import Place, connect, run
from deepthrift_router.cli._shared.exits import OK, exit_code
from deepthrift_router.cli._shared.exits import message as error_message
from deepthrift_router.cli._shared.format import money

if TYPE_CHECKING:
    from deepthrift import AssistantMessage, AsyncClient, AsyncStream, Message, Reply
    from deepthrift_router import ModeRouter
    from deepthrift_router.cli._shared.output import Output

ChatMode: TypeAlias = Literal["standard", "thinking", "auto"]

_TAG: Final = "chat"
"""Every attempt of a conversation carries this tag, with the conversation's id as its value."""
MODES: Final[Mapping[str, ChatMode]] = {"standard": "standard", "thinking": "thinking", "auto": "auto"}
HELP: Final = """\
/mode standard|thinking|auto   switch the mode; without a word, show it
/cost                          spend of this conversation
/undo                          forget the last question and its answer
/save FILE                     keep the conversation as JSON; later without FILE
/reset                         forget the conversation
/quit                          leave, as does Ctrl-D
\"\"\"                            starts and ends a message of several lines
Ctrl-C                         stops the answer, not the conversation"""


def read_conversation(path: Path) -> list[Message]:
    """The messages in a file written by `/save`.

    Raises:
        click.BadParameter: It holds something else.
    """
    try:
        found: object = json.loads(read_text(path))
    except ValueError as error:
        raise click.BadParameter(f"{path} is not JSON: {error}", param_hint="--resume") from None
    entries = cast("list[object]", found) if isinstance(found, list) else [None]
    for entry in entries:
        if not isinstance(entry, dict) or not {"role", "content"} <= set(cast("dict[object, object]", entry)):
            raise click.BadParameter(f"{path} is not a list of messages", param_hint="--resume")
    return cast("list[Message]", entries)


class Chat:
    """One conversation; the client stays open between the answers."""

    def __init__(
        self,
        place: Place,
        output: Output,
        *,
        mode: ChatMode,
        messages: Sequence[Message],
        max_tokens: int | None,
        effort: str | int | None = None,
        history: Path | None = None,
        saved: Path | None = None,
    ) -> None:
        # What a conversation cost is told from the ledger, so that stopped and failed answers count, too.
        self._tags = {_TAG: place.tags.get(_TAG) or new_id(_TAG)}
        self._place = replace(place, tags={**place.tags, **self._tags})
        self._began = utc_now()
        self._stack = contextlib.AsyncExitStack()
        self._history = history
        self._saved = saved
        self._output = output
        self._mode: ChatMode = mode
        self._messages: list[Message] = list(messages)
        self._max_tokens = max_tokens
        self._effort = effort
        self._answers = 0
        self._failed: Exception | None = None
        self._stream: AsyncStream | None = None
        self._router: ModeRouter[AsyncClient] | None = None
        self._interrupt = Interrupt()

    def run(self) -> int:
        """Talk until the user leaves; the exit code, which without a terminal is that of the last failure."""
        with asyncio.Runner() as runner:
            stack = self._stack
            client = run(stack.enter_async_context(connect(self._place, self._output)), runner)
            try:
                if sys.stdin.isatty() and not self._output.as_json:
                    stack.enter_context(line_editing(self._history))
                self._greet(client)
                with self._interrupt.caught():
                    self._loop(client, runner)
                if not self._output.as_json:
                    self._show_cost(client)
            finally:
                run(stack.aclose(), runner)
        if self._failed is None or sys.stdin.isatty():
            return OK
        if self._output.as_json:
            raise self._failed
        return exit_code(self._failed)

    def _greet(self, client: AsyncClient) -> None:
        if self._output.as_json:
            return
        self._output.note(f"{client.model}, {self._mode} mode. /help lists the commands, Ctrl-D leaves.")
        if self._messages:
            self._output.note(f"{len(self._messages)} messages so far.")

    def _loop(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        going = True
        while going:
            try:
                going = self._turn(client, runner)
            except KeyboardInterrupt:
                self._output.note("\n(/quit or Ctrl-D leaves)")

    def _turn(self, client: AsyncClient, runner: asyncio.Runner) -> bool:
        """One line of the user's and what comes of it; whether the conversation goes on."""
        try:
            text = self._read()
        except EOFError:
            if sys.stdin.isatty():
                self._output.note("")
            return False
        if not text.strip():
            return True
        if text.startswith("/") and not self._output.as_json:
            return self._command(text, client) != "quit"
        self._answer(text, client, runner)
        return self._failed is None or not self._output.as_json

    def _read(self) -> str:
        text = self._line("> ")
        if not text.startswith('"""'):
            return text
        lines = [text[3:]]
        while not lines[-1].endswith('"""'):
            try:
                lines.append(self._line(". "))
            except EOFError:
                self._output.note('the message has no """ at its end, so it was not sent')
                raise
        lines[-1] = lines[-1][:-3]
        return "\n".join(lines).strip("\n")

    def _line(self, prompt: str) -> str:
        if self._output.as_json or not sys.stdin.isatty():
            prompt = ""
        elif not sys.stdout.isatty():
            sys.stderr.write(prompt)  # standard output is for answers, and here it is a file or a pipe
            sys.stderr.flush()
            prompt = ""
        with self._interrupt.of_a_read():
            return input(prompt)

    def _command(self, text: str, client: AsyncClient) -> str | None:
        name, _, argument = text.strip().partition(" ")
        argument = argument.strip()
        match name:
            case "/quit" | "/exit":
                return "quit"
            case "/help":
                self._output.note(HELP)
            case "/mode":
                self._switch(argument)
            case "/cost":
                self._show_cost(client)
            case "/save":
                self._save(argument)
            case "/undo":
                self._undo()
            case "/reset":
                self._messages = [each for each in self._messages if each["role"] == "system"]
                self._output.note("The conversation is forgotten; its spend is not.")
            case _:
                self._output.note(f"{name} is no command; /help lists them")
        return None

    def _switch(self, wanted: str) -> None:
        mode = MODES.get(wanted)
        if mode is not None:
            self._mode = mode
        elif wanted:
            self._output.note(f"{wanted!r} is no mode: standard, thinking or auto")
        self._output.note(f"mode: {self._mode}")

    def _undo(self) -> None:
        """Back to before the last question; what it cost stays spent."""
        questions = [place for place, each in enumerate(self._messages) if each["role"] == "user"]
        if not questions:
            self._output.note("there is nothing to undo")
            return
        del self._messages[questions[-1] :]
        self._output.note(f"forgotten: the last question and its answer; {len(self._messages)} messages are left")

    def _save(self, name: str) -> None:
        path = Path(name).expanduser() if name else self._saved
        if path is None:
            self._output.note("where to? /save FILE")
            return
        # A half of a letter, which a model can write, has no form in UTF-8, and one in JSON.
        text = json.dumps(self._messages, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace")
        try:
            # Conversations are private: nobody else on this machine needs to read them.
            with private_file(path) as file:
                file.write(text)
        except OSError as error:
            self._output.note(f"{path} cannot be written: {error.strerror}")
            return
        self._saved = path
        self._output.note(f"saved {len(self._messages)} messages in {path}")

    def _show_cost(self, client: AsyncClient) -> None:
        costs = [each.cost for each in client.ledger.attempts(since=self._began, tags=self._tags)]
        total = Cost.sum(costs, costs[0].currency) if costs else Cost.sum(())
        if not total.total and not self._answers:
            self._output.note("nothing spent")
            return
        answers = f"{self._answers} answer{'' if self._answers == 1 else 's'}"
        mark = "" if total.certainty == "exact" else f" ({total.certainty})"
        self._output.note(f"{money(total.total)}{mark} for {answers}")

    def _answer(self, text: str, client: AsyncClient, runner: asyncio.Runner) -> None:
        question: Message = {"role": "user", "content": text}
        messages = [*self._messages, question]
        try:
            reply = run(self._interrupt.of_an_answer(self._ask(client, messages)), runner)
        except (asyncio.CancelledError, KeyboardInterrupt):
            self._stopped()
            return
        except Exception as error:
            self._stream = None
            self._fail(error)
            return
        self._stream = None
        self._failed = None
        self._answers += 1
        answered: AssistantMessage = {"role": "assistant", "content": reply.text}
        if reply.reasoning:
            answered["reasoning_content"] = reply.reasoning
        self._messages = [*messages, answered]
        if self._output.as_json:
            self._output.line(reply)
        else:
            show_cost(reply, self._output)

    async def _ask(self, client: AsyncClient, messages: Sequence[Message]) -> Reply:
        if self._mode == "auto":
            from deepthrift_router.cli._answers.routing import routed, router_at

            if self._router is None:
                self._router = await self._stack.enter_async_context(router_at(client, self._place))
            return await routed(self._router, messages, self._output, max_tokens=self._max_tokens, effort=self._effort)
        effort = self._effort if self._mode == "thinking" else None
        self._stream = client.stream(messages, mode=self._mode, max_tokens=self._max_tokens, effort=effort)
        return await show_stream(self._stream, self._output)

    def _stopped(self) -> None:
        """Ctrl-C: what came is booked; it does not become part of the conversation."""
        self._output.note("stopped; the question is not kept")
        if self._stream is None:
            return
        cut = self._stream.snapshot()
        self._stream = None
        show_cost(cut, self._output)

    def _fail(self, error: Exception) -> None:
        from deepthrift_pricing.errors import ContextLengthExceeded, DeepthriftError

        self._failed = error
        if self._output.as_json:
            return
        if not isinstance(error, DeepthriftError | OSError):
            raise error
        self._output.note(f"error: {error_message(error)}", style="red")
        if isinstance(error, ContextLengthExceeded):
            self._output.note("/reset starts anew")
