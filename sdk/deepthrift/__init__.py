"""A client for every DeepSeek V3.1 endpoint that knows what a call will cost and never spends past a budget."""

from deepthrift._admission.breaker import CircuitBreaker, CircuitState
from deepthrift._call.endpoints.endpoint import Endpoint, EndpointStatus
from deepthrift._call.stream import AsyncStream
from deepthrift._call.sync_stream import Stream
from deepthrift._client.async_client import AsyncClient
from deepthrift._client.client import Client
from deepthrift._client.conversation import Conversation
from deepthrift._client.settings import ClientSettings, LocalSettings
from deepthrift._types.account import Balance, BalanceAmount, BalanceCurrency, ModelInfo
from deepthrift._types.events import Finished, ReasoningDelta, StreamEvent, StreamStarted, TextDelta, ToolCallDelta
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.messages import (
    AssistantMessage,
    FunctionCall,
    JSONObject,
    JSONValue,
    Message,
    Messages,
    SystemMessage,
    TextPart,
    ToolCallParam,
    ToolMessage,
    UserMessage,
)
from deepthrift._types.options import CallOptions, ChatOptions, ToolChoice
from deepthrift._types.raw import RawResponse
from deepthrift._types.reply import Embeddings, FinishReason, Reply, TokenLogprob, ToolCall
from deepthrift._types.samples import Samples
from deepthrift.hosts import HostProfile

__all__ = [
    "AssistantMessage",
    "AsyncClient",
    "AsyncStream",
    "Balance",
    "BalanceAmount",
    "BalanceCurrency",
    "CallOptions",
    "ChatOptions",
    "CircuitBreaker",
    "CircuitState",
    "Client",
    "ClientSettings",
    "Conversation",
    "Embeddings",
    "Endpoint",
    "EndpointStatus",
    "ExpectedLength",
    "FinishReason",
    "Finished",
    "FunctionCall",
    "HostProfile",
    "JSONObject",
    "JSONValue",
    "LocalSettings",
    "Message",
    "Messages",
    "ModelInfo",
    "RawResponse",
    "ReasoningDelta",
    "Reply",
    "Samples",
    "Stream",
    "StreamEvent",
    "StreamStarted",
    "SystemMessage",
    "TextDelta",
    "TextPart",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallParam",
    "ToolChoice",
    "ToolMessage",
    "UserMessage",
]
