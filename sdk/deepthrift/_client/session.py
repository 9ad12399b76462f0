"""What the calls of one client share: its targets, its ledger, its event loop, and the calls that are in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Final, cast

from deepthrift._admission.breaker import CircuitBreaker
from deepthrift._call.endpoints.endpoint import Endpoint
from deepthrift._call.endpoints.settings import Settings
from deepthrift._call.in_flight import InFlight
from deepthrift._call.stream import AsyncStream, Source
from deepthrift._client.settings import ClientSettings
from deepthrift._net.network import Network
from deepthrift._types.errors import (
    ClientClosed,
    ConfigurationError,
    DeepthriftError,
    EngineCrashed,
    StreamInterrupted,
)
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.options import Options
from deepthrift._types.reply import Reply
from deepthrift._util.secrets import shown_url
from deepthrift.hosts import Feature
from deepthrift_pricing import Estimate, Ledger, Mode, PrefixTracker, PriceBook

# The HTTP stack is loaded with the first client: the command line and the tests of types do without it.
if TYPE_CHECKING:
    from deepthrift._call.call import Call
    from deepthrift._call.endpoints.target import Target
    from deepthrift._call.endpoints.targets import Targets
    from deepthrift._call.prepare.estimate import Bound
    from deepthrift.local import Engine
    from deepthrift.middleware import Middleware

_BREAKER: Final = CircuitBreaker()
_OF_AN_ENDPOINT: Final = ("host", "model", "api_key", "region", "max_concurrency", "transport")
_OF_THE_NETWORK: Final = tuple(each.name for each in fields(Network))
_MADE_HERE: Final = ("tags", "extra_body", "middleware")
_OF_CALLS: Final = tuple(each.name for each in fields(Settings) if each.name not in _MADE_HERE)


class Session:
    """The state of one client."""

    def __init__(self, base_url: str | None, given: ClientSettings) -> None:
        from deepthrift._call.endpoints.target import Shared
        from deepthrift._call.endpoints.targets import targets_of

        values = cast("dict[str, object]", given)
        unknown = set(values) - set(ClientSettings.__annotations__)
        if unknown:
            raise TypeError(f"{min(unknown)!r} is not a setting of a client")

        def some(names: Sequence[str]) -> dict[str, object]:
            return {name: values[name] for name in names if name in values}

        self.settings = Settings(
            **some(_OF_CALLS),  # type: ignore[arg-type]  # checked by Settings
            tags=dict(given.get("tags") or {}),
            extra_body=dict(given.get("extra_body") or {}),
            middleware=_callables(given.get("middleware", ())),
        )
        own = Endpoint(base_url, **some(_OF_AN_ENDPOINT))  # type: ignore[arg-type]  # checked by Endpoint
        ledger = given.get("ledger")
        self._own_ledger = ledger is None
        self.ledger = Ledger.open("memory:") if ledger is None else ledger
        self.prefixes = PrefixTracker()
        network = Network(**some(_OF_THE_NETWORK))  # type: ignore[arg-type]  # checked by Network
        breaker = given.get("circuit_breaker", _BREAKER)
        headers = dict(given.get("headers") or {})
        self.shared = Shared(self.settings, self.ledger, self.prefixes, breaker, headers, network)
        try:
            self._targets: Targets | None = targets_of(
                own, given.get("endpoints"), given.get("prices"), given.get("regions"), self.shared
            )
        except BaseException:
            if self._own_ledger:
                self.ledger.close()
            raise
        self.prices = self._targets.first.prices
        self._engine: Engine | None = None
        self._machine_hour: tuple[Decimal | str, Decimal | str] | None = None
        self._own_engine = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.in_flight = InFlight()
        self._closed = False
        self._twin: Session | None = None

    def for_model(self, model: str) -> Session:
        """The same client for calls of another model: its connections, ledger, limits and end are this one's.

        Raises:
            ConfigurationError: It is of a local engine, which runs one model.
        """
        if self._engine is not None:
            raise ConfigurationError(f"a local engine runs one model, so {model!r} needs a client of its own")
        found = copy(self)
        found._targets = self.targets.for_model(model)
        found._twin = self
        return found

    def __str__(self) -> str:
        """What the client is of, for its `repr`."""
        target = self.target
        if target is None:
            return "of a local engine that is not running"
        return f"{target.profile.name} {target.model} at {shown_url(target.url)}"

    def use_engine(self, engine: Engine, machine_hour: tuple[Decimal | str, Decimal | str] | None) -> None:
        """The calls go to an embedded engine, once it runs."""
        self._targets = None
        self._engine = engine
        self._machine_hour = machine_hour

    @property
    def targets(self) -> Targets:
        """Where calls may go.

        Raises:
            ConfigurationError: The local engine is not running.
        """
        if self._targets is None:
            raise ConfigurationError("the local engine is not running; use the client in `async with`")
        return self._targets

    @property
    def target(self) -> Target | None:
        """The preferred target, or `None` while the local engine is not running."""
        return None if self._targets is None else self._targets.first

    def ready(self) -> Target:
        """The preferred target, for a request of this event loop."""
        self._check_loop()
        return self.targets.first

    def allowed(self, options: Options) -> list[Target]:
        """The targets that a call may use, in order of preference."""
        self._check_loop()
        return list(self.targets.allowed(options.regions))

    def features(self, mode: Mode) -> frozenset[Feature]:
        """What every target that a call may use can do in `mode`."""
        found = self.targets.first.profile.rules(mode).features
        for target in self.targets.allowed(None):
            found &= target.profile.rules(mode).features
        return found

    # -- calls ------------------------------------------------------------------------------------------------------

    async def answer(self, options: Options) -> Reply:
        """The complete answer to a call."""
        call = self._call(options, stream=False)
        try:
            return await self.in_flight.run(call, call.run())
        except DeepthriftError as error:
            await self.blame_engine(error)
            raise

    def stream(self, options: Options) -> AsyncStream:
        """The answer to a call as it arrives."""
        call = self._call(options, stream=True)
        source = Source(call, asyncio.get_running_loop(), self.blame_engine, self.in_flight.over)
        self.in_flight.sources.add(source)
        return AsyncStream(source)

    def estimate(
        self, options: Options, prefixes: PrefixTracker | None, expected_length: ExpectedLength | None
    ) -> Estimate:
        """What a call will cost."""
        from deepthrift._call.prepare.estimate import estimate_over

        return estimate_over(self.targets.allowed(options.regions), self.ledger, prefixes, options, expected_length)

    def bound(self, options: Options) -> Bound:
        """The most that a call can come to, without a look into the ledger or the cache."""
        from deepthrift._call.prepare.estimate import bound_over

        return bound_over(self.targets.allowed(options.regions), options)

    async def blame_engine(self, error: DeepthriftError) -> None:
        """Raises the engine's own death instead of the broken stream that it caused."""
        crash = error.__cause__
        if isinstance(error, StreamInterrupted) and isinstance(crash, EngineCrashed):
            crash.request, crash.attempt_ids, crash.spend = error.request, error.attempt_ids, error.spend
            raise crash from error

    def _call(self, options: Options, *, stream: bool) -> Call:
        from deepthrift._call.call import Call

        return Call(self.allowed(options), options, stream=stream)

    # -- beginning and end ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Starts the local engine, if there is one.

        Raises:
            EngineError: It could not be started.
        """
        self._check_loop()
        engine = self._engine
        if engine is None or self._targets is not None:
            return
        from deepthrift._call.endpoints.target import Target
        from deepthrift._call.endpoints.targets import Targets

        self._own_engine = not engine.running
        try:
            if self._own_engine:
                await engine.__aenter__()
            if self._machine_hour is not None:
                from deepthrift.local import measure

                hour, busy = self._machine_hour
                self.prices = PriceBook([(await measure(engine)).price(hour, utilisation=busy)])
        except BaseException:
            await self.close(0.0)
            raise
        target = Target(
            Endpoint(transport=engine.transport()),
            url=f"{engine.url}/v1",
            profile=engine.profile,
            model=engine.model,
            key=engine.key,
            prices=self.prices,
            shared=self.shared,
        )
        self._targets = Targets([target], None)

    async def close(self, grace: float) -> None:
        """Ends what is in flight after `grace` seconds, books it, and closes every connection."""
        self._closed = True
        try:
            self._check_same_loop()
            await self.in_flight.end(grace)
        finally:
            await self._release()

    async def _release(self) -> None:
        try:
            if self._targets is not None and self._loop in (None, asyncio.get_running_loop()):
                await self._targets.aclose()
        finally:
            if self._engine is not None:
                self._targets = None
                if self._own_engine:
                    await self._engine.aclose()
            if self._own_ledger:
                await self.ledger.aclose()

    def _check_loop(self) -> None:
        if self._twin is not None:
            self._twin._check_loop()
            return
        if self._closed:
            raise ClientClosed("the client is closed; make a new one")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("an AsyncClient works inside an event loop; elsewhere, use Client") from None
        if self._loop is None:
            self._loop = loop
        self._check_same_loop()

    def _check_same_loop(self) -> None:
        if self._loop not in (None, asyncio.get_running_loop()):
            raise ConfigurationError(
                "this AsyncClient was first used in another event loop; make one for each loop, or use Client"
            )


def _callables(middleware: Sequence[Middleware]) -> tuple[Middleware, ...]:
    if callable(middleware) or not all(map(callable, middleware)):
        raise ConfigurationError("middleware is a list of functions of a request and call_next")
    return tuple(middleware)
