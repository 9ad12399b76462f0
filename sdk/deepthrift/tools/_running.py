"""The calls of one round, run at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from deepthrift._types.errors import InvalidRequestError, ToolFailed
from deepthrift._types.messages import JSONObject
from deepthrift._types.reply import ToolCall
from deepthrift._types.tool_reply import ToolLoopEvent, ToolResult, ToolStarted
from deepthrift.tools._tool import Tool

OnError: TypeAlias = Literal["report", "raise"]
"""What becomes of an exception in a tool: the model reads it, or `run_tools` raises `ToolFailed`."""

AT_ONCE: Final = 8
"""The most tools that run at the same time."""


class Toolbox:
    """The tools of one loop.

    Raises:
        InvalidRequestError: There are none, one is no function, or two share a name.
        ConfigurationError: A function cannot be a tool.
    """

    def __init__(
        self,
        tools: Sequence[Callable[..., object] | Tool],
        *,
        parallel: bool,
        on_error: OnError,
        tell: Callable[[ToolLoopEvent], object] | None,
    ) -> None:
        if on_error not in ("report", "raise"):
            raise InvalidRequestError(f"on_error is 'report' or 'raise', not {on_error!r}")
        self._tools: dict[str, Tool] = {}
        for function in tools:
            if not isinstance(function, Tool) and not callable(function):  # pyright: ignore[reportUnnecessaryIsInstance, reportUnnecessaryComparison]
                raise InvalidRequestError(
                    f"a tool is a function or a Tool, not {type(function).__name__}; "
                    f"chat takes tools in the OpenAI shape"
                )
            tool = Tool.of(function)
            if tool.name in self._tools:
                raise InvalidRequestError(f"two tools are called {tool.name!r}; name one with Tool.of(…, name=…)")
            self._tools[tool.name] = tool
        if not self._tools:
            raise InvalidRequestError("run_tools needs at least one tool; without any, use chat")
        self._room = asyncio.Semaphore(AT_ONCE if parallel else 1)
        self._on_error: OnError = on_error
        self._tell = tell

    @property
    def definitions(self) -> list[JSONObject]:
        """The tools as the request carries them."""
        return [tool.definition for tool in self._tools.values()]

    async def run(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """The results in the order of the calls. When this is cancelled, every tool under way is.

        Raises:
            ToolFailed: A tool raised, and `on_error` is `"raise"`; the others were cancelled.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._run(call)) for call in calls]
        except BaseExceptionGroup as errors:
            first = errors.exceptions[0]
            raise first from first.__cause__
        return [task.result() for task in tasks]

    async def _run(self, call: ToolCall) -> ToolResult:
        async with self._room:
            if self._tell is not None:
                self._tell(ToolStarted(call))
            started = time.monotonic()
            text, failed = await self._outcome(call)
            result = ToolResult(call, text, failed, time.monotonic() - started)
            if self._tell is not None:
                self._tell(result)
            return result

    async def _outcome(self, call: ToolCall) -> tuple[str, bool]:
        tool = self._tools.get(call.name)
        if tool is None:
            return f"Error: there is no tool {call.name!r}; the tools are {', '.join(self._tools)}", True
        try:
            arguments = tool.typed(call.arguments)
        except ValueError as error:
            return f"Error: the arguments do not fit: {error}", True
        try:
            return await tool.run(arguments), False
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._failure(tool, error)  # the tool gave up on its own; nobody cancelled the loop
        except (Exception, SystemExit) as error:
            return self._failure(tool, error)

    def _failure(self, tool: Tool, error: BaseException) -> tuple[str, bool]:
        kind = type(error).__name__
        if self._on_error == "raise":
            raise ToolFailed(
                f"the tool {tool.name!r} raised {kind}; on_error='report' would have told the model"
            ) from error
        message = str(error).encode("utf-8", "replace").decode()
        return f"Error: {kind}: {message}" if message else f"Error: {kind}", True
