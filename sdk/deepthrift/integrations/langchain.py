"""A chat model for LangChain; needs the extra `deepthrift[langchain]`."""

from deepthrift._types.errors import MissingExtra as _MissingExtra

try:
    from deepthrift.integrations._langchain_model import ChatDeepthrift
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise _MissingExtra("LangChain is not installed: pip install 'deepthrift[langchain]'") from error

__all__ = ["ChatDeepthrift"]
