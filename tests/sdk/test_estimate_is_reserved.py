"""What an estimate calls the worst case is what the call reserves, on every host and for any options."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift import AsyncClient
from deepthrift.errors import DeepthriftError, InvalidRequestError, PriceNotFound
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Ledger, Mode
from tests.support.doors import prices

TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}},
}
TEXT = st.text("abc äé日本 {}\n<｜", min_size=1, max_size=60)
TURNS = st.lists(TEXT, min_size=1, max_size=3).map(
    lambda texts: [
        {"role": "assistant" if (len(texts) - place) % 2 == 0 else "user", "content": text}
        for place, text in enumerate(texts)
    ]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 5000),
        "temperature": st.floats(0, 2),
        "stop": st.lists(st.sampled_from(["END", "\n\n"]), max_size=2),
        "seed": st.integers(0, 99),
        "tools": st.just([TOOL]),
        "reasoning_budget": st.integers(1, 900),
        "service_tier": st.sampled_from(["flex", "priority"]),
        "response_format": st.just({"type": "json_object"}),
        "extra_body": st.just({"top_k": 20}),
    },
)


async def refuse(request: httpx.Request) -> httpx.Response:
    """Nothing answers: what was reserved is all that this is about."""
    if request.url.path.endswith("/input_tokens"):
        return httpx.Response(404)
    return httpx.Response(401, json={"error": {"message": "no"}})


def client_of(host: str, ledger: Ledger) -> AsyncClient:
    profile = HostProfile.named(host)
    return AsyncClient(
        "http://127.0.0.1:9/v1",
        host=profile,
        model=profile.model or "deepseek-ai/DeepSeek-V3.1",
        api_key="not-a-secret",
        prices=prices(),
        ledger=ledger,
        max_retries=0,
        transport=httpx.MockTransport(refuse),
    )


MODES = st.sampled_from(["standard", "thinking"])


@settings(max_examples=60)
@given(host=st.sampled_from(HostProfile.names()), turns=TURNS, mode=MODES, options=OPTIONS)
async def test_what_is_estimated_is_reserved(host: str, turns: list[Any], mode: Mode, options: dict[str, Any]) -> None:
    await compare(host, turns, mode, options)


@pytest.mark.slow
@pytest.mark.parametrize("host", HostProfile.names())
@settings(max_examples=25)
@given(turns=TURNS, mode=MODES, options=OPTIONS)
async def test_on_every_host(host: str, turns: list[Any], mode: Mode, options: dict[str, Any]) -> None:
    await compare(host, turns, mode, options)


async def compare(host: str, turns: list[Any], mode: Mode, options: dict[str, Any]) -> None:
    """An estimate and a reservation come to the same, or are refused for the same reason."""
    with Ledger.open("memory:") as ledger:
        async with client_of(host, ledger) as client:
            try:
                worst = client.estimate(turns, mode=mode, **options).worst
            except (InvalidRequestError, PriceNotFound) as error:
                with pytest.raises(type(error)):
                    await client.chat(turns, mode=mode, **options)
                assert not ledger.attempts()
                return
            with pytest.raises(DeepthriftError):
                await client.chat(turns, mode=mode, **options)
            reserved = [attempt.reserved for attempt in ledger.attempts()]
            assert len(reserved) == 1
            if client.host.two_pass is not None and mode == "thinking":
                assert reserved[0] < worst
            else:
                assert reserved == [worst]
