"""A web service with a model inside: the engine starts with the service, serves all of its requests, and ends with it.

    python examples/engine_service.py                      the small default model, fetched once
    python examples/engine_service.py model.gguf           a model of yours
    curl -d '{"question": "What is the capital of France?"}' http://127.0.0.1:8080/ask

Needs `deepthrift[local,dashboard]`, for Starlette and uvicorn. With FastAPI it is the same: `FastAPI(lifespan=…)`, and
`request.state.client` in its routes. PORT names another port than 8080.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TypedDict

import uvicorn
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded, DeepthriftError
from deepthrift_pricing import Budget, Ledger, Mode


class Question(BaseModel):
    """What is asked of the service."""

    question: str = Field(min_length=1, max_length=4000)
    mode: Mode = "standard"


class State(TypedDict):
    """What the lifespan hands to every request."""

    client: AsyncClient


def application(model: Path | None = None) -> Starlette:
    """The service on `model`."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[State]:
        with Ledger.open("memory:", budgets=[Budget("1", per="day")]) as ledger:
            async with AsyncClient.local(model, slots=2, ledger=ledger) as client:
                yield {"client": client}

    async def ask(request: Request) -> JSONResponse:
        try:
            wanted = Question.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"error": error.errors(include_url=False, include_context=False)}, 422)
        client: AsyncClient = request.state.client
        try:
            reply = await client.chat(wanted.question, mode=wanted.mode, max_tokens=96)
        except BudgetExceeded as error:
            return JSONResponse({"error": error.message}, 429)
        except DeepthriftError as error:
            return JSONResponse({"error": error.message}, 502)
        return JSONResponse({"answer": reply.text, "mode": reply.mode, "cost": str(reply.cost.total.amount)})

    async def spend(request: Request) -> JSONResponse:
        client: AsyncClient = request.state.client
        rows = client.ledger.spend(by=("mode",))
        return JSONResponse({str(row.key["mode"]): str(row.total.amount) for row in rows})

    routes = [Route("/ask", ask, methods=["POST"]), Route("/spend", spend)]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    app = application(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), log_level="warning")
