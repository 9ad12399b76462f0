"""What comes out of a call."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from deepthrift._types.messages import AssistantMessage, ToolCallParam
from deepthrift._types.raw import RawResponse
from deepthrift_pricing import Attempt, Cost, Mode, PriceBook, Usage

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"] | str
"""Why the completion ended. Open: hosts invent more, `insufficient_system_resource` for one."""


class ToolCall(BaseModel):
    """A function that the model wants called; `arguments` is JSON text and may be invalid."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    id: str
    """Unique within the conversation; made here where the endpoint sends none, or one that is in use."""
    name: str
    arguments: str
    cut: bool = False
    """Whether the answer ended inside this call, so that its arguments are incomplete. Don't run it."""


class TokenLogprob(BaseModel):
    """One generated token with its natural-log probability and the best alternatives."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    token: str
    logprob: float | None
    """`None` outside of the 20 best, where DeepSeek's API writes -9999."""
    top: tuple[tuple[str, float], ...] = ()

    @property
    def probability(self) -> float:
        """From 0 to 1; 0 outside of the 20 best."""
        return 0.0 if self.logprob is None else min(1.0, math.exp(self.logprob))


class Reply(BaseModel):
    """A complete answer. A streamed answer ends in the very same type.

    The cost and usage are the sum over `attempts`, so a retried call shows what it really cost.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    text: str
    """The answer, without the reasoning."""
    reasoning: str | None
    """The chain of thought, or `None` when there was none."""
    mode: Mode
    """The mode that really ran, told from the answer."""
    requested_mode: Mode
    finish_reason: FinishReason
    usage: Usage
    cost: Cost
    attempts: tuple[Attempt, ...]
    model: str
    """The model as the endpoint names it."""
    host: str
    """The host profile in use."""
    call_id: str
    response_id: str | None = None
    """The endpoint's own id of the last attempt."""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    """The tokens of the answer, if they were asked for and the host gave them."""
    reasoning_logprobs: tuple[TokenLogprob, ...] | None = None
    """The tokens of the reasoning, where the host tells them apart."""
    warnings: tuple[str, ...] = ()
    """What was repaired or not honoured, for a person to read."""
    raw: RawResponse | None = Field(default=None, exclude=True, repr=False)
    """The last response as it came: status, headers, trace id and JSON. It is no part of what is written of a reply."""
    cached: bool = False
    """Whether it came from a cache, at no cost."""
    seconds: float = 0.0
    """Wall-clock time from the call to its end, retries and waiting for budget included."""

    def cost_at(self, prices: PriceBook) -> Cost:
        """What the same tokens cost at other prices, attempt by attempt, at the moments at which they were sent.

        An attempt of unknown usage is left out, and makes the whole `unknown`.

        Raises:
            PriceNotFound: The prices lack a row for the host, model, mode or moment.
        """
        costs: list[Cost] = []
        for each in self.attempts:
            if each.usage is None or each.status != "settled":
                continue
            cost = prices.cost(
                each.usage,
                host=each.host,
                model=each.model,
                mode=each.mode,
                started_at=each.started_at,
                ended_at=each.ended_at,
            )
            costs.append(cost)
        total = Cost.sum(costs)
        lost = any(each.status == "unknown" for each in self.attempts)
        return total.model_copy(update={"certainty": "unknown"}) if lost else total

    def __eq__(self, other: object) -> bool:
        """Whether both say the same; the response behind them does not count."""
        if isinstance(other, Reply) and other.raw is not self.raw:
            other = other.model_copy(update={"raw": self.raw})
        return super().__eq__(other)

    __hash__ = BaseModel.__hash__

    @property
    def message(self) -> AssistantMessage:
        """The answer as a message of the history, with its reasoning and tool calls."""
        message: AssistantMessage = {"role": "assistant", "content": self.text}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                ToolCallParam(id=call.id, type="function", function={"name": call.name, "arguments": call.arguments})
                for call in self.tool_calls
            ]
        return message


class Embeddings(BaseModel):
    """Texts as vectors."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    vectors: tuple[tuple[float, ...], ...]
    """One for each text, in their order, all of the same length."""
    usage: Usage
    """Prompt tokens only: nothing is generated."""
    cost: Cost
    attempts: tuple[Attempt, ...]
    """One for each batch of up to 256 texts, and one for each retry."""
    model: str
    """The model as the endpoint names it."""
    host: str
    call_id: str
    warnings: tuple[str, ...] = ()
    """What is doubtful about it, such as a usage that cannot be true."""
    seconds: float = 0.0
