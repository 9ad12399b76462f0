"""The SDK's part of the error tree; the root and the money errors come from `deepthrift_pricing.errors`.

```
DeepthriftError
├── ConfigurationError · InvalidRequestError · ContextLengthExceeded · PricingError … · BudgetExceeded · LedgerError …
├── ClientClosed                  the client was closed (also ConfigurationError)
├── IsolationUnavailable          code of a model cannot be isolated here and was not run (also ConfigurationError)
├── NoEndpointAllowed             no endpoint is in a region that the call allows; nothing was sent
├── UnsupportedFeature            the mode or host cannot do what was asked; nothing was sent (also InvalidRequestError)
├── APIError                      the endpoint could not be used or answered with an error
│   ├── ConnectionFailed          no connection, or it was lost
│   ├── AttemptTimeout            one attempt took longer than `timeout`
│   ├── DeadlineExceeded          the whole call took longer than `deadline`
│   ├── CircuitOpen               the endpoint failed too often and is left alone for a while; nothing was sent
│   │   └── BalanceExhausted      the same with an empty account (also InsufficientBalance)
│   └── StatusError               the endpoint answered with an error status, or an error inside a success
│       ├── BadRequest 400 · AuthenticationFailed 401 · InsufficientBalance 402 · PermissionRefused 403
│       ├── NotFound 404 · UnprocessableRequest 422 · RateLimited 429 · ServerError 5xx · Overloaded 503
├── ResponseError                 an answer arrived that cannot be used
│   ├── EmptyResponse             a success whose body is blank
│   ├── MalformedResponse         not the JSON that the protocol promises
│   ├── ResponseTooLarge          more than `max_response_bytes`; carries what had arrived of a stream
│   ├── StreamInterrupted         the stream broke; carries the partial reply and its cost
│   ├── ModeNotHonoured           another mode ran than the one asked for (raised only with `on_mode_mismatch="raise"`)
│   ├── ToolCallsMissing          tool calls were announced, and none came
│   └── StructuredOutputError     the answer is not the JSON that was asked for
├── CalibrationError              the router cannot promise or learn what was asked (deepthrift_router)
│   ├── NotEnoughLabels           too few labelled answers; says how many more
│   └── NoLift                    the new setting is no better than the one in force
├── ToolError                     a loop of tool calls could not go on
│   ├── ToolFailed                a tool raised (only with `on_error="raise"`)
│   ├── ToolCallCut               `max_tokens` ended an answer inside a tool call
│   └── ToolLoopExceeded          its limit on rounds or on spend was reached
├── BatchError                    the files of a batch cannot be used
│   └── ClusterUnavailable        the cluster for it cannot be reached, or has no worker left
├── WorkerLost                    a machine of a batch died with the row it was answering; it may be billed
├── UnmatchedRequest              a scripted or recorded endpoint has no answer for it (also AssertionError)
└── EngineError                   the embedded engine
    ├── MissingExtra              deepthrift[local] is not installed
    ├── UnsupportedMachine        the processor or a system library is missing something
    ├── ModelFileError            the model file is missing, damaged or not GGUF
    ├── DownloadError             a model could not be fetched, or its hash is wrong
    ├── EngineStartFailed         the engine did not come up; carries the end of its log
    │   └── NotEnoughMemory       the model does not fit into the memory that is free
    └── EngineCrashed             the engine died while in use; the next call starts it again
        └── EngineKeepsCrashing   it died too often and is not started again
```
"""

from deepthrift._types import errors as _errors
from deepthrift._types.errors import *  # noqa: F403  # the same names; `__all__` there lists them

__all__: list[str] = []
__all__ += _errors.__all__


for _name in __all__:
    if globals()[_name].__module__.startswith("deepthrift._types."):
        globals()[_name].__module__ = __name__  # tracebacks and docs show where users import it from
