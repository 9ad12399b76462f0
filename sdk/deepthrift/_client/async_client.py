"""The asynchronous client. `client.py` is generated from this file; see `tools/mirror.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from deepthrift._call.endpoints.endpoint import EndpointStatus
from deepthrift._call.stream import AsyncStream
from deepthrift._client import batches, requests
from deepthrift._client.session import Session
from deepthrift._client.settings import ClientSettings, LocalSettings
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.further_options import completion_of
from deepthrift._types.messages import JSONObject, Messages
from deepthrift._types.options import CallOptions, ChatOptions, options_of
from deepthrift._types.reply import Embeddings, Reply
from deepthrift._util.secrets import shown_url
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Currency, Estimate, Ledger, Mode, PrefixTracker, PriceBook

if TYPE_CHECKING:
    from deepthrift._types.account import Balance, ModelInfo
    from deepthrift._types.samples import Samples
    from deepthrift.structured import AsyncParseStream, Parsed
    from deepthrift.tools import Tool, ToolLoopOptions, ToolReply

M = TypeVar("M")


class AsyncClient:
    """A client for an endpoint of V3.1, or for several: every call is priced, budgeted, booked and checked.

    Use it in `async with`, or call `aclose()`. It belongs to the event loop in which it was first used.

    Args:
        base_url: Where the endpoint is, with its `/v1`. Default: the host's own address, or `OPENAI_BASE_URL` for the
            generic host.
        **settings: See `ClientSettings`.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(self, base_url: str | None = None, **settings: Unpack[ClientSettings]) -> None:
        self._session = Session(base_url, settings)

    @classmethod
    def local(cls, model: str | Path | None = None, **settings: Unpack[LocalSettings]) -> Self:
        """A client for a model on this machine. The engine starts on `async with` and ends with it.

        Args:
            model: A name from `deepthrift models`, or the path of a GGUF file. Default: the small default model.
            **settings: See `LocalSettings`.

        Raises:
            MissingExtra: `deepthrift[local]` is not installed.
            ConfigurationError: A setting is wrong.
        """
        from deepthrift._client.local import local_engine

        engine, machine_hour, others = local_engine(model, settings)
        client = cls("http://127.0.0.1", **others)
        client._session.use_engine(engine, machine_hour)
        return client

    @property
    def host(self) -> HostProfile:
        """The profile of the preferred endpoint.

        Raises:
            ConfigurationError: A local client has not been entered yet.
        """
        return self._session.targets.first.profile

    @property
    def model(self) -> str:
        """The model's name."""
        return self._session.targets.first.model

    @property
    def base_url(self) -> str:
        """Where the endpoint is; what its query may hold as a secret is hidden."""
        return shown_url(self._session.targets.first.url)

    @property
    def endpoints(self) -> tuple[EndpointStatus, ...]:
        """How each endpoint is doing: its circuit, its limit, what is in flight and what waits."""
        return tuple(target.status for target in self._session.targets.all)

    @property
    def ledger(self) -> Ledger:
        """Where attempts are booked."""
        return self._session.ledger

    @property
    def prefixes(self) -> PrefixTracker:
        """Hashes of the prompts that were sent lately, in memory: what a prefix cache will know of the next one."""
        return self._session.prefixes

    @property
    def prices(self) -> PriceBook:
        """The prices in force."""
        return self._session.prices

    @property
    def currency(self) -> Currency:
        """The currency that attempts are booked in."""
        return self._session.targets.first.currency

    @property
    def tags(self) -> Mapping[str, str]:
        """The labels that every attempt carries in the ledger."""
        return self._session.settings.tags

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._session}>"

    async def __aenter__(self) -> Self:
        """Start the local engine, if there is one.

        Raises:
            EngineError: It could not be started.
        """
        await self._session.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, grace: float = 0.0) -> None:
        """Close every connection, and book what was in flight. Safe to call twice.

        Args:
            grace: Seconds that calls and streams in flight get to finish; new ones are refused meanwhile.

        Raises:
            ConfigurationError: The client was used in another event loop; its connections can be closed only there.
        """
        await self._session.close(grace)

    async def chat(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply:
        """One complete answer.

        Args:
            messages: A conversation in the OpenAI shape, or a string for one user message. It is not changed.
            mode: `"standard"` or `"thinking"`.
            max_tokens: The most tokens to generate, reasoning included. Default: the host's own; that is reserved.
            **options: See `ChatOptions`.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            PriceNotFound: It has no price; nothing was sent.
            BudgetExceeded: It does not fit a budget; nothing was sent.
            APIError: The endpoint could not be used, or answered with an error.
            ResponseError: The answer cannot be used.
        """
        return await self._session.answer(options_of(messages, mode, max_tokens, options))

    def stream(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream:
        """One answer as it arrives; see `chat` for the arguments and errors, and `AsyncStream` for its use."""
        return self._session.stream(options_of(messages, mode, max_tokens, options))

    def estimate(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        expected_length: ExpectedLength | None = None,
        **options: Unpack[ChatOptions],
    ) -> Estimate:
        """What a call will cost at least, probably and at most. Sends nothing.

        Args:
            messages: As for `chat`, and so are `mode`, `max_tokens` and `options`.
            mode: The mode to estimate.
            max_tokens: The most tokens to generate.
            expected_length: Returns how many tokens the answer will have, or `None` if it can't tell. Default: the
                ledger's own history of this host, model and mode.
            **options: See `ChatOptions`.

        Raises:
            InvalidRequestError: The request is wrong.
            PriceNotFound: It has no price.
        """
        given = options_of(messages, mode, max_tokens, options)
        return self._session.estimate(given, self._session.prefixes, expected_length)

    async def samples(
        self,
        messages: Messages,
        *,
        n: int,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Samples:
        """`n` answers to the same question: in one request where the host can, else in parallel requests.

        If the first one fails, the others are cancelled; what they cost is booked, and the error's spend has it.

        Args:
            messages: As for `chat`, and so are `mode` and `options`.
            n: How many, from 1 to 128.
            mode: `"standard"` or `"thinking"`.
            max_tokens: The most tokens to generate for each answer.
            **options: See `ChatOptions`. At `temperature=0` answers hardly differ; a `seed` is counted up.

        Raises:
            DeepthriftError: As for `chat`; the spend is that of all answers.
        """
        return await requests.samples(self._session, messages, n, mode, max_tokens, options)

    async def complete(
        self, prompt: str, *, suffix: str | None = None, max_tokens: int | None = None, **options: Unpack[CallOptions]
    ) -> Reply:
        """What the model writes after `prompt`, or between `prompt` and `suffix`: plain text, without a chat.

        Args:
            prompt: The text before the gap. Self-run servers read V3.1's special tokens in it.
            suffix: The text after the gap.
            max_tokens: The most tokens to generate. Default: what the host's profile says, 512 in most.
            **options: See `CallOptions`.

        Raises:
            UnsupportedFeature: The host does not complete text, or fills no gaps; nothing was sent.
            DeepthriftError: As for `chat`.
        """
        return await self._session.answer(completion_of(prompt, suffix, max_tokens, options))

    def stream_complete(
        self, prompt: str, *, suffix: str | None = None, max_tokens: int | None = None, **options: Unpack[CallOptions]
    ) -> AsyncStream:
        """The same as `complete`, as it arrives; see `AsyncStream` for its use."""
        return self._session.stream(completion_of(prompt, suffix, max_tokens, options))

    def estimate_complete(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        max_tokens: int | None = None,
        expected_length: ExpectedLength | None = None,
        **options: Unpack[CallOptions],
    ) -> Estimate:
        """What `complete` will cost, without cache hits. Sends nothing; see `estimate` for arguments and errors."""
        return self._session.estimate(completion_of(prompt, suffix, max_tokens, options), None, expected_length)

    async def run_tools(
        self,
        messages: Messages,
        *,
        tools: Sequence[Callable[..., object] | Tool],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ToolLoopOptions],
    ) -> ToolReply:
        """The model's answer, after it has called as many tools as it wants.

        If a call has wrong arguments or names an unknown tool, the model reads that as the call's result. `deadline`
        holds for all rounds and tools together, `timeout` for each attempt.

        Args:
            messages: As for `chat`.
            tools: Typed functions, async or not, or `Tool.of(…)`. A function that isn't async runs in a thread.
            mode: V3.1 calls tools in standard mode only.
            max_tokens: The most tokens to generate in each round.
            **options: See `ToolLoopOptions`.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            ToolLoopExceeded: A limit was reached; `partial` has the exchange so far.
            ToolCallCut: `max_tokens` ended an answer inside a tool call; nothing of that round ran.
            ToolFailed: A tool raised, and `on_error` is `"raise"`.
            DeepthriftError: A round failed, as in `chat`; the spend is that of all rounds.
        """
        return await requests.run_tools(self, self._session, messages, tools, mode, max_tokens, options)

    async def parse(
        self,
        messages: Messages,
        *,
        into: type[M],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        max_repairs: int = 1,
        **options: Unpack[CallOptions],
    ) -> M:
        """The answer as a validated object; `parse_reply` has its cost as well.

        The client uses the best that the host offers in this mode: a JSON schema, else JSON mode, else the prompt.

        Args:
            messages: As for `chat`. The last message also says what the JSON has to look like.
            into: A pydantic model, dataclass or `TypedDict`.
            mode: `"standard"` or `"thinking"`.
            max_tokens: The most tokens to generate in each call.
            max_repairs: How often the model may repair an answer that does not fit; it sees what is wrong.
            **options: See `CallOptions`. `deadline` holds for all calls together.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            StructuredOutputError: The answer does not fit, is blank or was cut off; `partial` has it and its cost.
            DeepthriftError: A call failed, as in `chat`; the spend is that of all calls.
        """
        reply = await requests.parse(self, self._session, messages, into, mode, max_tokens, max_repairs, options)
        return reply.value

    async def parse_reply(
        self,
        messages: Messages,
        *,
        into: type[M],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        max_repairs: int = 1,
        **options: Unpack[CallOptions],
    ) -> Parsed[M]:
        """The same as `parse`, as a reply with `value`, cost, usage and attempts, repairs included."""
        return await requests.parse(self, self._session, messages, into, mode, max_tokens, max_repairs, options)

    def stream_parse(
        self,
        messages: Messages,
        *,
        into: type[M],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncParseStream[M]:
        """The object as it grows; see `parse` for the arguments and errors, and `AsyncParseStream` for its use.

        There are no repairs: what has been shown can't be taken back.
        """
        return requests.stream_parse(self, self._session, messages, into, mode, max_tokens, options)

    batch = batches.batch
    batch_file = batches.batch_file
    batch_estimate = batches.batch_estimate
    batch_submit = batches.batch_submit
    batch_status = batches.batch_status
    batch_fetch = batches.batch_fetch
    batch_cancel = batches.batch_cancel

    async def embed(self, texts: str | Sequence[str], *, tags: Mapping[str, str] | None = None) -> Embeddings:
        """Texts as vectors, from a host that makes embeddings, in requests of up to 256 texts, each booked.

        Raises:
            InvalidRequestError: There is nothing to embed; nothing was sent.
            UnsupportedFeature: The host makes no embeddings; nothing was sent.
            BudgetExceeded: It does not fit a budget; nothing was sent.
            DeepthriftError: As in `chat`; `spend` has what earlier requests cost.
        """
        from deepthrift._call.embeddings import embed

        return await embed(self._session.ready(), texts, tags)

    async def count(
        self, messages: Messages, *, mode: Mode = "standard", tools: Sequence[JSONObject] | None = None
    ) -> int:
        """Prompt tokens of a conversation: exact where V3.1's tokenizer is in use, else by the engine, else a bound."""
        return await requests.count(self._session.ready(), messages, mode, tools)

    async def models(self) -> tuple[ModelInfo, ...]:
        """The models that the endpoint lists. Costs nothing; raises `APIError` or `MalformedResponse`."""
        from deepthrift._call.questions import list_models

        return await list_models(self._session.ready())

    async def balance(self) -> Balance:
        """What is left on the provider's account, exactly. Costs nothing; `UnsupportedFeature` where there's no way."""
        from deepthrift._call.questions import read_balance

        return await read_balance(self._session.ready())
