"""What a host offers beside plain answers: service tiers, and tools that it runs itself."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue, NonNegativeInt, PositiveInt


class ServiceTier(BaseModel):
    """A service level of a host, such as `flex` or `priority`, as it is asked for and reported."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    body: dict[str, JsonValue] = {}
    """Fields of the request's body that ask for it."""
    headers: dict[str, str] = {}
    """Headers of the request that ask for it."""
    reported: tuple[str, ...] = ()
    """Further names by which the response's `service_tier` means it, beside its own."""


class ServerTool(BaseModel):
    """A tool that the host runs itself while it answers, and bills by use."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: str = Field(min_length=1)
    """The kind of request under which price rows have its price: `search`, `fetch`."""
    max_uses: PositiveInt | None = None
    """The most times that the host uses it in one request; `None`: the host states no limit."""
    sends_max_uses: bool = False
    """Whether the host itself obeys `max_uses` in the tool; otherwise it only tells how much to reserve."""
    assumed_uses: PositiveInt = 20
    """How many uses are reserved where nothing limits them. With a budget, such a call is refused."""
    tokens_per_use: NonNegativeInt = 0
    """Prompt tokens that the results of one use may add, as far as is known; they are reserved too."""
