"""Ask a live endpoint what it supports, with a bounded number of small requests."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx

from deepthrift import AsyncClient, Reply
from deepthrift.errors import (
    ConfigurationError,
    PriceNotFound,
    ResponseError,
)
from deepthrift.hosts import Dialect, Feature, HostProfile, ModeRules, Switch, switch_for
from deepthrift.shared.network import Network, transport_for
from deepthrift_pricing import Ledger, Mode, Money, PriceBook, utc_now
from deepthrift_router.cli._models.probe_facts import ProbeFacts
from deepthrift_router.cli._models.probe_profile import profile_of
from deepthrift_router.cli._models.probe_questions import (
    ANSWER,
    DIALECTS,
    ENOUGH,
    FEATURES,
    FIELDS,
    FINAL,
    LIMIT,
    LONG,
    MOST_REQUESTS,
    REFUSED,
    SCHEMA,
    SUM,
    TOO_MANY,
    TOOL,
    ZEBRAS,
    Verdict,
    called,
    parsed,
    refusal,
    said,
)
from deepthrift_router.cli._models.probe_wire import Recorder

MODES: Final[tuple[Mode, ...]] = ("standard", "thinking")


@dataclass(frozen=True)
class Finding:
    """The answer to one question about the endpoint."""

    name: str
    verdict: Verdict
    detail: str = ""


class Probe:
    """Questions to one endpoint.

    Args:
        url: Its base URL.
        model: The model to ask for.
        key: The key, if it needs one.
        prices: What its requests cost.
        ledger: Where they are booked, under the tag `probe`.
        listed: The models that it lists.
        progress: Told what is asked next.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        key: str | None,
        prices: PriceBook,
        ledger: Ledger,
        listed: Sequence[str] = (),
        progress: Callable[[str], None],
    ) -> None:
        self.url = url
        self.model = model
        self.base = base_profile(url, model)
        self.requests = 0
        self.findings: list[Finding] = []
        self.found = ProbeFacts()
        self._key = key
        self._prices = prices
        self._ledger = ledger
        self._progress = progress
        self._last = Recorder(httpx.AsyncBaseTransport())
        # Other models of these names would answer elsewhere, and be billed.
        both = {"deepseek-chat", "deepseek-reasoner"} <= set(listed) or self.base.dialect == "model_name"
        tried: list[Dialect] = [each for each in DIALECTS if both or each != "model_name"]
        if self.base.dialect in tried and HostProfile.for_url(url, model=model).name != "openai":
            tried.remove(self.base.dialect)
            tried.insert(0, self.base.dialect)
        self._dialects: tuple[Dialect, ...] = tuple(tried)

    def worst(self) -> Money:
        """The most that all requests together can cost.

        Raises:
            PriceNotFound: There is no price for the endpoint.
        """
        one = [
            self._prices.worst(
                host=self.base.name,
                model=self.base.model_for(mode, self.model),
                mode=mode,
                prompt_tokens=LONG,
                max_tokens=ANSWER,
                at=utc_now(),
            )
            for mode in MODES
        ]
        return max(one) * MOST_REQUESTS

    async def run(self) -> HostProfile:
        """Ask everything; the profile that follows.

        Raises:
            APIError: The endpoint cannot be reached, or refuses the key.
        """
        await self.switch()
        await self._usage()
        for mode in self._modes():
            await self._sampling(mode)
            await self._logprobs(mode)
            await self._json(mode)
            await self._limit(mode)
        await self._tools()
        return self.profile()

    def profile(self) -> HostProfile:
        """What was found, as a profile."""
        return profile_of(self.base, self.url, self.model, self.found)

    def _modes(self) -> tuple[Mode, ...]:
        if self.found.dialect == "undocumented":
            return (self.found.default,)
        return ("standard",) if self.found.dialect == "none" else MODES

    def _tell(self, name: str, verdict: Verdict, detail: str = "") -> None:
        self.findings.append(Finding(name, verdict, detail))

    # -- sending ----------------------------------------------------------------------------------------------------

    def _candidate(self, dialect: Dialect | None = None) -> HostProfile:
        empty = self.found.empty if dialect is None else None
        dialect = dialect or self.found.dialect
        made: dict[str, object] = {}
        for mode in MODES:
            own = self.base.rules(mode).switch if dialect == self.base.dialect else None
            made[mode] = ModeRules(features=FEATURES, switch=Switch() if mode == empty else own)
        return self.base.model_copy(update={"dialect": dialect, "two_pass": None, **made})

    async def _client(self, stack: AsyncExitStack, profile: HostProfile) -> AsyncClient:
        self.requests += 1
        if self.requests > MOST_REQUESTS:
            raise RuntimeError("more requests than planned")
        self._last = Recorder(transport_for(httpx.URL(self.url), Network()))
        model = switch_for(profile.dialect, "standard").model or self.model
        return await stack.enter_async_context(
            AsyncClient(
                self.url,
                host=profile,
                model=model,
                api_key=self._key,
                prices=self._prices,
                ledger=self._ledger,
                tags={"probe": self.base.name},
                timeout=180.0,
                max_retries=0,
                transport=self._last,
            )
        )

    async def _ask(self, question: str, mode: Mode, dialect: Dialect | None = None, **options: Any) -> Reply:
        async with AsyncExitStack() as stack:
            client = await self._client(stack, self._candidate(dialect))
            return await client.chat(question, mode=mode, max_tokens=ANSWER, **options)

    async def _try(self, name: str, asking: Awaitable[Reply], judge: Callable[[Reply], tuple[Verdict, str]]) -> Verdict:
        """Tell what came of a request that the endpoint may refuse."""
        self._progress(name)
        try:
            verdict, detail = judge(await asking)
        except FINAL:
            raise
        except REFUSED as error:
            verdict, detail = "no", refusal(error)
        except ResponseError as error:
            verdict, detail = "unclear", error.message
        self._tell(name, verdict, detail)
        return verdict

    # -- the switch -------------------------------------------------------------------------------------------------

    async def switch(self) -> None:
        """Ask which mode runs when nothing is said, and which switch is honoured both ways."""
        self._progress("which mode runs when nothing is said")
        self.found.default = (await self._ask(SUM, "standard", "undocumented")).mode
        self._tell("mode when nothing is said", "yes", self.found.default)
        if self.found.default == "thinking":
            self._see_reasoning()
        first: Mode = "thinking" if self.found.default == "standard" else "standard"
        partly: Dialect | None = None
        for dialect in self._dialects:
            self._progress(f"switch {dialect}")
            on = await self._honours(dialect, first)
            if on != "yes":
                self._tell(f"switch {dialect}", "no", "ignored" if on == "no" else on)
                continue
            back = await self._honours(dialect, self.found.default)
            if back == "yes":
                self.found.dialect = dialect
                self._tell(f"switch {dialect}", "yes", "honoured on and off")
                return
            partly = partly or dialect
            self._tell(f"switch {dialect}", "unclear", f"{first} works; {self.found.default}: {back}")
        if partly is not None:
            self.found.dialect, self.found.empty = partly, self.found.default
        elif self.found.default == "standard":
            self.found.dialect = "none"

    async def _honours(self, dialect: Dialect, mode: Mode) -> str:
        """`yes`, `no`, or why it was refused."""
        try:
            reply = await self._ask(SUM, mode, dialect)
        except FINAL:
            raise
        except REFUSED as error:
            return refusal(error)
        except PriceNotFound:
            return "no price for the model's name in this form; give --prices"
        except (ResponseError, ConfigurationError) as error:
            return error.message
        if reply.mode == "thinking":
            self._see_reasoning()
        return "yes" if reply.mode == mode else "no"

    def _see_reasoning(self) -> None:
        if self.found.reasoning is not None or self.found.inline:
            return
        for message in self._last.messages():
            for name in FIELDS:
                if message.get(name):
                    self.found.reasoning = name
                    self._tell("reasoning comes back in", "yes", name)
                    return
            if "</think>" in str(message.get("content")):
                self.found.inline = True
                self._tell("reasoning comes back in", "yes", "the text, ended by </think>")
                return

    # -- what is reported -------------------------------------------------------------------------------------------

    async def _usage(self) -> None:
        self._progress("usage in streams")
        mode = self._modes()[0]
        try:
            await self._stream(SUM, mode, ANSWER)
            told = self._last.usage() is not None
            self._tell("usage in streams", "yes" if told else "no")
        except FINAL:
            raise
        except REFUSED as error:
            self.found.stream_usage = False
            self._tell("usage in streams", "no", refusal(error))
        self._progress("cached tokens")
        prompt = f"{secrets.token_hex(8)}\n" + "The quick brown fox jumps over the lazy dog. " * (LONG // 55) + SUM
        try:
            for _ in range(2):
                await self._ask(prompt, mode)
        except FINAL:
            raise
        except REFUSED as error:
            self._tell("cached tokens", "unclear", refusal(error))
        else:
            self._cached(self._last.usage() or {})

    def _cached(self, usage: Mapping[str, object]) -> None:
        details = usage.get("prompt_tokens_details")
        within = cast("Mapping[str, object]", details).get("cached_tokens") if isinstance(details, Mapping) else None
        hit = usage.get("prompt_cache_hit_tokens")
        if hit is None and within is None:
            self.found.cached = "none"
            self._tell("cached tokens", "no", "not told")
            return
        self.found.cached = "prompt_tokens_details" if hit is None else "prompt_cache_hit_tokens"
        count = within if hit is None else hit
        self._tell("cached tokens", "yes", f"{count} of {usage.get('prompt_tokens')} in {self.found.cached}")

    async def _stream(self, question: str, mode: Mode, pieces: int, **options: Any) -> None:
        async with AsyncExitStack() as stack:
            client = await self._client(stack, self._candidate())
            async with client.stream(question, mode=mode, max_tokens=ANSWER, **options) as stream:
                async for _ in stream:
                    pieces -= 1
                    if pieces == 0:
                        break

    # -- features ---------------------------------------------------------------------------------------------------

    def _note(self, verdict: Verdict, mode: Mode, *features: Feature) -> None:
        if verdict == "yes":
            self.found.features[mode].update(features)

    async def _sampling(self, mode: Mode) -> None:
        asking = self._ask(SUM, mode, temperature=0.5, top_p=0.9, seed=7)
        name = f"temperature, top_p, seed ({mode})"
        verdict = await self._try(name, asking, lambda _: ("yes", "accepted; the effect was not measured"))
        self._note(verdict, mode, "temperature", "top_p", "seed")

    async def _logprobs(self, mode: Mode) -> None:
        asking = self._ask(SUM, mode, logprobs=True, top_logprobs=2)
        verdict = await self._try(
            f"logprobs ({mode})", asking, lambda reply: ("yes", "") if reply.logprobs else ("no", "ignored")
        )
        self._note(verdict, mode, "logprobs")

    async def _json(self, mode: Mode) -> None:
        asking = self._ask(ZEBRAS, mode, response_format={"type": "json_object"})
        verdict = await self._try(f"json_object ({mode})", asking, lambda reply: parsed(reply, None))
        self._note(verdict, mode, "json_object")
        form = {"type": "json_schema", "json_schema": {"name": "zebras", "strict": True, "schema": SCHEMA}}
        asking = self._ask(ZEBRAS, mode, response_format=form)
        verdict = await self._try(f"json_schema ({mode})", asking, lambda reply: parsed(reply, {"zebra_total"}))
        self._note(verdict, mode, "json_schema")

    async def _tools(self) -> None:
        mode = self._modes()[0]
        asking = self._ask("What is the weather in Paris? Use the tool.", mode, tools=[TOOL])
        verdict = await self._try(f"tools ({mode})", asking, called)
        self._note(verdict, mode, "tools")
        asking = self._ask("Say hello.", mode, tools=[TOOL], tool_choice="required")
        forced = await self._try(f"forced tool_choice ({mode})", asking, called)
        self._note(forced, mode, "tools", "forced_tool_choice")

    async def _limit(self, mode: Mode) -> None:
        """What the endpoint says to an absurd `max_tokens`; where it accepts it, the answer is broken off early."""
        name = f"max_tokens limit ({mode})"
        self._progress(name)
        try:
            await self._stream("Say OK.", mode, ENOUGH, extra_body={self.base.max_tokens_field: TOO_MANY})
        except FINAL:
            raise
        except REFUSED as error:
            told = LIMIT.search(said(error))
            if told is None:
                self._tell(name, "unclear", refusal(error))
            elif told["context"]:
                self.found.context = int(told["context"])
                self._tell(name, "yes", f"the context, {self.found.context:,}")
            else:
                self.found.limits[mode] = int(told["range"] or told["most"])
                self._tell(name, "yes", f"{self.found.limits[mode]:,}")
        except ResponseError as error:
            self._tell(name, "unclear", error.message)
        else:
            self._tell(name, "no", "any number is accepted")


def base_profile(url: str, model: str | None) -> HostProfile:
    """The profile that a URL belongs to, or the generic one under the name of the URL's host."""
    found = HostProfile.for_url(url, model=model)
    if found.name != "openai" or found.owns(url):
        return found
    parsed = httpx.URL(url)
    name = f"{parsed.host}-{parsed.port}" if parsed.port else parsed.host
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "endpoint"
    return found.model_copy(update={"name": slug, "url_hosts": (), "api_key_env": None})
