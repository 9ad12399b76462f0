"""Texts turned into vectors: checked, reserved, asked for in batches, booked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import httpx
from pydantic import BaseModel, FiniteFloat, JsonValue

from deepthrift._admission.clock import Clock, with_retries
from deepthrift._call.attempt.booking import Books
from deepthrift._call.attempt.usage_claims import most_tokens, usage_warning
from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.counting import count_some
from deepthrift._net.sender import RequestBody
from deepthrift._types.errors import (
    ConnectionFailed,
    DeepthriftError,
    InvalidRequestError,
    MalformedResponse,
    RateLimited,
    RequestInfo,
    ServerError,
    UnsupportedFeature,
)
from deepthrift._types.reply import Embeddings
from deepthrift._util.secrets import shown_url
from deepthrift._wire.errors.billed import is_free
from deepthrift._wire.errors.failures import not_an_answer, status_error, without_secrets
from deepthrift._wire.events.large import LARGE, load_json, sized
from deepthrift_pricing import Cost, Identity, Usage, parse_usage
from deepthrift_pricing.shared.bookings import clean

_PATH: Final = "/embeddings"
_BATCH: Final = 256
_FRAME: Final = 4
"""Tokens that a server may put around each text."""
_NOT_IMPLEMENTED: Final = 501


class _Vector(BaseModel):
    index: int
    embedding: tuple[FiniteFloat, ...]


class _Answer(BaseModel):
    data: list[_Vector]
    model: str | None = None
    system_fingerprint: JsonValue = None
    usage: dict[str, JsonValue] | None = None


async def embed(target: Target, texts: str | Sequence[str], tags: Mapping[str, str] | None) -> Embeddings:
    """The vectors of `texts`.

    Raises:
        InvalidRequestError: There is nothing to embed, or something that is not text.
        UnsupportedFeature: The host makes no embeddings.
        DeepthriftError: A batch failed; the error carries what was tried and spent.
    """
    given = _checked(texts)
    if not target.profile.embeddings:
        raise UnsupportedFeature(
            f"{target.profile.name!r} makes no embeddings: start the embedded engine with Engine(…, embeddings=True), "
            "or set embeddings = true in the profile of a host that does"
        )
    return await _Embedding(target, given, {**target.settings.tags, **(tags or {})}).run()


def _checked(texts: object) -> list[str]:
    given: object = [texts] if isinstance(texts, str) else texts
    if not isinstance(given, Sequence) or isinstance(given, bytes) or not given:
        raise InvalidRequestError("there is nothing to embed; give a text, or a list of texts")
    found: list[str] = []
    for place, text in enumerate(cast("Sequence[object]", given)):
        if not isinstance(text, str) or not text:
            raise InvalidRequestError(f"texts[{place}] is not a text, or is empty; only words have a meaning to embed")
        found.append(text)
    return found


class _Embedding:
    """One call: batches one after the other, each an attempt of its own."""

    def __init__(self, target: Target, texts: list[str], tags: Mapping[str, str]) -> None:
        self._target = target
        self._texts = texts
        self._books = Books(target, purpose="answer", group_id=None, tags=tags)
        settings = target.settings
        self._time = Clock(timeout=settings.timeout, idle_timeout=settings.idle_timeout, deadline=settings.deadline)
        self._model = target.model

    async def run(self) -> Embeddings:
        vectors: list[tuple[float, ...]] = []
        try:
            for batch in self._batches():

                async def once(batch: list[str] = batch) -> list[tuple[float, ...]]:
                    return await self._ask(batch)

                vectors += await with_retries(
                    once, may_retry=self._may_retry, max_retries=self._target.settings.max_retries, clock=self._time
                )
            await self._books.written(self._time.left)
        except DeepthriftError as error:
            await self._books.written(self._time.left)
            raise self._books.annotate(error, self._info()) from error.__cause__
        usages = [attempt.usage for attempt in self._books.attempts if attempt.usage is not None]
        total = usages[0]
        for usage in usages[1:]:
            total = total + usage
        attempts = tuple(self._books.attempts)
        return Embeddings(
            vectors=tuple(vectors),
            usage=total,
            cost=Cost.sum((attempt.cost for attempt in attempts), self._target.currency),
            attempts=attempts,
            model=self._model,
            host=self._target.profile.name,
            call_id=self._books.call_id,
            warnings=tuple(self._books.warnings),
            seconds=self._time.elapsed,
        )

    def _batches(self) -> Iterator[list[str]]:
        for start in range(0, len(self._texts), _BATCH):
            yield self._texts[start : start + _BATCH]

    def _may_retry(self, error: BaseException) -> bool:
        last = self._books.attempts[-1] if self._books.attempts else None
        if isinstance(error, ServerError):
            return error.status != _NOT_IMPLEMENTED
        return last is not None and last.status == "released" and isinstance(error, RateLimited | ConnectionFailed)

    async def _ask(self, texts: list[str]) -> list[tuple[float, ...]]:
        target = self._target
        bound = sum(len(text.encode(errors="replace")) + _FRAME for text in texts)
        data = json.dumps(
            {"model": target.model, "input": texts, **target.settings.extra_body}, ensure_ascii=False
        ).encode(errors="replace")
        permit = await target.admission.enter(self._time)
        try:
            held = await self._books.reserve_prompt(bound, target.budget_wait(self._time), self._time.left)
        except BaseException:
            permit.leave(None)
            raise
        body, status, booked, incoming = RequestBody(data), None, False, None
        end = self._time.attempt_end()
        try:
            async with asyncio.timeout_at(end):
                incoming = await target.sender.send(_PATH, body, len(data), {})
                status = incoming.status
                answer = await (incoming.read_error() if status >= 300 else incoming.read_all())
            if status >= 300:
                raise status_error(status, answer, incoming.headers, host=target.profile.name, secrets=target.secrets)
            found = await sized(len(answer), _parsed, answer, target, data)
            usage = _used(target, found, texts, bound)
            if (warning := usage_warning(usage)) is not None:
                self._books.warnings.append(warning)
            self._books.settle(
                held,
                usage,
                mode="standard",
                finish_reason="stop",
                http_status=status,
                identity=Identity(clean(found.model), clean(found.system_fingerprint)),
            )
            booked = True
            permit.leave(None, came_through=True)
            self._model = found.model or self._model
            return _in_order(found, len(texts))
        except BaseException as error:
            ours = self._translated(error, end, sent=body.sent)
            permit.leave(ours)
            if not booked:
                refused = status is not None and status >= 300 and is_free(target.profile, status, ours)
                book = self._books.release if refused or not body.sent else self._books.hold
                book(held, http_status=status, error=ours)
            if ours is error:
                raise
            raise ours from error
        finally:
            if incoming is not None:
                target.sender.close_behind(incoming)

    def _translated(self, error: BaseException, end: float, *, sent: bool) -> BaseException:
        if isinstance(error, TimeoutError) and error.errno is None:
            return self._time.timed_out(end)
        if isinstance(error, httpx.HTTPError | OSError):
            tail = "It may be billed, so it stays booked" if sent else "Nothing was sent"
            said = without_secrets(str(error).rstrip(".") or type(error).__name__, *self._target.secrets)
            where = shown_url(str(self._target.sender.url))
            return ConnectionFailed(f"the connection to {where} was lost: {said}. {tail}")
        return error

    def _info(self) -> RequestInfo:
        target = self._target
        return RequestInfo(
            host=target.profile.name,
            url=shown_url(str(target.sender.url)),
            model=target.model,
            mode="standard",
            messages=len(self._texts),
            max_tokens=0,
            call_id=self._books.call_id,
        )


def _parsed(answer: bytes, target: Target, sent: bytes) -> _Answer:
    try:
        if len(answer) < LARGE:
            return _Answer.model_validate_json(answer.strip())
        value = load_json(answer)
        fields = cast("dict[str, object]", value if isinstance(value, dict) else {})
        vectors = fields.get("data")
        head = _Answer.model_validate({**fields, "data": [] if isinstance(vectors, list) else vectors})
        # One vector at a time: the validation of all of them would hold up every other thread.
        head.data.extend(map(_Vector.model_validate, cast("list[object]", vectors)))
        return head
    except (ValueError, RecursionError):
        error = MalformedResponse("the endpoint's embeddings cannot be read; does the model make any?")
        raise not_an_answer(answer, error, host=target.profile.name, secrets=target.secrets, sent=sent) from None


def _used(target: Target, found: _Answer, texts: Sequence[str], bound: int) -> Usage:
    """The tokens of the texts as the host counted them; where it tells none that can be, their upper bound."""
    from deepthrift_pricing.shared.claims import Evidence, check_claim

    told = parse_usage({**found.usage, "completion_tokens": 0}, prompt_tokens=bound) if found.usage else None
    if told is None:
        return Usage.of(bound, 0, certainty="estimated", notes=("the host reported no usage",))
    prompt = Evidence(
        lambda: sum(map(count_some, texts)),
        lambda: bound,
        size=bound,
        own_tokenizer=target.profile.counts_as_v31(target.model),
        most=most_tokens(target.profile, bound),
    )
    return check_claim(told, prompt=prompt, completion=Evidence(lambda: 0, lambda: 0))


def _in_order(found: _Answer, wanted: int) -> list[tuple[float, ...]]:
    vectors = {each.index: each.embedding for each in found.data}
    lengths = {len(vector) for vector in vectors.values()}
    if sorted(vectors) != list(range(wanted)) or len(lengths) != 1 or lengths == {0}:
        raise MalformedResponse(
            f"{wanted} texts were sent and {len(vectors)} vectors of {len(lengths)} lengths came back; they are booked"
        )
    return [vectors[place] for place in range(wanted)]
