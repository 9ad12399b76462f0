"""LangChain's chat model on a client or a router."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from operator import itemgetter
from typing import Any, Final, Literal, Self, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, Field, SkipValidation, model_validator

from deepthrift._types.errors import ConfigurationError
from deepthrift._types.messages import JSONObject
from deepthrift._types.reply import Reply
from deepthrift.integrations._langchain_messages import MessageChunks, as_answer, as_messages
from deepthrift.integrations._source import ChatSource, client_of, is_awaited, model_name, refuse_awaited
from deepthrift_pricing import Mode

_PLAIN_CHOICES: Final = ("auto", "none", "required")
_FOR_TRACES: Final = ("ls_structured_output_format", "structured_output_format")


class ChatDeepthrift(BaseChatModel):
    """A LangChain chat model whose calls are priced, booked and held to budgets.

    It stands on anything with `chat` and `stream`. On a `Client` it can be awaited too; on an `AsyncClient` it has to
    be. Reasoning is in `additional_kwargs["reasoning_content"]` and in `content_blocks`; `usage_metadata` has the
    tokens, cache hits and reasoning included; `response_metadata` has mode, cost, attempts and, on a router, its whole
    decision.
    Errors of calls are Deepthrift's own, those of its own arguments pydantic's `ValidationError`.
    """

    client: SkipValidation[ChatSource] = Field(exclude=True, repr=False)
    """A `Client`, an `AsyncClient`, a `ModeRouter` on one of them, or an object of yours."""
    mode: Mode | None = None
    """The mode of a client's calls; `None` is standard. A router chooses itself, so it takes none."""
    max_tokens: int | None = None
    """The most tokens to generate, reasoning included."""
    temperature: float | None = None
    """0 to 2; left out, the host's own default."""
    stop: list[str] | None = None
    """Texts at which the answer ends."""
    timeout: float | None = None
    """Seconds that one attempt may take; left out, the client's."""
    max_retries: int | None = None
    """Further attempts; left out, the client's."""
    options: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Further options of every call: `tags`, `seed`, `policy` and the like."""

    @property
    def _llm_type(self) -> str:
        return "deepthrift"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        # LangChain's caches know a model by these alone: whatever changes an answer has to be among them.
        own = ("mode", "max_tokens", "temperature", "stop", "options")
        named = client_of(self.client) is not None
        source = repr(self.client) if named else f"{type(self.client).__module__}.{type(self.client).__qualname__}"
        return {"model": model_name(self.client), "source": source, **{name: getattr(self, name) for name in own}}

    @model_validator(mode="after")
    def _has_no_mode_on_a_router(self) -> Self:
        client = client_of(self.client)
        if self.mode is not None and client is not None and client is not self.client:
            raise ConfigurationError("a router chooses the mode itself: leave mode= out, or use options={'policy': …}")
        return self

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "deepthrift"
        params["ls_model_name"] = kwargs.get("model") or model_name(self.client)
        return params

    # -- calls ------------------------------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        refuse_awaited(self.client)
        return _result(cast("Reply", self.client.chat(as_messages(messages), **self._options(stop, kwargs))))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not is_awaited(self.client):
            return await super()._agenerate(messages, stop, run_manager, **kwargs)  # in a thread
        answer = self.client.chat(as_messages(messages), **self._options(stop, kwargs))
        return _result(await cast("Awaitable[Reply]", answer))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        refuse_awaited(self.client)
        opened = self.client.stream(as_messages(messages), **self._options(stop, kwargs))
        pieces = MessageChunks()
        with cast("AbstractContextManager[Iterator[object]]", opened) as stream:
            for event in stream:
                if (piece := pieces.of(event)) is not None:
                    yield ChatGenerationChunk(message=piece)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if not is_awaited(self.client):
            async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
                yield chunk
            return
        opened = self.client.stream(as_messages(messages), **self._options(stop, kwargs))
        pieces = MessageChunks()
        async with cast("AbstractAsyncContextManager[AsyncIterator[object]]", opened) as stream:
            async for event in stream:
                if (piece := pieces.of(event)) is not None:
                    yield ChatGenerationChunk(message=piece)

    def _options(self, stop: list[str] | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        own = {
            "mode": self.mode,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "stop": stop or self.stop or None,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
        }
        options = {**{name: value for name, value in own.items() if value is not None}, **self.options, **kwargs}
        for name in _FOR_TRACES:
            options.pop(name, None)
        if (parallel := options.pop("parallel_tool_calls", None)) is not None:
            further = cast("dict[str, object]", options.get("extra_body") or {})
            options["extra_body"] = {**further, "parallel_tool_calls": parallel}
        return options

    # -- tools and objects ------------------------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools that it may call.

        Args:
            tools: Functions, pydantic models, LangChain tools, or schemas.
            tool_choice: `"auto"`, `"none"`, `"any"` or `"required"`, a tool's name, or a choice in openai's shape.
            strict: Whether the host has to keep to the schema; see `docs/tools.md`.
            **kwargs: Further options of the calls.
        """
        formatted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        choice = _choice(tool_choice, [tool["function"]["name"] for tool in formatted])
        bound = kwargs if choice is None else {**kwargs, "tool_choice": choice}
        return super().bind(tools=formatted, **bound)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "function_calling", "json_mode"] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """The model with answers of one type.

        Args:
            schema: A pydantic model, a `TypedDict`, or a JSON schema.
            include_raw: Whether the message comes with the object, and an error in the place of an exception.
            method: How the host is asked. Left out, by a JSON schema where the host can, else by a tool.
            strict: Whether the host has to keep to the schema.
            **kwargs: Further options of the calls.
        """
        if method is None:
            method = "json_schema" if self._knows_schemas() else "function_calling"
        traced: dict[str, Any] = {"kwargs": {"method": method}, "schema": schema}
        is_model = isinstance(schema, type) and is_basemodel_subclass(schema)
        parser: Any
        if method == "function_calling":
            model = self.bind_tools(
                [schema], tool_choice="any", strict=strict, ls_structured_output_format=traced, **kwargs
            )
            if is_model:
                parser = PydanticToolsParser(tools=[cast("type[BaseModel]", schema)], first_tool_only=True)
            else:
                name = convert_to_openai_tool(schema)["function"]["name"]
                parser = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
        else:
            wanted: dict[str, Any] = {"type": "json_object"}
            if method == "json_schema":
                json_schema = convert_to_json_schema(schema)
                named = {"name": str(json_schema.get("title", "answer")), "schema": json_schema}
                wanted = {"type": method, "json_schema": named if strict is None else {**named, "strict": strict}}
            model = super().bind(response_format=wanted, ls_structured_output_format=traced, **kwargs)
            parser = JsonOutputParser()
            if is_model:
                parser = PydanticOutputParser(pydantic_object=cast("type[BaseModel]", schema))
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")

    def _knows_schemas(self) -> bool:
        client = client_of(self.client)
        return client is None or "json_schema" in client.host.rules(self.mode or "standard").features


def _result(reply: Reply) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=as_answer(reply))])


def _choice(choice: str | dict[str, Any] | bool | None, names: Sequence[str]) -> str | JSONObject | None:
    if choice is None or choice is False:
        return None
    if choice is True or choice == "any":
        return "required"
    if isinstance(choice, dict) or choice in _PLAIN_CHOICES:
        return choice
    if choice not in names:
        raise ValueError(f"tool_choice {choice!r} is not one of the tools: {', '.join(names)}")
    return {"type": "function", "function": {"name": choice}}
