"""What a type checker tells a user of the router."""

from __future__ import annotations

from typing import assert_type

from deepthrift import AsyncClient, Client, Reply
from deepthrift_router import (
    AsyncRoutedStream,
    AuditReport,
    CheckResult,
    Fits,
    ModeRouter,
    Preferences,
    RoutedParsed,
    RoutedReply,
    RoutedStream,
    Setting,
    Tier,
)


class City:
    """Any type that pydantic can validate."""

    name: str


class Capital:
    """A check of a user's own."""

    name = "capital"

    async def judge(self, question: str, reply: Reply) -> CheckResult | None:
        return CheckResult("fine", likelihood=(0.9, 0.4)) if question else None


class Plain:
    """The same without `await`."""

    name = "plain"

    def judge(self, question: str, reply: Reply) -> str:
        return "short" if len(reply.text) < 10 else "long"


async def awaited(client: AsyncClient) -> None:
    router = ModeRouter(client, preferences=Preferences(target_share=0.2), validators=[Fits(City)])
    ModeRouter(client, checks=["program", Capital(), Plain()], check_seconds=2)
    reply = await router.chat("How many primes are below 1,000?", max_tokens=256, policy="cascade")
    assert_type(reply, RoutedReply)
    plain: Reply = reply
    assert_type(plain.text, str)
    assert_type(reply.confidence, float)
    assert_type(router.stream("Hello"), AsyncRoutedStream)
    assert_type(await router.parse("Which city?", into=City), RoutedParsed[City])
    assert_type(router.audit(), AuditReport)


def direct(client: Client) -> None:
    ModeRouter(client, tiers=["standard", "thinking:low", Tier(client, "thinking", effort="max", model="big")])
    ModeRouter(client, tiers=[Tier(mode="thinking", effort=512), Tier(client, "thinking", name="deep")])
    router = ModeRouter(client, specialist=client)
    assert_type(router.chat("Hello"), RoutedReply)
    assert_type(router.stream("Hello"), RoutedStream)
    assert_type(router.parse("Which city?", into=City).value, City)
    assert_type(router.calibrate(), Setting)
