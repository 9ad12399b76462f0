"""What the asynchronous client asks of an endpoint beside chats."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from deepthrift._call.stream import AsyncStream
from deepthrift._client.async_tasks import AsyncTasks
from deepthrift._types.errors import DeepthriftError
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.messages import JSONObject, Messages
from deepthrift._types.options import CallOptions, ChatOptions, Options, options_of
from deepthrift._types.reply import Reply
from deepthrift_pricing import Estimate, Mode

if TYPE_CHECKING:
    from deepthrift._call.in_flight import UnderWay
    from deepthrift._call.target import Target
    from deepthrift._types.account import Balance, ModelInfo
    from deepthrift._types.reply import Embeddings
    from deepthrift._types.samples import Samples


class AsyncRequests(AsyncTasks):
    """Completions of plain text, embeddings, counts, models and the balance."""

    _under_way: UnderWay

    @abstractmethod
    def _cores(self, options: Options) -> list[Target]: ...

    @abstractmethod
    async def _blame_engine(self, error: DeepthriftError) -> None: ...

    async def samples(
        self,
        messages: Messages,
        *,
        n: int,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Samples:
        """`n` answers to the same question: in one request where the host can, else in requests side by side.

        Where the first one fails, the others are cancelled; what they cost is booked, and the error's spend has it.

        Args:
            messages: As for `chat`.
            n: How many, from 1 to 128.
            mode: As for `chat`.
            max_tokens: The most tokens to generate for each of them.
            **options: See `ChatOptions`. Where `temperature` is 0 they hardly differ; a `seed` is counted up.

        Raises:
            DeepthriftError: As for `chat`; the spend is that of all of them.
        """
        from deepthrift._call.sampling import draw

        given = options_of(messages, mode, max_tokens, {"purpose": "sample", **options})
        return await draw(self._cores(given), given, n, self._under_way, self._blame_engine)

    async def complete(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """What the model writes after `prompt`, or between `prompt` and `suffix`: plain text, without a chat.

        It is priced, budgeted and booked like any call, in standard mode.

        Args:
            prompt: The text before the gap, to the letter. Servers of your own read V3.1's special tokens in it.
            suffix: The text after the gap.
            max_tokens: The most tokens to generate; left out, what the host's profile says, 512 in most.
            **options: See `CallOptions`.

        Raises:
            UnsupportedFeature: The host does not complete text, or fills no gaps; nothing was sent.
            DeepthriftError: As for `chat`.
        """
        from deepthrift._types.further_options import completion_of

        return await self._answered(completion_of(prompt, suffix, max_tokens, options))

    def stream_complete(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncStream:
        """The same as `complete`, as it arrives; see `AsyncStream` for its use."""
        from deepthrift._types.further_options import completion_of

        return self._streamed(completion_of(prompt, suffix, max_tokens, options))

    def estimate_complete(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        max_tokens: int | None = None,
        expected_length: ExpectedLength | None = None,
        **options: Unpack[CallOptions],
    ) -> Estimate:
        """What `complete` will cost at least, probably and at most, before it is sent. Sends nothing itself.

        No cache hits are foretold for completions.

        Args:
            prompt: As for `complete`, and so are `suffix`, `max_tokens` and `options`.
            suffix: The text after the gap.
            max_tokens: The most tokens to generate.
            expected_length: Asked with the prompt and `"standard"`, it tells how many tokens will be written, or `None`
                if it does not know; left out, the ledger's own history of this host and model in standard mode tells,
                in which chats and completions stand side by side.
            **options: See `CallOptions`.

        Raises:
            UnsupportedFeature: The host does not complete text, or fills no gaps.
            InvalidRequestError: The request is wrong.
            PriceNotFound: It has no price.
        """
        from deepthrift._types.further_options import completion_of

        return self._estimated(completion_of(prompt, suffix, max_tokens, options), None, expected_length)

    async def embed(self, texts: str | Sequence[str], *, tags: Mapping[str, str] | None = None) -> Embeddings:
        """Texts as vectors, from a host that makes embeddings: the embedded engine does when it is started for it.

        They are sent in batches of up to 256, each reserved and booked like a call that generates nothing.

        Args:
            texts: A text, or several.
            tags: Labels for the ledger, laid over the client's.

        Raises:
            InvalidRequestError: There is nothing to embed; nothing was sent.
            UnsupportedFeature: The host makes no embeddings; nothing was sent.
            BudgetExceeded: It does not fit a budget; nothing was sent.
            DeepthriftError: As in `chat`; `spend` has what earlier batches cost.
        """
        from deepthrift._call.embeddings import embed

        return await embed(self._ready(), texts, tags)

    async def count(
        self, messages: Messages, *, mode: Mode = "standard", tools: Sequence[JSONObject] | None = None
    ) -> int:
        """Prompt tokens of a conversation: exact where V3.1's tokenizer is in use, else by the engine, else a bound.

        Raises:
            InvalidRequestError: The conversation is wrong.
        """
        from deepthrift._call.prepare.counting import count_prompt
        from deepthrift._call.prepare.tokenize import engine_count
        from deepthrift._wire.conversation import wire_messages

        core = self._ready()
        asked = options_of(messages, mode, None, {}).messages
        wire = wire_messages(asked, core.profile, mode=mode, tools=bool(tools))
        counted = await engine_count(core, wire, mode=mode, tools=tools)
        if counted is not None:
            return counted
        return count_prompt(core.profile, core.model, wire, mode=mode, tools=tools).tokens

    async def models(self) -> tuple[ModelInfo, ...]:
        """The models that the endpoint lists, with what it tells of them. Costs nothing.

        Raises:
            APIError: It could not be asked.
            MalformedResponse: What it answers is no list of models.
        """
        from deepthrift._call.questions import list_models

        return await list_models(self._ready())

    async def balance(self) -> Balance:
        """What is left on the provider's account, exactly. Costs nothing.

        Raises:
            UnsupportedFeature: The host does not tell; nothing was sent.
            APIError: It could not be asked.
        """
        from deepthrift._call.questions import read_balance

        return await read_balance(self._ready())
