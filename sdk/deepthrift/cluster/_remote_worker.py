"""What answers rows on another machine: it gets the names of secrets, never secrets, and makes a client of its own."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from deepthrift._types.errors import ConfigurationError, DeepthriftError
from deepthrift._types.reply import Reply
from deepthrift._util.version import version
from deepthrift.batch._chatter import Chatter
from deepthrift.batch._row import BatchRow
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Budget, Ledger, Mode, PriceBook

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift._admission.breaker import CircuitBreaker
    from deepthrift._call.endpoints.settings import Settings
    from deepthrift._types.messages import JSONObject
    from deepthrift.batch._runner import RowClient


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """How a worker makes its client."""

    url: str | None
    profile: HostProfile
    model: str
    key_variable: str | None
    """The environment variable that holds the key, here and on every worker."""
    ledger: str
    """The URL of the ledger that all share, without a password."""
    settings: Settings
    """What else the client was made with."""
    ledger_variable: str | None = None
    """The environment variable that holds the same URL with its password, where it has one."""
    prices: PriceBook | None = None
    budgets: tuple[Budget, ...] = ()
    breaker: CircuitBreaker | None = None
    mode: Mode | None = None
    through: Callable[[AsyncClient], Chatter] | None = None
    """Makes what answers rows without a mode in the client's place."""
    version: str = field(default_factory=version)


@dataclass(frozen=True, slots=True)
class PackedError:
    """An error on its way between two processes: its constructor may ask for more than an exception carries."""

    kind: type[DeepthriftError]
    said: tuple[object, ...]
    fields: Mapping[str, object]

    @classmethod
    def of(cls, error: DeepthriftError) -> PackedError:
        """What there is to know of it."""
        fields: dict[str, object] = dict(vars(error))
        if isinstance(partial := fields.get("partial"), Reply):
            fields["partial"] = bare(partial)
        return cls(type(error), error.args, fields)

    def error(self) -> DeepthriftError:
        """The error again."""
        made = self.kind.__new__(self.kind, *self.said)
        vars(made).update(self.fields)
        return made


def bare(reply: Reply) -> Reply:
    """The reply without the response behind it, of which a batch writes nothing."""
    return reply.model_copy(update={"raw": None})


def told_variable(name: str, what: str) -> str:
    """What an environment variable of this machine holds.

    Raises:
        ConfigurationError: It is not set.
    """
    value = os.environ.get(name)
    if not value:
        raise ConfigurationError(
            f"{name}, which holds {what}, is not set on the worker {platform.node()!r}; set it there before its Ray "
            "node is started"
        )
    return value


class RowWorker:
    """One on each node of a cluster; many rows are under way in it at once, on one event loop."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._opened = contextlib.AsyncExitStack()
        self._sender: RowClient | None = None

    async def open(self) -> PackedError | None:
        """Make the client; an error, if that cannot be."""
        try:
            self._sender = await self._made()
        except DeepthriftError as error:
            await self._opened.aclose()
            return PackedError.of(error)
        return None

    async def _made(self) -> RowClient:
        from deepthrift import AsyncClient
        from deepthrift.batch._runner import RowClient
        from deepthrift_pricing.shared.urls import safe_url

        spec = self._spec
        if spec.version != version():
            raise ConfigurationError(
                f"the worker {platform.node()!r} has Deepthrift {version()}, and the batch was begun with "
                f"{spec.version}; install the same everywhere"
            )
        key = None if spec.key_variable is None else told_variable(spec.key_variable, "the key")
        place = spec.ledger
        if spec.ledger_variable is not None:
            place = told_variable(spec.ledger_variable, "the ledger's URL with its password")
            if safe_url(place) != spec.ledger:
                raise ConfigurationError(
                    f"{spec.ledger_variable} is {safe_url(place)!r} on the worker {platform.node()!r}, and "
                    f"{spec.ledger!r} where the batch was begun; one budget needs one ledger"
                )
        ledger = self._opened.enter_context(Ledger.open(place, budgets=spec.budgets))
        settings = spec.settings
        client = AsyncClient(
            spec.url,
            host=spec.profile,
            model=spec.model,
            api_key=key,
            prices=spec.prices,
            ledger=ledger,
            tags=settings.tags,
            timeout=settings.timeout,
            idle_timeout=settings.idle_timeout,
            deadline=settings.deadline,
            max_retries=settings.max_retries,
            retry_unanswered=settings.retry_unanswered,
            budget_wait=settings.budget_wait,
            circuit_breaker=spec.breaker,
            on_mode_mismatch=settings.on_mode_mismatch,
            extra_body=cast("JSONObject", settings.extra_body),
            max_response_bytes=settings.max_response_bytes,
            stop_beyond_max_tokens=settings.stop_beyond_max_tokens,
        )
        await self._opened.enter_async_context(client)
        through = None if spec.through is None else spec.through(client)
        return RowClient(client, spec.profile, spec.mode, through)

    async def ask(self, row: BatchRow) -> Reply | PackedError:
        """The answer to a row, or why there is none."""
        assert self._sender is not None  # noqa: S101 - it is opened before it gets rows
        try:
            return bare(await self._sender.ask(row))
        except DeepthriftError as error:
            return PackedError.of(error)

    async def close(self) -> None:
        """Book what is under way, and close the client and the ledger."""
        await self._opened.aclose()
