"""Structured output: answers as validated objects."""

from deepthrift.structured._reply import Parsed
from deepthrift.structured._stream import AsyncParseStream, ParseStream

__all__ = ["AsyncParseStream", "ParseStream", "Parsed"]
