"""The comparison for code without `await`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Unpack

from deepthrift._sync.loop import Loop
from deepthrift._types.messages import JSONObject
from deepthrift._types.options import CallOptions
from deepthrift.batch import BatchRow, SyncChatter
from deepthrift.batch._chatter import Threaded
from deepthrift.compare._agreement import Agree, same_text
from deepthrift.compare._compare import check_side, compared, side_name
from deepthrift.compare._pair import Pair
from deepthrift.compare._report import Comparison
from deepthrift_pricing import Mode


def compare_sync(
    a: SyncChatter,
    b: SyncChatter,
    prompts: Iterable[BatchRow | JSONObject | str],
    *,
    mode: Mode | None = None,
    max_tokens: int | None = None,
    agree: Agree = same_text,
    concurrency: int = 4,
    on_pair: Callable[[Pair], object] | None = None,
    **options: Unpack[CallOptions],
) -> Comparison:
    """The same as `compare` for what is not awaited: clients of the kind `Client`, routers on them, objects of yours.

    Each call runs in a thread of its own; `agree` and `on_pair` are called in another one, one at a time. It works
    where an event loop is running already, such as in a notebook. An interrupt ends it at once; the calls under way end
    when their clients are closed, and are booked.

    Args:
        a: A client, a router, or anything with a `chat` that is not awaited.
        b: The other one.
        prompts: As for `compare`, and so are all others.
        mode: See there.
        max_tokens: See there.
        agree: See there.
        concurrency: See there.
        on_pair: See there.
        **options: See there.

    Returns:
        The report. It holds no prompts or answers.

    Raises:
        InvalidRequestError: A prompt is wrong; nothing was sent.
        ConfigurationError: `concurrency` is wrong, or a side's `chat` is awaited; nothing was sent.
    """
    check_side("a", a, awaited=False)
    check_side("b", b, awaited=False)
    sides, names = (Threaded(a), Threaded(b)), (side_name(a), side_name(b))
    loop = Loop()
    try:
        return loop.run(compared(sides, names, prompts, mode, max_tokens, agree, concurrency, on_pair, options))
    finally:
        loop.stop()
