"""How many tokens a running engine processes and generates per second, and what a token then costs on this machine."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import httpx
from pydantic import BaseModel

from deepthrift._types.errors import EngineError
from deepthrift_pricing import Currency, Machine, Price

if TYPE_CHECKING:
    from deepthrift.local._engine.engine import Engine

_PROMPT: Final = "The quick brown fox jumps over the lazy dog; five wizards box. " * 20
_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a running engine does on this machine, with this model and these settings.

    Attributes:
        completion_tokens_per_second: Generated tokens of all slots together, the median of the runs.
        prompt_tokens_per_second: Processed prompt tokens of one request that is alone, the median of the runs.
        slots: Requests that generated at the same time.
        runs: How often it was measured.
    """

    completion_tokens_per_second: Decimal
    prompt_tokens_per_second: Decimal
    slots: int
    runs: int

    def price(
        self,
        machine_hour: Decimal | str,
        *,
        utilisation: Decimal | str = "1",
        currency: Currency = "USD",
        host: str = "local",
    ) -> Price:
        """What a token costs here: an hour of the machine spread over the tokens that it handles.

        Args:
            machine_hour: What the machine costs for an hour, in `currency`: power, and its purchase spread over its
                life.
            utilisation: The share of the time in which it is busy, above 0 and up to 1.
            currency: `USD` or `CNY`.
            host: The host profile that the price is for.

        Raises:
            ConfigurationError: A figure is outside its range.
        """
        machine = Machine(
            id="this",
            name="this machine",
            gpus=1,
            memory_gb=1,
            completion_tokens_per_second=self.completion_tokens_per_second,
            prompt_tokens_per_second=self.prompt_tokens_per_second,
            origin="measured",
            source=f"the median of {self.runs} runs, {self.slots} at a time",
        )
        return machine.price(machine_hour, utilisation=utilisation, currency=currency, host=host)


def check_hour(machine_hour: Decimal | str, utilisation: Decimal | str) -> None:
    """Whether they make a price; to be asked before a model is loaded and measured.

    Raises:
        ConfigurationError: A figure is outside its range.
    """
    one = Decimal(1)
    Throughput(one, one, slots=1, runs=1).price(machine_hour, utilisation=utilisation)


class _Timings(BaseModel):
    prompt_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float


class _Answer(BaseModel):
    timings: _Timings


async def measure(engine: Engine, *, runs: int = 3, tokens: int = 48) -> Throughput:
    """Measure a running engine; it should have nothing else to do. Nothing is booked, and nothing leaves the machine.

    Args:
        engine: The engine, entered.
        runs: How often; the median counts.
        tokens: How many tokens each request generates.

    Raises:
        EngineError: It is not running, or did not answer.
    """
    headers = {"authorization": f"Bearer {engine.key}"}
    base = engine.url.removesuffix("/v1")
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=_SECONDS, trust_env=False) as http:

        async def one(number: int, count: int) -> _Timings:
            body = {
                "prompt": f"{number} {_PROMPT}",
                "n_predict": count,
                "ignore_eos": True,
                "cache_prompt": False,
                "temperature": 0,
            }
            try:
                answer = await http.post("/completion", json=body)
                answer.raise_for_status()
                return _Answer.model_validate_json(answer.content).timings
            except (httpx.HTTPError, ValueError) as error:
                raise EngineError(f"the engine could not be measured: {type(error).__name__}: {error}") from error

        await one(0, 1)  # the first request pages the weights in
        prompt_rates: list[float] = []
        completion_rates: list[float] = []
        for run in range(1, runs + 1):
            alone = await one(run, 1)
            prompt_rates.append(alone.prompt_n / alone.prompt_ms * 1000)
            started = time.perf_counter()
            told = await asyncio.gather(*(one(run * 100 + slot, tokens) for slot in range(engine.slots)))
            passed = time.perf_counter() - started - max(each.prompt_ms for each in told) / 1000
            slowest = max(passed, max(each.predicted_ms for each in told) / 1000)
            completion_rates.append(sum(each.predicted_n for each in told) / slowest)
    return Throughput(
        completion_tokens_per_second=_rounded(completion_rates),
        prompt_tokens_per_second=_rounded(prompt_rates),
        slots=engine.slots,
        runs=runs,
    )


def _rounded(rates: list[float]) -> Decimal:
    return Decimal(str(round(statistics.median(rates), 1))) or Decimal("0.1")


def price_file(throughput: Throughput, machine_hour: Decimal | str, utilisation: Decimal | str, model: str) -> str:
    """A price file for what was measured, which `PriceBook.load` and `--prices` take.

    Raises:
        ConfigurationError: A figure is outside its range.
    """
    throughput.price(machine_hour, utilisation=utilisation)
    today = datetime.now(UTC).date().isoformat()
    name = json.dumps(f"own/{model}", ensure_ascii=False)
    return (
        f"# {model} on this machine, measured by `deepthrift models measure`.\n"
        f'host = "local"\nchecked = {today}\n\n'
        f'[[hardware]]\nid = {name}\ngpus = 1\ngpu_hour = "{Decimal(machine_hour):f}"\n'
        f'utilisation = "{Decimal(utilisation):f}"\n'
        f"completion_tokens_per_second = {throughput.completion_tokens_per_second}\n"
        f"prompt_tokens_per_second = {throughput.prompt_tokens_per_second}\n"
        f'source = "the median of {throughput.runs} runs, {throughput.slots} at a time, on {today}"\n'
    )
