"""The keyword arguments of a tool loop."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from deepthrift._types.options import CallOptions, ToolChoice
from deepthrift._types.tool_reply import ToolLoopEvent
from deepthrift.tools._running import OnError
from deepthrift_pricing import Money


class ToolLoopOptions(CallOptions, total=False):
    """What `run_tools` takes: the options of a call, and these."""

    max_rounds: int
    """How often the model may be called. Default: 10."""
    max_spend: str | Decimal | Money | None
    """The most that all rounds may cost, in the currency of the prices. A round is sent only if its worst case fits."""
    parallel: bool
    """Whether the calls of one round run at the same time, up to eight of them; their order is kept. Default: yes."""
    on_error: OnError
    """Whether the model reads the exception of a tool (`"report"`, the default), or `ToolFailed` is raised."""
    tool_choice: ToolChoice | None
    """For the first round; after that, the model is free."""
    on_event: Callable[[ToolLoopEvent], object] | None
    """Called with each event as it comes; the rounds are streamed then."""
