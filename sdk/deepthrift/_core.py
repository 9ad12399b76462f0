"""What every call of one client shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from deepthrift._clock import Clock
from deepthrift._endpoint import LARGEST_RESPONSE, Endpoint
from deepthrift._gate import Gate
from deepthrift._options import Options
from deepthrift._secrets import url_secrets
from deepthrift.errors import ConfigurationError
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Currency, Ledger, PrefixTracker, PriceBook

if TYPE_CHECKING:
    from deepthrift.middleware import Middleware


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user set on the client; times in seconds."""

    timeout: float
    idle_timeout: float
    deadline: float | None
    max_retries: int
    retry_unanswered: bool
    budget_wait: float | None
    on_mode_mismatch: Literal["warn", "raise"]
    tags: Mapping[str, str]
    extra_body: Mapping[str, object]
    middleware: tuple[Middleware, ...] = ()
    max_response_bytes: int = LARGEST_RESPONSE
    stop_beyond_max_tokens: bool = False

    def __post_init__(self) -> None:
        """Check what the user set."""
        if self.on_mode_mismatch not in ("warn", "raise"):
            raise ConfigurationError(f"on_mode_mismatch is 'warn' or 'raise', not {self.on_mode_mismatch!r}")
        for name in ("timeout", "idle_timeout", "deadline"):
            value: float | None = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is a positive number of seconds, not {value!r}")
        if self.budget_wait is not None and not self.budget_wait >= 0:
            raise ConfigurationError(f"budget_wait is a number of seconds, 0 or more, not {self.budget_wait!r}")
        if not all(isinstance(text, str) for pair in self.tags.items() for text in pair):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("tags are pairs of strings")
        most = self.max_response_bytes
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"max_response_bytes is a whole number of bytes, 1 or more, not {most!r}")
        if not isinstance(self.stop_beyond_max_tokens, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"stop_beyond_max_tokens is True or False, not {self.stop_beyond_max_tokens!r}")
        if self.max_retries < 0:
            raise ConfigurationError(f"max_retries is 0 or more, not {self.max_retries!r}")


class Core:
    """An endpoint with its profile, prices and ledger."""

    def __init__(
        self,
        endpoint: Endpoint,
        profile: HostProfile,
        model: str,
        prices: PriceBook,
        currency: Currency,
        ledger: Ledger,
        settings: Settings,
        key: str | None,
        prefixes: PrefixTracker,
        gate: Gate,
    ) -> None:
        self.endpoint = endpoint
        self.profile = profile
        self.model = model
        self.prices = prices
        self.currency: Currency = currency
        self.ledger = ledger
        self.settings = settings
        self.key = key
        self.prefixes = prefixes
        self.gate = gate
        self._secrets: tuple[str | None, ...] | None = None

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """What must not be shown of what the endpoint says: the key, and what the URL's query may hide."""
        if self._secrets is None:
            self._secrets = (self.key, *url_secrets(str(self.endpoint.url)))
        return self._secrets

    def budget_wait(self, clock: Clock) -> float | None:
        """Seconds that an attempt may wait for room in a budget; `None` is as long as room can come free."""
        wait = self.settings.budget_wait
        limit = min(clock.left, math.inf if wait is None else wait)
        return None if limit == math.inf else max(0.0, limit)

    def clock(self, options: Options) -> Clock:
        """The clock of a call that begins now."""
        settings = self.settings
        return Clock(
            timeout=settings.timeout if options.timeout is None else options.timeout,
            idle_timeout=settings.idle_timeout if options.idle_timeout is None else options.idle_timeout,
            deadline=settings.deadline if options.deadline is None else options.deadline,
        )
