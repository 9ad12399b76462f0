"""Function calling: typed Python functions that the model may call."""

from deepthrift._types.tool_reply import ToolLoopEvent, ToolReply, ToolResult, ToolStarted
from deepthrift.tools._options import ToolLoopOptions
from deepthrift.tools._running import OnError
from deepthrift.tools._tool import Tool

__all__ = ["OnError", "Tool", "ToolLoopEvent", "ToolLoopOptions", "ToolReply", "ToolResult", "ToolStarted"]
