"""A client for every DeepSeek V3.1 endpoint that knows what a call will cost and never spends past a budget."""

from deepthrift._account import Balance, BalanceAmount, BalanceCurrency, ModelInfo
from deepthrift._async_client import AsyncClient
from deepthrift._breaker import CircuitBreaker, CircuitState
from deepthrift._client import Client, Stream
from deepthrift._conversation import Conversation
from deepthrift._endpoints import Endpoint, EndpointStatus
from deepthrift._events import Finished, ReasoningDelta, StreamEvent, StreamStarted, TextDelta, ToolCallDelta
from deepthrift._expected_length import ExpectedLength
from deepthrift._messages import (
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
from deepthrift._options import CallOptions, ChatOptions, ToolChoice
from deepthrift._raw import RawResponse
from deepthrift._reply import Embeddings, FinishReason, Reply, TokenLogprob, ToolCall
from deepthrift._samples import Samples
from deepthrift._stream import AsyncStream
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
