"""How V3.1 is launched on machines of one's own: from a table of servers and chips to commands and a host profile."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib import resources
from typing import Final, Literal

import click
from pydantic import BaseModel, ConfigDict, PositiveInt

from deepthrift.hosts import HostProfile
from deepthrift_pricing import Machine, Weights, known_weights, utc_now

_FROZEN: Final = ConfigDict(frozen=True, extra="forbid")


class Server(BaseModel):
    """A server's command, as its own page has it."""

    model_config = _FROZEN

    id: str
    title: str
    host: str
    """The profile that speaks to it."""
    port: int
    command: tuple[str, ...]
    on_several: tuple[str, ...]
    """What every node gets beside it, when there are several."""
    on_followers: tuple[str, ...]
    """What the nodes after the first get."""
    template: str
    """V3.1's chat template with tools, as it lies in the server's own repository."""
    takes: tuple[str, ...]
    """The weights that it loads."""
    source: str
    checked: date
    tested: bool
    tried: str


class Chip(BaseModel):
    """A chip, and how many of them a node has."""

    model_config = _FROZEN

    id: str
    name: str
    memory_gb: PositiveInt
    per_node: PositiveInt
    servers: tuple[str, ...]
    weights: str
    origin: Literal["brief", "published"]
    source: str

    def nodes(self, count: int) -> Machine:
        """So many nodes as one machine."""
        each = f"{self.per_node} × {self.name}"
        return Machine(
            id=self.id,
            name=each if count == 1 else f"{count} nodes of {each}",
            gpus=self.per_node * count,
            memory_gb=self.memory_gb * self.per_node * count,
            origin=self.origin,
            source=self.source,
        )


class Rate(BaseModel):
    """A figure of the brief."""

    model_config = _FROZEN

    chip: str
    format: str
    weights: tuple[str, ...]
    """The weights that come in this format: it says nothing of others."""
    tokens_per_second: PositiveInt


class Claim(BaseModel):
    """A figure of memory that contradicts the one that is planned with; it is shown, and never counted."""

    model_config = _FROZEN

    weights: str
    """The weights that it is stated for."""
    memory_gb: PositiveInt
    source: str

    @property
    def contradiction(self) -> str:
        """What does not fit, in words."""
        known = next(each for each in servable() if each.id == self.weights)
        return (
            f"{self.source} also states {self.memory_gb} GB for {known.name}: that contradicts the "
            f"{known.memory_gb} GB of the {known.name} weights ({known.id}), and isn't counted here"
        )


class Checkpoint(BaseModel):
    """The repository of some weights."""

    model_config = _FROZEN

    weights: str
    model: str


class Launches(BaseModel):
    """The whole table."""

    model_config = _FROZEN

    server: tuple[Server, ...]
    chip: tuple[Chip, ...]
    weights: tuple[Weights, ...]
    checkpoint: tuple[Checkpoint, ...]
    rate: tuple[Rate, ...]
    claim: tuple[Claim, ...]


@cache
def launches() -> Launches:
    """The table as it is packaged."""
    text = (resources.files("deepthrift_router.cli") / "launch.toml").read_text("utf-8")
    return Launches.model_validate(tomllib.loads(text))


def servable() -> tuple[Weights, ...]:
    """The weights that these servers take; GGUF is for `deepthrift engine`."""
    known = [each for each in known_weights() if "gguf" not in each.id]
    return (*known, *launches().weights)


class Launch(BaseModel):
    """One server on one group of nodes."""

    model_config = _FROZEN

    server: Server
    model: str
    commands: tuple[str, ...]
    """A command for each node, the first node's first. `NODE0` stands for the first node's address."""


class EnginePlan(BaseModel):
    """V3.1 on a kind of chip: memory, nodes, commands."""

    model_config = _FROZEN

    chip: Chip
    weights: Weights
    needed: int
    """Nodes that are needed for the weights to fit at all."""
    machine: Machine
    """The nodes that are planned for, as one machine."""
    left_gb: int
    """GB that the weights leave for the cache of long contexts and activations."""
    launches: tuple[Launch, ...]
    rates: tuple[Rate, ...]
    """The brief's figures for these weights on this chip."""


def engine_plan(
    chip: Chip, weights: Weights, *, nodes: int | None, servers: Sequence[str], template: str | None
) -> EnginePlan:
    """The plan for a chip and some weights.

    Raises:
        click.BadParameter: So many nodes do not hold the weights, or no server loads them on the chip.
    """
    needed = chip.nodes(1).needed(weights)
    count = nodes or needed
    machine = chip.nodes(count)
    if not machine.holds(weights):
        raise click.BadParameter(
            f"{machine.name} have {machine.memory_gb:,} GB, and {weights.name} needs {weights.memory_gb:,} GB "
            f"({weights.origin}): at least {needed} nodes",
            param_hint="--nodes",
        )
    known = {each.id: each for each in launches().server}
    usable = [known[name] for name in chip.servers if weights.id in known[name].takes]
    chosen = [each for each in usable if not servers or each.id in servers]
    if not chosen:
        names = " or ".join(each.id for each in usable) or "no server"
        raise click.BadParameter(
            f"{names} is documented for {weights.id} on {chip.name}", param_hint="--server" if usable else "--weights"
        )
    found = {each.weights: each.model for each in launches().checkpoint}
    model = found.get(weights.id, "YOUR_FOLDER")
    return EnginePlan(
        chip=chip,
        weights=weights,
        needed=needed,
        machine=machine,
        left_gb=machine.memory_gb - weights.memory_gb,
        launches=tuple(
            Launch(server=server, model=model, commands=_commands(server, chip, count, model, template))
            for server in chosen
        ),
        rates=tuple(each for each in launches().rate if each.chip == chip.id and weights.id in each.weights),
    )


def _commands(server: Server, chip: Chip, count: int, model: str, template: str | None) -> tuple[str, ...]:
    """One command for each node."""
    commands: list[str] = []
    for rank in range(count):
        words = [*server.command]
        if count > 1:
            words += server.on_several
        if rank:
            words += server.on_followers
        values = {
            "model": model,
            "template": template or server.template,
            "per_node": chip.per_node,
            "all": chip.per_node * count,
            "groups": chip.per_node * count // 4,
            "local_groups": chip.per_node // 4,
            "start": rank * (chip.per_node // 4),
            "nodes": count,
            "rank": rank,
        }
        commands.append(" \\\n    ".join(word.format_map(values) for word in words))
    return tuple(commands)


def profile_for(launch: Launch, url: str | None, *, exact: bool) -> HostProfile:
    """The profile that speaks to a launched server.

    `exact` says that it serves with Deepthrift's own template, which renders what is counted here.
    """
    base = HostProfile.named(launch.server.host)
    changes: dict[str, object] = {
        "title": f"{launch.server.title}, as planned",
        "source": launch.server.source,
        "checked": utc_now().date(),
        "note": "Written by deepthrift engine plan; deepthrift doctor --probe asks the server itself.",
        "base_url": url or f"http://localhost:{launch.server.port}/v1",
        "ports": (),
        "model": launch.model,
        "models": (),
        "exact_prompts": exact,
    }
    if launch.server.id == "vllm-ascend":
        changes["context"] = 16_384
    return base.model_copy(update=changes)


def template_text() -> str:
    """Deepthrift's chat template for V3.1, tools included."""
    return (resources.files("deepthrift.local") / "templates" / "deepseek-v31.jinja").read_text("utf-8")
