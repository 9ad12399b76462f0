"""pydantic-ai's model on a client or a router."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

from pydantic_ai import ModelAPIError, ModelHTTPError, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse, check_allow_model_requests
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings, ToolOrOutput

from deepthrift._types.errors import (
    APIError,
    ConfigurationError,
    DeepthriftError,
    EngineError,
    ResponseError,
    StatusError,
)
from deepthrift._types.events import Finished, ReasoningDelta, TextDelta, ToolCallDelta
from deepthrift._types.reply import Reply
from deepthrift.integrations._pydantic_ai_messages import PROVIDER, as_messages, as_response, as_usage, finish_reason
from deepthrift.integrations._source import ChatSource, billed, client_of, is_awaited, model_name
from deepthrift_pricing import Mode

_SETTINGS: Final = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop_sequences": "stop",
    "extra_headers": "extra_headers",
}
_SENT: Final = ("presence_penalty", "frequency_penalty", "logit_bias", "parallel_tool_calls", "top_k")


class _Stream(Protocol):
    """The part of a stream, a client's or a router's, that is used here."""

    def __aiter__(self) -> AsyncIterator[object]: ...

    async def aclose(self) -> None: ...


class DeepthriftModel(Model[Any]):
    """A pydantic-ai model whose requests are priced, booked and held to budgets.

    It stands on anything with an awaited `chat` and a `stream`: an `AsyncClient` or a `ModeRouter` on one. Reasoning
    comes as thinking parts; `usage` has cache hits, reasoning and the exact cost; `provider_details` has mode, cost,
    attempts and, on a router, its whole decision. An error status is a `ModelHTTPError`; an endpoint that cannot be
    used, or gives no usable answer, is a `ModelAPIError`. What pydantic-ai has no word for, `BudgetExceeded` among it,
    is raised as it is.
    """

    def __init__(
        self,
        source: ChatSource,
        *,
        mode: Mode | None = None,
        options: Mapping[str, object] | None = None,
        settings: ModelSettings | None = None,
        profile: ModelProfile | None = None,
    ) -> None:
        """A model on `source`.

        Args:
            source: An `AsyncClient`, a `ModeRouter` on one, or an object of yours.
            mode: The mode of a client's calls; left out, standard, or what the setting `thinking` says. A router
                chooses itself, and `thinking` is its policy.
            options: Further options of every call: `tags`, `policy` and the like.
            settings: As for every model of pydantic-ai.
            profile: As for every model of pydantic-ai; laid over what the host is known to do.

        Raises:
            ConfigurationError: The source is not awaited.
        """
        if not is_awaited(source):
            raise ConfigurationError("pydantic-ai awaits its models; use an AsyncClient, or a ModeRouter on one")
        self._source = source
        self._mode: Mode | None = mode
        self._options = dict(options or {})
        client = client_of(source)
        self._routed = client is not None and client is not source
        self._url = None if client is None else client.base_url
        super().__init__(settings=settings, profile={**self._known(), **(profile or {})})

    @property
    def model_name(self) -> str:
        """The model's name."""
        return model_name(self._source)

    @property
    def system(self) -> str:
        """The provider's name, for telemetry."""
        return PROVIDER

    @property
    def base_url(self) -> str | None:
        """Where the endpoint is."""
        return self._url

    def _known(self) -> ModelProfile:
        """What the host can do: V3.1 calls tools in standard mode only."""
        client = client_of(self._source)
        thinks = self._mode == "thinking"
        features = frozenset[str]() if client is None else client.host.rules(self._mode or "standard").features
        schemas = "json_schema" in features
        return ModelProfile(
            supports_tools=not thinks,
            supports_json_schema_output=schemas,
            supports_json_object_output="json_object" in features,
            supports_thinking=True,
            thinking_always_enabled=thinks,
            default_structured_output_mode="tool" if not thinks else "native" if schemas else "prompted",
        )

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One complete answer."""
        check_allow_model_requests()
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        with self._errors():
            call = self._source.chat(*self._messages(messages, parameters), **self._chat_options(settings, parameters))
            return as_response(await cast("Awaitable[Reply]", call), self._url)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """One answer as it arrives."""
        check_allow_model_requests()
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        with self._errors():
            call = self._source.stream(
                *self._messages(messages, parameters), **self._chat_options(settings, parameters)
            )
        stream = cast("_Stream", call)
        try:
            yield DeepthriftStream(parameters, _stream=stream, _model=self)
        finally:
            await stream.aclose()

    def _messages(self, messages: list[ModelMessage], parameters: ModelRequestParameters) -> tuple[object]:
        instructions = self._get_instruction_parts(messages, parameters) or []
        return (as_messages(messages, [part.content for part in instructions]),)

    def _chat_options(self, settings: ModelSettings | None, parameters: ModelRequestParameters) -> dict[str, object]:
        """The options of a call."""
        told = cast("Mapping[str, object]", settings or {})
        options: dict[str, object] = {
            ours: told[name] for name, ours in _SETTINGS.items() if told.get(name) is not None
        }
        if isinstance(timeout := told.get("timeout"), int | float):
            options["timeout"] = timeout
        sent = {name: told[name] for name in _SENT if told.get(name) is not None}
        if body := {**sent, **cast("Mapping[str, object]", told.get("extra_body") or {})}:
            options["extra_body"] = body
        options |= self._mode_option(parameters)
        tools, choice = _tools(told.get("tool_choice"), parameters)
        if tools:
            options["tools"] = tools
            options["tool_choice"] = choice
        if (format_ := self._format(parameters, tools=bool(tools))) is not None:
            options["response_format"] = format_
        return {**options, **self._options}

    def _mode_option(self, parameters: ModelRequestParameters) -> dict[str, object]:
        thinking = parameters.thinking
        mode = self._mode if thinking is None else "thinking" if thinking else "standard"
        return {} if mode is None else {"policy" if self._routed else "mode": mode}

    def _format(self, parameters: ModelRequestParameters, *, tools: bool) -> Mapping[str, object] | None:
        wanted = parameters.output_object
        if parameters.output_mode == "native" and wanted is not None:
            schema: dict[str, object] = {"name": wanted.name or "answer", "schema": wanted.json_schema}
            if wanted.description:
                schema["description"] = wanted.description
            if wanted.strict is not None:
                schema["strict"] = wanted.strict
            return {"type": "json_schema", "json_schema": schema}
        if parameters.output_mode == "prompted" and not tools and self.profile.get("supports_json_object_output"):
            return {"type": "json_object"}
        return None

    @contextmanager
    def _errors(self) -> Generator[None]:
        """Ours as pydantic-ai's, where it has one, so that its retries and fallbacks work."""
        try:
            yield
        except StatusError as error:
            raise ModelHTTPError(error.status, self.model_name, error.body or error.message) from error
        except (APIError, ResponseError, EngineError) as error:
            raise ModelAPIError(self.model_name, error.message) from error


def _tools(
    wanted: object, parameters: ModelRequestParameters
) -> tuple[list[Mapping[str, object]], str | Mapping[str, object]]:
    """The tools of a request, and whether one of them has to be called."""
    tools = dict(parameters.declared_tool_defs)
    outputs = {tool.name for tool in parameters.output_tools}
    choice = "auto" if parameters.allow_text_output else "required"
    if wanted in ("none", []):
        tools = {name: tool for name, tool in tools.items() if name in outputs}
    elif wanted == "required":
        tools, choice = {name: tool for name, tool in tools.items() if name not in outputs}, "required"
    elif isinstance(wanted, ToolOrOutput):
        kept = outputs.union(wanted.function_tools)
        tools = {name: tool for name, tool in tools.items() if name in kept}
    elif isinstance(wanted, list):
        names = cast("list[str]", wanted)
        tools, choice = {name: tool for name, tool in tools.items() if name in names}, "required"
    sent: list[Mapping[str, object]] = []
    for tool in tools.values():
        function: dict[str, object] = {"name": tool.name, "parameters": tool.parameters_json_schema}
        if tool.description:
            function["description"] = tool.description
        if tool.strict is not None:
            function["strict"] = tool.strict
        sent.append({"type": "function", "function": function})
    if choice == "required" and len(sent) == 1:
        return sent, {"type": "function", "function": {"name": next(iter(tools))}}
    return sent, choice


@dataclass
class DeepthriftStream(StreamedResponse):
    """An answer of a `DeepthriftModel` as it arrives."""

    _stream: _Stream
    _model: DeepthriftModel
    _began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _reply: Reply | None = field(default=None, init=False)

    async def close_stream(self) -> None:
        """Stop the upstream and book what arrived."""
        await self._stream.aclose()

    def get_stream_cancel_errors(self) -> tuple[type[BaseException], ...]:
        """What a stream may raise when it is closed while it is read."""
        return (DeepthriftError, *super().get_stream_cancel_errors())

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        parts = self._parts_manager
        called = False
        with self._model._errors():  # pyright: ignore[reportPrivateUsage]
            async for event in self._stream:
                match event:
                    case ReasoningDelta(text):
                        found = parts.handle_thinking_delta(
                            vendor_part_id="thinking", content=text, provider_name=PROVIDER
                        )
                    case TextDelta(text):
                        found = parts.handle_text_delta(vendor_part_id="text", content=text)
                    case ToolCallDelta(index, id_, name, arguments):
                        called = True
                        found = parts.handle_tool_call_delta_events(
                            vendor_part_id=index, tool_name=name, args=arguments or None, tool_call_id=id_
                        )
                    case Finished(reply):
                        found = self._end(reply, called)
                    case _:
                        continue
                for each in found:
                    yield each

    def _end(self, reply: Reply, called: bool) -> Iterator[ModelResponseStreamEvent]:
        self._reply = reply
        self._usage = as_usage(reply)
        self.finish_reason = finish_reason(reply)
        self.provider_details = billed(reply)
        self.provider_response_id = reply.response_id
        for index, call in enumerate(() if called else reply.tool_calls):  # a router shows them when they are final
            yield self._parts_manager.handle_tool_call_part(
                vendor_part_id=index, tool_name=call.name, args=call.arguments, tool_call_id=call.id
            )

    @property
    def model_name(self) -> str:
        """The model, as the endpoint names it where it has said so."""
        return self._model.model_name if self._reply is None else self._reply.model

    @property
    def provider_name(self) -> str:
        """Whose answer it is, for telemetry."""
        return PROVIDER

    @property
    def provider_url(self) -> str | None:
        """Where the endpoint is."""
        return self._model.base_url

    @property
    def timestamp(self) -> datetime:
        """When the request was made."""
        return self._began
