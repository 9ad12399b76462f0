"""Measuring the embedded engine, and pricing what it does."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from deepthrift_router.cli._models.loading import loading
from deepthrift_router.cli._shared.connect import run

if TYPE_CHECKING:
    from deepthrift.local import Throughput
    from deepthrift_router.cli._shared.output import Output


class MeasureOptions(TypedDict):
    """How the engine is measured, and what the machine costs."""

    hour: Decimal | None
    utilisation: Decimal
    slots: int
    threads: int | None
    runs: int
    out: Path | None


def measure_model(model: str | None, output: Output, **options: Unpack[MeasureOptions]) -> None:
    """Start the engine, measure it, and show, or write, what came of it."""
    from deepthrift.local import Engine, measure
    from deepthrift.shared.engine import price_file

    hour, utilisation, out = options["hour"], options["utilisation"], options["out"]
    engine = Engine(model, slots=options["slots"], threads=options["threads"], on_progress=loading(output))

    async def measuring() -> Throughput:
        async with engine:
            with output.working(f"measuring {engine.model}"):
                return await measure(engine, runs=options["runs"])

    found = run(measuring())
    price = None if hour is None else found.price(hour, utilisation=utilisation)
    if out is not None and hour is not None:
        name = Path(model).stem if model is not None else "default"
        out.write_text(price_file(found, hour, utilisation, name), encoding="utf-8")
    if output.as_json:
        output.document(
            {
                "completion_tokens_per_second": found.completion_tokens_per_second,
                "prompt_tokens_per_second": found.prompt_tokens_per_second,
                "slots": found.slots,
                "runs": found.runs,
                "price": price,
                "file": out,
            }
        )
        return
    output.print(f"generates {found.completion_tokens_per_second} tokens per second, {found.slots} at a time")
    output.print(f"processes {found.prompt_tokens_per_second} prompt tokens per second")
    if price is not None:
        output.print(
            f"at ${hour:f} an hour, busy {utilisation:f} of the time, a million tokens cost ${price.cache_miss:f} of "
            f"prompt and ${price.completion:f} of completion; a cache hit costs nothing"
        )
    if out is not None:
        output.print(f"The price file is {out}; use it with --prices {out}", whole=True)
