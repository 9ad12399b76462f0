"""A service that knows what each of its customers spends, and stops at their limits.

    pip install 'deepthrift[prometheus]' fastapi uvicorn
    python examples/fastapi_spend.py

    curl -H 'x-customer: ada' --json '{"text": "How many primes are below 1,000?"}' http://127.0.0.1:8080/ask
    curl http://127.0.0.1:8080/spend
    curl http://127.0.0.1:8080/metrics

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set; LIMIT what one customer may spend in a day, in
USD; PORT where the service listens, on this machine only. With several workers, give all of them one ledger, as here,
or one in PostgreSQL: the limits hold for all of them together.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.prometheus import LedgerCollector
from deepthrift_router import ModeRouter

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
BUDGETS = [
    Budget("5", per="day", name="all customers"),
    Budget(os.environ.get("LIMIT", "0.05"), per="day", each="customer", policy="refuse", name="each customer"),
]


class Question(BaseModel):
    """What is asked."""

    text: str = Field(min_length=1, max_length=20_000)


class Answer(BaseModel):
    """What comes back: the answer, how it came about, and what it cost."""

    text: str
    path: list[str]
    cost: str


class Service:
    """What all requests share."""

    def __init__(self, ledger: Ledger, router: ModeRouter[AsyncClient]) -> None:
        self.ledger = ledger
        self.router = router
        self.registry = CollectorRegistry()
        self.registry.register(LedgerCollector(ledger))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    with Ledger.open("sqlite:///spend.db", budgets=BUDGETS) as ledger:
        async with AsyncClient(URL, host="vllm", prices="brief", ledger=ledger) as client:
            app.state.service = Service(ledger, ModeRouter(client))
            yield


app = FastAPI(lifespan=lifespan)


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@app.post("/ask")
async def ask(question: Question, customer: Annotated[str, Header(alias="x-customer")], request: Request) -> Answer:
    """One routed answer, on the customer's account. In earnest, take the customer from your login."""
    router = service_of(request).router
    reply = await router.chat(question.text, max_tokens=1024, tags={"customer": customer})
    return Answer(text=reply.text, path=list(reply.path), cost=str(reply.cost))


@app.exception_handler(BudgetExceeded)
async def too_dear(request: Request, error: Exception) -> JSONResponse:
    """Nothing was sent: the worst case of the call does not fit."""
    return JSONResponse({"detail": str(error)}, status_code=402)


@app.get("/spend")
def spend(request: Request) -> list[dict[str, str]]:
    """What each customer has spent, by mode."""
    rows = service_of(request).ledger.spend(by=("tag:customer", "mode"))
    return [
        {"customer": row.key["tag:customer"], "mode": row.key["mode"], "total": str(row.total)}
        for row in rows
        if row.total
    ]


@app.get("/metrics")
def metrics(request: Request) -> PlainTextResponse:
    """The ledger, for Prometheus. Customers are no label: there may be many of them."""
    return PlainTextResponse(generate_latest(service_of(request).registry), media_type=CONTENT_TYPE_LATEST)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), log_level="warning")
