"""The models that an endpoint lists."""

from __future__ import annotations

import asyncio

import httpx
from pydantic import BaseModel, ValidationError

from deepthrift._core import Core
from deepthrift._wire.failures import status_error
from deepthrift.errors import AttemptTimeout, ConnectionFailed, MalformedResponse


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


async def list_models(core: Core) -> tuple[str, ...]:
    """The ids at `GET /models`."""
    timeout = min(core.settings.timeout, 60.0)
    try:
        async with asyncio.timeout(timeout):
            incoming = await core.endpoint.get("/models")
            try:
                data = await incoming.read_all()
            finally:
                core.endpoint.close_behind(incoming)
    except TimeoutError:
        raise AttemptTimeout(f"the endpoint did not list its models within {timeout:g} s") from None
    except (httpx.HTTPError, OSError) as error:
        raise ConnectionFailed(f"no connection to {core.endpoint.url}: {error}. Is the server running?") from error
    if incoming.status >= 300:
        raise status_error(incoming.status, data, incoming.headers, host=core.profile.name, secrets=(core.key,))
    try:
        return tuple(model.id for model in _Models.model_validate_json(data).data)
    except ValidationError:
        raise MalformedResponse("the endpoint's list of models is not one; does the base URL end in '/v1'?") from None
