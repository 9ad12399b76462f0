"""What Ctrl-C means in a conversation: it stops an answer or a line, and never the conversation."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Generator
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


class Interrupt:
    """Hands Ctrl-C to the answer or the line that is under way.

    Between the two, where a `KeyboardInterrupt` could come out anywhere, it is kept for the next line.
    """

    def __init__(self) -> None:
        self._reading = False
        self._pressed = False
        self._task: asyncio.Task[object] | None = None

    @contextlib.contextmanager
    def caught(self) -> Generator[None, None, None]:
        """Inside, Ctrl-C comes here."""
        try:
            before = signal.signal(signal.SIGINT, self._press)
        except ValueError:  # only the main thread may set a handler, and only there Ctrl-C comes out
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextlib.contextmanager
    def of_a_read(self) -> Generator[None, None, None]:
        """Inside, a line is read.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, or had been since the last answer.
        """
        self._reading = True
        try:
            if self._pressed:
                self._press()
            yield
        finally:
            self._reading = self._pressed = False

    async def of_an_answer(self, answer: Coroutine[object, object, Result]) -> Result:
        """What `answer` returns.

        Raises:
            asyncio.CancelledError: Ctrl-C was pressed.
        """
        self._task = asyncio.current_task()
        try:
            return await answer
        finally:
            self._task = None

    def _press(self, _number: int = signal.SIGINT, _frame: FrameType | None = None) -> None:
        if self._reading:
            self._reading = False  # a second one may come before the first is dealt with
            raise KeyboardInterrupt
        if (task := self._task) is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)
        else:
            self._pressed = True
