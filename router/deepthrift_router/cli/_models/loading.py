"""The progress of an engine that takes longer than a moment to load."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deepthrift_router.cli._shared.format import size

if TYPE_CHECKING:
    from deepthrift.local import EngineProgress
    from deepthrift_router.cli._shared.output import Output

_SILENT_SECONDS = 1.0
_STEPS = 10


def loading(output: Output) -> Callable[[EngineProgress], None]:
    """Says how far a load is, in tenths, once it has taken a second."""
    told = -1

    def show(now: EngineProgress) -> None:
        nonlocal told
        if now.stage != "loading" or now.seconds < _SILENT_SECONDS or not now.total:
            return
        step = now.done * _STEPS // now.total
        if step > told:
            told = step
            output.note(f"loading the model: {size(now.done)} of {size(now.total)}, {now.seconds:.0f} s")

    return show
