"""A web page that shows an answer while it comes: reasoning, text, what thinking takes back, the cost.

    pip install 'deepthrift[dashboard]'
    python examples/web_stream.py

Then open http://127.0.0.1:8080. The answer goes to the page as server-sent events; a reader who leaves stops the calls
upstream.

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set; PORT where the page is, on this machine only.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast, get_args

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route

from deepthrift import AsyncClient, Finished, ReasoningDelta, TextDelta
from deepthrift.errors import DeepthriftError
from deepthrift_pricing import Budget, Ledger
from deepthrift_router import Escalated, ModeRouter, RoutedReply, RoutePolicy

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Watch it think</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1rem/1.5 system-ui; max-width: 45rem; margin: 2rem auto; padding: 0 1rem }
  textarea { width: 100%; box-sizing: border-box; font: inherit } #reasoning { opacity: .7; white-space: pre-wrap }
  #answer { white-space: pre-wrap; font-size: 1.15rem } del { opacity: .6 }
</style>
<h1>Watch it think</h1>
<form>
  <label>Question <textarea name="question" rows="2" required>What is the capital of Australia?</textarea></label>
  <label>Mode <select name="policy"><option value="auto">as it pays</option>
    <option value="cascade">always checked</option><option>standard</option><option>thinking</option></select></label>
  <button>Ask</button>
</form>
<p id="status" role="status"></p>
<section aria-label="Reasoning" id="reasoning"></section>
<section aria-label="Answer" id="answer" aria-live="polite"></section>
<script>
  const at = id => document.getElementById(id);
  let source;
  document.forms[0].addEventListener("submit", submitted => {
    submitted.preventDefault();
    source?.close();
    at("reasoning").textContent = at("answer").textContent = "";
    at("status").textContent = "asking …";
    source = new EventSource("/answer?" + new URLSearchParams(new FormData(submitted.target)));
    const on = (name, then) => source.addEventListener(name, event => then(JSON.parse(event.data)));
    on("reasoning", text => at("reasoning").append(text));
    on("text", text => at("answer").append(text));
    on("escalated", told => {
      const old = document.createElement("del");
      old.textContent = told.withdrawn;
      at("answer").replaceChildren(...(told.withdrawn ? [old, " "] : []));
      at("status").textContent = told.to + ": " + told.reason;
    });
    on("done", told => { at("status").textContent = told.path + " · " + told.cost; source.close(); });
    on("failed", told => { at("status").textContent = told; source.close(); });
  });
</script>
</html>"""


def event(name: str, data: object) -> str:
    """One server-sent event; JSON keeps line breaks out of it."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


async def events(router: ModeRouter[AsyncClient], question: str, policy: RoutePolicy) -> AsyncIterator[str]:
    """A routed answer as it arrives. Text is shown at once, and taken back when something else follows."""
    try:
        async with router.stream(question, mode="optimistic", max_tokens=1024, policy=policy) as stream:
            async for each in stream:
                match each:
                    case ReasoningDelta(text):
                        yield event("reasoning", text)
                    case TextDelta(text):
                        yield event("text", text)
                    case Escalated(to, reason, withdrawn):
                        yield event("escalated", {"to": to, "reason": reason, "withdrawn": withdrawn})
                    case Finished(reply) if isinstance(reply, RoutedReply):
                        yield event("done", {"path": " > ".join(reply.path), "cost": str(reply.cost)})
                    case _:
                        pass
    except DeepthriftError as error:
        yield event("failed", str(error))


async def page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def answer(request: Request) -> StreamingResponse:
    question, policy = request.query_params.get("question", ""), request.query_params.get("policy", "auto")
    wanted = cast("RoutePolicy", policy) if policy in get_args(RoutePolicy) else "auto"
    told = events(request.app.state.router, question, wanted)
    return StreamingResponse(told, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    with Ledger.open(budgets=[Budget("0.50", per="day")]) as ledger:
        async with AsyncClient(URL, host="vllm", prices="brief", ledger=ledger) as client:
            app.state.router = ModeRouter(client)
            yield


app = Starlette(routes=[Route("/", page), Route("/answer", answer)], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), log_level="warning")
