"""openai's own client, answered by the router: code gains routing, prices and budgets by changing one import."""

from importlib.util import find_spec as _find_spec

from deepthrift import errors as _errors

if _find_spec("openai") is None:
    raise _errors.MissingExtra("openai is not installed: pip install 'deepthrift[openai]'")

from deepthrift_router.compat._async_openai import AsyncOpenAI
from deepthrift_router.compat._openai import OpenAI
from deepthrift_router.compat._routing import Routing, routing_of

__all__ = ["AsyncOpenAI", "OpenAI", "Routing", "routing_of"]
