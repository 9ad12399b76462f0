"""What the user set on a client, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from deepthrift._net.limits import LARGEST_RESPONSE
from deepthrift._types.errors import ConfigurationError

if TYPE_CHECKING:
    from deepthrift.middleware import Middleware


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user set on the client; times in seconds."""

    timeout: float = 600.0
    idle_timeout: float = 120.0
    deadline: float | None = None
    max_retries: int = 2
    retry_unanswered: bool = False
    budget_wait: float | None = None
    on_mode_mismatch: Literal["warn", "raise"] = "warn"
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    extra_body: Mapping[str, object] = field(default_factory=dict[str, object])
    middleware: tuple[Middleware, ...] = ()
    max_response_bytes: int = LARGEST_RESPONSE
    stop_beyond_max_tokens: bool = True

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
