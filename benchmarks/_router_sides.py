"""The sides of `router_overhead.py`: each reads the same prompts and decides in its own way, as it comes.

What a side cannot do it does not define.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _peers import serve, versions

CHARACTERS = 2000
MODEL = "deepseek-ai/DeepSeek-V3.1"
MAX_TOKENS = 512
VOCABULARY = """
    the of and to a in is that for on with as by at from it an be this which or are was each than its into more
    number total price train hours minutes cost items average speed area sum product integer prime graph edge node
    function return value list string index error patient treatment dose diagnosis history country capital river
    contract party notice report table column row first then finally because although system method result
"""
WORDS = VOCABULARY.split()


def prompt(seed: int) -> str:
    """A prompt of exactly 2,000 characters, another for every seed: nothing can be looked up again."""
    draw = random.Random(seed)
    parts: list[str] = []
    length = 0
    while length < CHARACTERS:
        words = draw.choices(WORDS, k=draw.randint(6, 18))
        words[draw.randrange(len(words))] = str(draw.randint(2, 9999))
        sentence = " ".join(words).capitalize() + draw.choice([". ", ". ", "? ", ".\n"])
        parts.append(sentence)
        length += len(sentence)
    ending = " What is the result? Explain step by step."
    return "".join(parts)[: CHARACTERS - len(ending)] + ending


def conversation(seed: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt(seed)}]


class Side:
    """One router."""

    def versions(self) -> dict[str, str]:
        """Its versions."""
        raise NotImplementedError

    async def open(self) -> None:
        """Makes the router, inside the loop."""

    def score(self, messages: list[dict[str, str]]) -> object:
        """What the prompt looks like."""
        raise NotImplementedError

    async def decide(self, messages: list[dict[str, str]]) -> object:
        """The score, and what is done first."""
        raise NotImplementedError

    async def routed(self, messages: list[dict[str, str]]) -> int:
        """One routed answer; how many calls it took."""
        raise NotImplementedError

    async def bare(self, messages: list[dict[str, str]], calls: int) -> None:
        """So many calls of the same client, with no router."""
        raise NotImplementedError

    # What the parent asks for.

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.open())

    def do_versions(self) -> dict[str, str]:
        return self.versions()

    def do_score(self, first: int, count: int) -> dict[str, float]:
        given = [conversation(first + number) for number in range(count)]
        gc.collect()
        began = time.process_time()
        for messages in given:
            self.score(messages)
        return {"cpu": (time.process_time() - began) / count}

    def do_decide(self, first: int, count: int) -> dict[str, float]:
        async def one(messages: list[dict[str, str]]) -> None:
            await self.decide(messages)

        return {"cpu": self._each(first, count, one)}

    def do_routed(self, first: int, count: int) -> dict[str, float]:
        calls = 0

        async def one(messages: list[dict[str, str]]) -> None:
            nonlocal calls
            calls += await self.routed(messages)

        cpu = self._each(first, count, one)
        return {"cpu": cpu, "calls": calls / count}

    def do_bare(self, first: int, count: int, calls: int) -> dict[str, float]:
        async def one(messages: list[dict[str, str]]) -> None:
            await self.bare(messages, calls)

        return {"cpu": self._each(first, count, one)}

    def do_loaded(self) -> dict[str, list[str]]:
        heavy = ("numpy", "onnxruntime", "scipy", "sklearn", "torch")
        return {"modules": [name for name in heavy if name in sys.modules]}

    def _each(self, first: int, count: int, one: Callable[[list[dict[str, str]]], Awaitable[None]]) -> float:
        given = [conversation(first + number) for number in range(count)]

        async def all_of_it() -> float:
            began = time.process_time()
            for messages in given:
                await one(messages)
            return (time.process_time() - began) / count

        gc.collect()
        return self.loop.run_until_complete(all_of_it())


class Deepthrift(Side):
    """ModeRouter as it comes, told to verify each answer: priced, sampled, compared, remembered and explained."""

    def versions(self) -> dict[str, str]:
        return versions("deepthrift")

    async def open(self) -> None:
        from deepthrift import AsyncClient
        from deepthrift_router import ModeRouter

        self.client = AsyncClient(
            f"{os.environ['BENCHMARK_URL']}/number/v1",
            host="vllm",
            model=MODEL,
            api_key="not-a-secret",
            prices="official-2025-09-05",
        )
        self.router = ModeRouter(self.client)

    def score(self, messages: list[dict[str, str]]) -> object:
        return self.router.score(messages)  # type: ignore[arg-type]

    async def decide(self, messages: list[dict[str, str]]) -> object:
        return self.router.plan(messages, max_tokens=MAX_TOKENS)  # type: ignore[arg-type]

    async def routed(self, messages: list[dict[str, str]]) -> int:
        reply = await self.router.chat(messages, max_tokens=MAX_TOKENS, policy="cascade")  # type: ignore[arg-type]
        if reply.path[:2] != ("standard", "sample") or reply.escalated:
            raise RuntimeError(f"the answer took another way: {reply.path}")
        return len(reply.attempts)

    async def bare(self, messages: list[dict[str, str]], calls: int) -> None:
        for _ in range(calls):
            await self.client.chat(messages, max_tokens=MAX_TOKENS)  # type: ignore[arg-type]


class Litellm(Side):
    """litellm's router with its complexity router in front: a score by keywords and the choice of a deployment."""

    def versions(self) -> dict[str, str]:
        return versions("litellm")

    async def open(self) -> None:
        import litellm

        litellm.suppress_debug_info = True
        endpoint = {
            "model": f"openai/{MODEL}",
            "api_base": f"{os.environ['BENCHMARK_URL']}/number/v1",
            "api_key": "not-a-secret",
        }
        tiers = {"SIMPLE": "standard", "MEDIUM": "standard", "COMPLEX": "thinking", "REASONING": "thinking"}
        self.router = litellm.Router(
            model_list=[
                {"model_name": "standard", "litellm_params": dict(endpoint)},
                {"model_name": "thinking", "litellm_params": dict(endpoint)},
                {
                    "model_name": "smart",
                    "litellm_params": {
                        "model": "auto_router/complexity_router",
                        "complexity_router_config": {"tiers": tiers},
                        "complexity_router_default_model": "standard",
                    },
                },
            ]
        )
        self.complexity: Any = self.router.complexity_routers["smart"][0].strategy

    def score(self, messages: list[dict[str, str]]) -> object:
        return self.complexity.classify(messages[0]["content"])

    async def decide(self, messages: list[dict[str, str]]) -> object:
        return await self.complexity.async_pre_routing_hook("smart", {}, messages)

    async def routed(self, messages: list[dict[str, str]]) -> int:
        await self.router.acompletion("smart", messages, max_tokens=MAX_TOKENS)  # type: ignore[arg-type]
        return 1

    async def bare(self, messages: list[dict[str, str]], calls: int) -> None:
        for _ in range(calls):
            await self.router.acompletion("standard", messages, max_tokens=MAX_TOKENS)  # type: ignore[arg-type]


class Pareto(Side):
    """pareto-router's evaluator and policy. Its client answers by itself and calls no endpoint, so it is left out."""

    def versions(self) -> dict[str, str]:
        return versions("pareto-router")

    async def open(self) -> None:
        from pareto_router import HeuristicEvaluator, ParetoPolicy

        self.evaluator, self.policy = HeuristicEvaluator(), ParetoPolicy()

    def score(self, messages: list[dict[str, str]]) -> object:
        return self.evaluator.evaluate_sync(messages[0]["content"])

    async def decide(self, messages: list[dict[str, str]]) -> object:
        return self.policy.evaluate_coordinates(await self.evaluator.evaluate(messages[0]["content"]))


SIDES: dict[str, type[Side]] = {"deepthrift": Deepthrift, "litellm": Litellm, "pareto-router": Pareto}


def main() -> None:
    side = SIDES[sys.argv[1]]()
    names = [name for name in dir(side) if name.startswith("do_")]
    serve({name.removeprefix("do_"): getattr(side, name) for name in names})


if __name__ == "__main__":
    main()
