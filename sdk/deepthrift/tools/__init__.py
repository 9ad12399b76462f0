"""Function calling: typed Python functions that the model may call."""

from deepthrift.tools._tool import Tool

__all__ = ["Tool"]
