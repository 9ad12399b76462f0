"""The sides of `peers_pricing.py`: each does its nearest equivalent of booking a call against a budget.

The workload is the same for all: a short prompt, an answer of `COMPLETION` tokens as a provider would report it, one
budget, the tags of one team. Each side prices at its own table.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _peers import serve, timed, versions

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
PROMPT, COMPLETION = 11, 500
AMPLE = "9000"
"""A budget that is never used up, in USD."""
WEEK = datetime(2025, 9, 10, 12, tzinfo=UTC)
"""A moment at which V3.1 had its first official prices."""
HIT, MISS, OUT = 1024, 512, 96
"""The usage that is priced at `WEEK`; it cost 0.00051968 USD."""


def rounds(work: Callable[[int], object], calls: int) -> dict[str, float]:
    """The times of `calls` times `work`."""

    def all_of_it() -> None:
        for number in range(calls):
            work(number)

    return timed(all_of_it)


class Side:
    """One side. What it cannot do it does not define."""

    store = "memory"

    def versions(self) -> dict[str, str]:
        """Its versions."""
        raise NotImplementedError

    def open(self, store: str, limit: str) -> None:
        """Begin with an empty store, `memory` or `file` in the working directory, and one budget."""
        raise NotImplementedError

    def book(self, number: int) -> None:
        """Check a call against the budget and book what it cost."""
        raise NotImplementedError

    def prepare(self, calls: int) -> None:
        """Make what is not to be timed."""

    def booked(self) -> Decimal:
        """What is booked by now, in USD."""
        raise NotImplementedError

    def unit(self) -> Decimal:
        """What one call costs exactly, at this side's own prices."""
        raise NotImplementedError

    async def call(self) -> bool:
        """A call that takes a moment between its check and its booking; whether it was admitted."""
        raise NotImplementedError

    # -- commands -------------------------------------------------------------------------------------------------

    def do_versions(self) -> Mapping[str, object]:
        return self.versions()

    def do_open(self, store: str, limit: str = AMPLE) -> Mapping[str, object]:
        self.open(store, limit)
        return {}

    def do_book(self, calls: int) -> Mapping[str, object]:
        self.prepare(calls)
        return rounds(self.book, calls)

    def do_book_and_stay(self, calls: int) -> Mapping[str, object]:
        """Book, and answer with the last booking's return, whatever may still go on behind it."""
        self.prepare(calls)
        for number in range(calls):
            self.book(number)
        return {}

    def do_booked(self) -> Mapping[str, object]:
        return {"booked": str(self.booked()), "unit": str(self.unit())}

    def do_storm(self, calls: int, fitting: int) -> Mapping[str, object]:
        """How many of `calls` calls at the same time are admitted where `fitting` fit."""
        self.open("memory", str(self.unit() * fitting))

        async def all_of_them() -> list[bool]:
            return await asyncio.gather(*(self.call() for _ in range(calls)))

        return {"admitted": sum(asyncio.run(all_of_them()))}

    def do_look_up(self, what: str, calls: int) -> Mapping[str, object]:
        return rounds(self.looks()[what], calls)

    def do_priced(self) -> Mapping[str, object]:
        """What this side says that the usage of `WEEK` cost."""
        return {"usd": str(self.priced())}

    def looks(self) -> dict[str, Callable[[int], object]]:
        """Its price look-ups, by what they find."""
        return {}

    def priced(self) -> Decimal:
        """The cost of `HIT`, `MISS` and `OUT` at `WEEK`."""
        raise NotImplementedError


class Deepthrift(Side):
    """Count, price the worst case, reserve, price the usage, settle."""

    def __init__(self) -> None:
        from deepthrift_pricing import PriceBook, Usage

        self.book_of_prices = PriceBook.named("official-2025-09-05")
        self.official = PriceBook.builtin()
        self.usage = Usage.of(PROMPT, COMPLETION)

    def versions(self) -> dict[str, str]:
        return {**versions("deepthrift", "pydantic"), "sqlite": sqlite3.sqlite_version}

    def open(self, store: str, limit: str) -> None:
        from deepthrift_pricing import Budget, Ledger

        url = "memory:" if store == "memory" else f"sqlite:///{Path.cwd()}/spend.db"
        self.ledger = Ledger.open(url, budgets=[Budget(limit, per="day")])

    def request(self):
        from deepthrift_pricing import AttemptRequest, new_id, utc_now
        from deepthrift_pricing.tokens import count_messages

        prompt = count_messages(MESSAGES, mode="standard")
        assert prompt == PROMPT, prompt
        at, model = utc_now(), "deepseek-ai/DeepSeek-V3.1"
        worst = self.book_of_prices.worst(
            host="vllm", model=model, mode="standard", prompt_tokens=prompt, max_tokens=COMPLETION, at=at
        )
        call = new_id("call")
        return AttemptRequest(
            attempt_id=new_id("att"),
            call_id=call,
            group_id=call,
            host="vllm",
            model=model,
            mode="standard",
            prompt_tokens=prompt,
            max_tokens=COMPLETION,
            worst=worst,
            tags={"team": "search"},
            started_at=at,
        )

    def settle(self, attempt) -> None:
        from deepthrift_pricing import utc_now

        at = utc_now()
        cost = self.book_of_prices.cost(
            self.usage, host="vllm", model=attempt.model, mode="standard", started_at=attempt.started_at, ended_at=at
        )
        self.ledger.settle(attempt.id, usage=self.usage, cost=cost, ended_at=at, finish_reason="stop", http_status=200)

    def book(self, number: int) -> None:
        self.settle(self.ledger.try_reserve(self.request()))

    def booked(self) -> Decimal:
        from deepthrift_pricing import Ledger

        if not hasattr(self, "ledger"):
            self.ledger = Ledger.open(f"sqlite:///{Path.cwd()}/spend.db")
        rows = self.ledger.spend(by=("mode",))
        return sum((row.total.amount for row in rows), Decimal(0))

    def unit(self) -> Decimal:
        from deepthrift_pricing import utc_now

        at = utc_now()
        found = self.book_of_prices.cost(
            self.usage, host="vllm", model="any", mode="standard", started_at=at, ended_at=at
        )
        return found.total.amount

    async def call(self) -> bool:
        from deepthrift_pricing.errors import BudgetExceeded

        try:
            attempt = self.ledger.try_reserve(self.request())
        except BudgetExceeded:
            return False
        await asyncio.sleep(0.05)
        self.settle(attempt)
        return True

    def looks(self) -> dict[str, Callable[[int], object]]:
        from deepthrift_pricing import Usage

        usage = Usage.of(HIT + MISS, OUT, cache_hit=HIT)
        days = [datetime(2025, 1 + number % 9, 1 + number % 28, number % 24, tzinfo=UTC) for number in range(200)]
        book, host, model = self.official, "deepseek", "deepseek-chat"
        return {
            "row": lambda _: book.find(host=host, model=model, mode="standard", at=WEEK),
            "row, any date": lambda n: book.find(host=host, model=model, mode="standard", at=days[n % 200]),
            "cost": lambda _: book.cost(usage, host=host, model=model, mode="standard", started_at=WEEK, ended_at=WEEK),
        }

    def priced(self) -> Decimal:
        from deepthrift_pricing import Usage

        usage = Usage.of(HIT + MISS, OUT, cache_hit=HIT)
        return self.official.cost(
            usage, host="deepseek", model="deepseek-chat", mode="standard", started_at=WEEK, ended_at=WEEK
        ).total.amount


class DeepthriftLedger(Deepthrift):
    """Reserve and settle alone: the requests and the cost are there already."""

    def prepare(self, calls: int) -> None:
        from deepthrift_pricing import utc_now

        self.requests = [self.request() for _ in range(calls)]
        self.at = utc_now()
        self.cost = self.book_of_prices.cost(
            self.usage, host="vllm", model="any", mode="standard", started_at=self.at, ended_at=self.at
        )

    def book(self, number: int) -> None:
        attempt = self.ledger.try_reserve(self.requests[number])
        self.ledger.settle(
            attempt.id, usage=self.usage, cost=self.cost, ended_at=self.at, finish_reason="stop", http_status=200
        )


class Litellm(Side):
    """BudgetManager: `projected_cost` against the budget, then `update_cost`; it writes its JSON file in a thread."""

    model = "deepseek/deepseek-chat"

    def __init__(self) -> None:
        import litellm
        from litellm.types.utils import Choices, Message, ModelResponse
        from litellm.types.utils import Usage as LitellmUsage

        self.litellm = litellm
        self.response = ModelResponse(
            model=self.model,
            choices=[Choices(message=Message(content="Paris."), finish_reason="stop")],
            usage=LitellmUsage(prompt_tokens=PROMPT, completion_tokens=COMPLETION, total_tokens=PROMPT + COMPLETION),
        )

    def versions(self) -> dict[str, str]:
        return versions("litellm")

    def open(self, store: str, limit: str) -> None:
        Path("user_cost.json").unlink(missing_ok=True)
        self.manager = self.litellm.BudgetManager(project_name="benchmark")
        if store == "memory":  # it has no store in memory: this one never writes its file
            self.manager._save_data_thread = lambda: None
        self.manager.create_budget(total_budget=float(limit), user="search", duration="daily")

    def admits(self) -> bool:
        projected = self.manager.projected_cost(self.model, MESSAGES, "search")
        return projected <= self.manager.get_total_budget("search")

    def book(self, number: int) -> None:
        if not self.admits():
            raise RuntimeError("the budget is used up")
        self.manager.update_cost("search", completion_obj=self.response)

    def booked(self) -> Decimal:
        if not hasattr(self, "manager"):
            self.manager = self.litellm.BudgetManager(project_name="benchmark")
        return Decimal(self.manager.get_current_cost("search"))

    def unit(self) -> Decimal:
        row = self.litellm.model_cost[self.model]
        prompt, completion = (Decimal(str(row[f"{side}_cost_per_token"])) for side in ("input", "output"))
        return prompt * PROMPT + completion * COMPLETION

    async def call(self) -> bool:
        if not self.admits():
            return False
        await asyncio.sleep(0.05)
        self.manager.update_cost("search", completion_obj=self.response)
        return True

    def looks(self) -> dict[str, Callable[[int], object]]:
        def cost(_: int) -> object:
            return self.litellm.cost_per_token(
                model=self.model, prompt_tokens=HIT + MISS, completion_tokens=OUT, cache_read_input_tokens=HIT
            )

        return {"cost": cost}

    def priced(self) -> Decimal:
        return Decimal(repr(sum(self.looks()["cost"](0))))


class Cendor(Side):
    """An instrumented client under `budget(on_exceed="block")`, with its SQLite sink where there is a file."""

    model = "deepseek-chat"

    def __init__(self) -> None:
        from cendor import tokenguard
        from cendor.core import instrument

        warnings.simplefilter("ignore", tokenguard.StalePriceTableWarning)
        self.guard = tokenguard
        response = SimpleNamespace(
            model=self.model,
            choices=[SimpleNamespace(message=SimpleNamespace(content="Paris."), finish_reason="stop")],
            usage=SimpleNamespace(prompt_tokens=PROMPT, completion_tokens=COMPLETION, total_tokens=PROMPT + COMPLETION),
        )

        def create(**_: object) -> object:
            return response

        async def acreate(**_: object) -> object:
            self.sent += 1
            await asyncio.sleep(0.05)
            return response

        def client(how: Callable[..., object]) -> SimpleNamespace:
            return instrument(SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=how))))

        self.sent = 0
        self.client, self.aclient = client(create), client(acreate)
        self.frame = None

    def versions(self) -> dict[str, str]:
        return versions("cendor-tokenguard", "cendor-core")

    def open(self, store: str, limit: str) -> None:
        from cendor.tokenguard.sinks import SQLiteSink

        if self.frame is not None:
            self.frame.__exit__(None, None, None)
        self.guard.reset()
        self.guard.use_sink(None if store == "memory" else SQLiteSink("spend.db"))
        self.frame = self.guard.budget(usd=Decimal(limit), on_exceed="block")
        self.frame.__enter__()

    def book(self, number: int) -> None:
        with self.guard.track(team="search"):
            self.client.chat.completions.create(model=self.model, messages=MESSAGES, max_tokens=COMPLETION)

    def booked(self) -> Decimal:
        if self.frame is not None:
            return self.frame.spent.amount
        rows = sqlite3.connect("spend.db").execute("SELECT usd FROM spend").fetchall()
        return sum((Decimal(row[0]) for row in rows), Decimal(0))

    def unit(self) -> Decimal:
        from cendor.core import prices

        return prices.estimate(self.model, PROMPT, COMPLETION).amount

    async def call(self) -> bool:
        before = self.sent
        with contextlib.suppress(self.guard.BudgetExceeded):  # raised before it is sent, or when it has been paid for
            await self.aclient.chat.completions.create(model=self.model, messages=MESSAGES, max_tokens=COMPLETION)
        return self.sent > before

    def looks(self) -> dict[str, Callable[[int], object]]:
        from cendor.core import prices

        return {"cost": lambda _: prices.estimate(self.model, HIT + MISS, OUT, cached_tokens=HIT)}

    def priced(self) -> Decimal:
        return self.looks()["cost"](0).amount


class GenaiPrices(Side):
    """A price library; it books nothing."""

    def versions(self) -> dict[str, str]:
        return versions("genai-prices")

    def looks(self) -> dict[str, Callable[[int], object]]:
        from genai_prices import Usage, calc_price

        usage = Usage(input_tokens=HIT + MISS, cache_read_tokens=HIT, output_tokens=OUT)

        def cost(_: int) -> object:
            return calc_price(usage, model_ref="deepseek-chat", provider_id="deepseek", genai_request_timestamp=WEEK)

        return {"cost": cost}

    def priced(self) -> Decimal:
        return self.looks()["cost"](0).total_price


class Floor(Side):
    """What SQLite itself takes: the same two transactions by hand, one row and one count of money, nothing checked."""

    def versions(self) -> dict[str, str]:
        return {"sqlite": sqlite3.sqlite_version}

    def open(self, store: str, limit: str) -> None:
        self.number = 0
        self.db = sqlite3.connect(":memory:" if store == "memory" else "spend.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute("CREATE TABLE attempts (id TEXT PRIMARY KEY, status TEXT, model TEXT, tags TEXT, pico INTEGER)")
        self.db.execute("CREATE TABLE budget (spent INTEGER, reserved INTEGER)")
        self.db.execute("INSERT INTO budget VALUES (0, 0)")

    def book(self, number: int) -> None:
        run = self.db.execute
        self.number += 1
        id_ = f"att-{self.number:032d}"
        run("BEGIN IMMEDIATE")
        run("INSERT INTO attempts VALUES (?, 'reserved', 'deepseek-chat', '{\"team\":\"search\"}', ?)", (id_, 100))
        run("UPDATE budget SET reserved = reserved + ? WHERE spent + reserved + ? < 9000000000", (100, 100))
        run("COMMIT")
        run("BEGIN IMMEDIATE")
        run("UPDATE attempts SET status = 'settled', pico = ? WHERE id = ?", (90, id_))
        run("UPDATE budget SET spent = spent + ?, reserved = reserved - ?", (90, 100))
        run("COMMIT")


SIDES: dict[str, type[Side]] = {
    "deepthrift": Deepthrift,
    "deepthrift, reserve + settle alone": DeepthriftLedger,
    "litellm BudgetManager": Litellm,
    "cendor-tokenguard": Cendor,
    "genai-prices": GenaiPrices,
    "sqlite3 by hand (floor)": Floor,
}


def main() -> None:
    side = SIDES[sys.argv[1]]()
    names = [name for name in dir(side) if name.startswith("do_")]
    serve({name.removeprefix("do_"): getattr(side, name) for name in names})


if __name__ == "__main__":
    main()
