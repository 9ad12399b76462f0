"""The one request of a completion: plain text that the model goes on from, or whose gap it fills."""

from __future__ import annotations

import re
from typing import Final

from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.counting import PromptCount
from deepthrift._call.prepare.passes import Passes, Step
from deepthrift._types.errors import ContextLengthExceeded, InvalidRequestError, UnsupportedFeature
from deepthrift._types.expected_length import ExpectedLength, told_length
from deepthrift._types.further_options import CompletionOptions
from deepthrift._types.options import Options
from deepthrift._wire.request.request import Body, WireRequest, check_options, lowered, written
from deepthrift._wire.request.service_tiers import tier_form, tier_of
from deepthrift.hosts import Completions, HostProfile
from deepthrift_pricing import Currency, Estimate, Ledger, Mode, PriceBook, estimate_cost

_FIM: Final = ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>")
"""V3.1's tokens before the text, at the gap, and after the text (`tokenizer.json`; ids 128801, 128800, 128802)."""
_MARGIN: Final = 4
"""Tokens of frame that a host may put around the text: the begin-of-sentence mark, and the three above."""
_SPECIAL: Final = re.compile(r"<(?:｜|\|EOT|/?think>)")


def passes_of(core: Target, options: Options, *, stream: bool) -> Passes:
    """The requests of a call.

    Raises:
        InvalidRequestError: The call is wrong.
    """
    if isinstance(options, CompletionOptions):
        return CompletionPasses(core, options, stream=stream)
    return Passes(core, options, stream=stream)


class CompletionPasses(Passes):
    """The request of a completion; it knows no modes, and no messages."""

    def __init__(self, core: Target, options: CompletionOptions, *, stream: bool) -> None:
        self._core = core
        self._options = options
        self._stream = stream
        self._completion = options
        self._rules = _checked(options, core.profile)
        self.messages = []
        self.warnings = check_options(options, core.profile)
        self._two_pass = None
        self._notes = None
        self.step = None

    async def next(self) -> Step:
        """The request, counted and built.

        Raises:
            ContextLengthExceeded: It does not fit.
        """
        prompt, most = _fitted(self._completion, self._core.profile, self._core.model, self._rules)
        self.step = self._request(prompt, most)
        return self.step

    def smaller(self, step: Step, mode: Mode, max_tokens: int) -> Step:
        """`step` with fewer tokens, as a budget asked."""
        self.warnings += (f"a budget had room for max_tokens={max_tokens:,} only",)
        self.step = self._request(step.prompt, max_tokens)
        return self.step

    def _request(self, prompt: PromptCount, max_tokens: int) -> Step:
        given, core = self._completion, self._core
        profile, model = core.profile, core.profile.model_for("standard", core.model)
        body: Body = {**profile.defaults, "model": model, "stream": self._stream, "max_tokens": max_tokens}
        if given.suffix is None or self._rules.fim == "suffix":
            body["prompt"] = given.prompt
            if given.suffix is not None:
                body["suffix"] = given.suffix
        else:
            begin, hole, end = _FIM
            body["prompt"] = f"{begin}{given.prompt}{hole}{given.suffix}{end}"
        if self._stream and profile.stream_usage:
            body["stream_options"] = {"include_usage": True}
        for key in ("temperature", "top_p", "stop", "seed"):
            if (value := getattr(given, key)) is not None:
                body[key] = value
        if given.logprobs or given.top_logprobs is not None:
            body["logprobs"] = given.top_logprobs or 1
        tier = tier_form(given, profile)
        body |= tier.body
        request = WireRequest(
            body=written(body, profile.body, core.settings.extra_body, given.extra_body),
            headers={**lowered(profile.headers), **tier.headers, **lowered(given.extra_headers)},
            model=model,
            mode="standard",
            stream=self._stream,
            messages=(),
            max_tokens=max_tokens,
            path=f"{profile.beta_path or ''}/completions",
            beside=profile.beta_path is not None,
            service_tier=tier_of(given, profile, core.settings.extra_body),
        )
        return Step(request, prompt, "standard")


def _checked(options: CompletionOptions, profile: HostProfile) -> Completions:
    rules = profile.completions
    if rules is None:
        raise UnsupportedFeature(
            f"{profile.name!r} is not known to complete plain text; use chat(), with prefix=… to begin the answer, or "
            "a profile of yours with a [completions] table"
        )
    for name, text in (("prompt", options.prompt), ("suffix", options.suffix)):
        given: object = text
        if not isinstance(given, str) and (given is not None or name == "prompt"):
            raise InvalidRequestError(f"{name} is text, not {type(given).__name__}")
        if isinstance(given, str) and not given.isascii():
            _check_unicode(name, given)
    if options.suffix is None and not options.prompt:
        raise InvalidRequestError("the prompt is empty; give the text to go on from")
    if options.suffix is not None and rules.fim == "none":
        raise UnsupportedFeature(f"{profile.name!r} fills no gaps: its model or its server cannot; leave out suffix")
    if options.suffix is not None and rules.fim == "tokens":
        marked = next((mark for mark in _FIM if mark in options.prompt or mark in options.suffix), None)
        if marked is not None:
            raise InvalidRequestError(f"the text holds {marked!r}, which the model would take for its own mark")
    limit = rules.max_tokens_limit
    if limit is not None and isinstance(options.max_tokens, int) and options.max_tokens > limit:
        raise InvalidRequestError(
            f"max_tokens={options.max_tokens:,} is above the limit of {limit:,} for completions on {profile.name!r}; "
            "lower it"
        )
    return rules


def _check_unicode(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"{name} is not Unicode text: a lone surrogate at {error.start}") from None


def estimate_completion(
    profile: HostProfile,
    model: str,
    prices: PriceBook,
    currency: Currency,
    ledger: Ledger,
    options: CompletionOptions,
    expected_length: ExpectedLength | None,
) -> Estimate:
    """The estimate of a completion, checked and counted as when it is sent.

    Raises:
        InvalidRequestError: The request is wrong, or the host cannot do it.
        PriceNotFound: It has no price.
    """
    rules = _checked(options, profile)
    check_options(options, profile)
    prompt, most = _fitted(options, profile, model, rules)
    name = profile.model_for("standard", model)
    length = told_length(expected_length, options.prompt, "standard")
    history = ledger.completion_history(host=profile.name, model=name, mode="standard") if length is None else ()
    return estimate_cost(
        prices,
        host=profile.name,
        model=name,
        mode="standard",
        prompt_tokens=prompt.tokens,
        max_tokens=most,
        prompt_certainty=prompt.certainty,
        history=history,
        completion_tokens=length,
        currency=currency,
    )


def _fitted(
    options: CompletionOptions, profile: HostProfile, model: str, rules: Completions
) -> tuple[PromptCount, int]:
    """The prompt's tokens, and the most to generate.

    Raises:
        ContextLengthExceeded: They do not fit.
    """
    prompt = _count(options, profile, model, rules)
    most = options.max_tokens or rules.max_tokens_default
    if prompt.likely + most > profile.context:
        raise ContextLengthExceeded(
            f"the prompt has {prompt.likely:,} tokens, which with max_tokens={most:,} is more than the context of "
            f"{profile.name!r} holds, {profile.context:,}; shorten the prompt, or lower max_tokens"
        )
    return prompt, most


def _count(options: CompletionOptions, profile: HostProfile, model: str, rules: Completions) -> PromptCount:
    """The prompt's tokens; exact where the server encodes the very text that was sent."""
    from deepthrift_pricing.tokens import count_text

    texts = options.prompt, options.suffix or ""
    if not profile.counts_as_v31(model):
        bound = sum(len(text.encode()) for text in texts) + _MARGIN
        return PromptCount(bound, min(bound, bound // 3 + 1), "estimated")
    counted = sum(map(count_text, texts))
    frame = 1 if options.suffix is None else _MARGIN
    if rules.fim == "tokens" and not any(map(_SPECIAL.search, texts)):
        return PromptCount(counted + frame, counted + frame, "exact")
    return PromptCount(counted + _MARGIN, counted + frame, "estimated")
