"""Functions of yours around every attempt, for logging, headers, caching and tracing; and a cache of answers."""

from deepthrift.middleware._cache import ResponseCache
from deepthrift.middleware._exchange import CallNext, Middleware, Request, Response

__all__ = ["CallNext", "Middleware", "Request", "Response", "ResponseCache"]
