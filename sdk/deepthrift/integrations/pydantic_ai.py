"""A model for pydantic-ai; needs the extra `deepthrift[pydantic-ai]`."""

from deepthrift._types.errors import MissingExtra as _MissingExtra

try:
    from deepthrift.integrations._pydantic_ai_model import DeepthriftModel
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "pydantic_ai":
        raise
    raise _MissingExtra("pydantic-ai is not installed: pip install 'deepthrift[pydantic-ai]'") from error

__all__ = ["DeepthriftModel"]
