"""`deepthrift engine plan`: V3.1 beyond one machine, as commands, memory, nodes, and a profile to talk to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deepthrift_router.cli._shared.options import json_option

if TYPE_CHECKING:
    from deepthrift_router.cli._models.launch import Chip, EnginePlan
    from deepthrift_router.cli._shared.output import Output

EPILOG: Final = """\b
Examples:
  deepthrift engine plan --model deepseek-v3.1
  deepthrift engine plan --chip h100 --server sglang
  deepthrift engine plan --chip atlas-a2 --write-profile gpu-box.toml
  deepthrift engine plan --chip h200 --url http://gpu-box:8000/v1 \\
      --write-template v31.jinja --write-profile gpu-box.toml
  deepthrift doctor --probe http://gpu-box:8000/v1

Commands are the servers' own documentation's; none was run here on these chips, and each says what was. Memory is what
the weights' source states, throughput is the project brief's and never measured here.
"""


@click.command("plan", epilog=EPILOG)
@click.option(
    "--model", type=click.Choice(["deepseek-v3.1"]), default="deepseek-v3.1", show_default=True, help="The model."
)
@click.option("--chip", "chip_id", metavar="ID", default="h200", show_default=True, help="The kind of node.")
@click.option("--weights", "weights_id", metavar="ID", help="The form of the weights.  [default: the chip's usual one]")
@click.option("--nodes", type=click.IntRange(1, 64), metavar="N", help="How many nodes.  [default: as few as hold it]")
@click.option(
    "--server",
    "servers",
    multiple=True,
    type=click.Choice(["vllm", "sglang", "vllm-ascend"]),
    help="Only this server; may be repeated.",
)
@click.option("--url", metavar="URL", help="Where the profile finds the server.  [default: its port on localhost]")
@click.option(
    "--write-profile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the host profile for the first server planned.",
)
@click.option(
    "--write-template",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write Deepthrift's chat template for V3.1, and use it in the commands.",
)
@json_option
def plan_command(
    model: str,
    chip_id: str,
    weights_id: str | None,
    nodes: int | None,
    servers: tuple[str, ...],
    url: str | None,
    write_profile: Path | None,
    write_template: Path | None,
    as_json: bool,
) -> None:
    """Plan DeepSeek V3.1 on machines of your own: launch commands for vLLM, SGLang and vLLM-Ascend, memory, nodes."""
    from deepthrift_router.cli._models.launch import engine_plan, launches, profile_for, servable, template_text
    from deepthrift_router.cli._models.probe_profile import toml_of
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    chips = {each.id: each for each in launches().chip}
    forms = {each.id: each for each in servable()}
    if chip_id not in chips:
        raise click.BadParameter(f"{chip_id!r} is none of {', '.join(chips)}", param_hint="--chip")
    chip = chips[chip_id]
    if weights_id is not None and weights_id not in forms:
        raise click.BadParameter(f"{weights_id!r} is none of {', '.join(forms)}", param_hint="--weights")
    plan = engine_plan(
        chip,
        forms[weights_id or chip.weights],
        nodes=nodes,
        servers=servers,
        template=None if write_template is None else str(write_template),
    )
    profile = toml_of(profile_for(plan.launches[0], url, exact=write_template is not None))
    for path, text in ((write_profile, profile), (write_template, template_text())):
        if path is not None:
            _write(path, text)
    if as_json:
        needed = {form.id: {each.id: each.nodes(1).needed(form) for each in chips.values()} for form in forms.values()}
        output.document(
            {
                "model": model,
                "plan": plan,
                "needed": needed,
                "brief_rates": launches().rate,
                "contradictions": [each.contradiction for each in launches().claim],
                "profile": profile,
                "written": [path for path in (write_profile, write_template) if path],
            }
        )
        return
    _show(output, plan)
    _show_nodes(output)
    _show_rates(output)
    if write_profile is None:
        output.print("\n--write-profile FILE writes the host profile that talks to it.", style="dim")
    else:
        output.note(f"profile written to {write_profile}: deepthrift ask --host {write_profile} --prices …")
    if write_template is not None:
        output.note(f"chat template written to {write_template}: put it where the server reads it")


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.UsageError(f"{path} is there already; name another file") from None


def _show(output: Output, plan: EnginePlan) -> None:
    machine, weights = plan.machine, plan.weights
    output.print(f"DeepSeek V3.1 on {machine.name}", style="bold")
    output.print(f"{machine.memory_gb:,} GB in all ({machine.origin}: {machine.source})")
    output.print(f"{weights.name}: {weights.memory_gb:,} GB ({weights.origin}: {weights.source})")
    output.print(f"{plan.needed} at least to hold it; {plan.left_gb:,} GB left for long contexts")
    for rate in plan.rates:
        output.print(
            f"{rate.tokens_per_second} tokens/s in {rate.format}: the project brief's figure, not measured here"
        )
    for launch in plan.launches:
        tested = "tested here" if launch.server.tested else "untested here on such chips"
        output.print(f"\n{launch.server.title} ({tested})", style="bold")
        output.print(f"source: {launch.server.source}, read on {launch.server.checked}", style="dim", whole=True)
        if launch.server.tried:
            output.print(f"tried: {launch.server.tried}", style="dim")
        for rank, command in enumerate(launch.commands):
            if len(launch.commands) > 1:
                output.print(f"\n# on node {rank}" + ("" if rank else ", whose address stands for NODE0 on each node"))
            output.print(command, whole=True)


def _show_nodes(output: Output) -> None:
    from deepthrift_router.cli._models.launch import launches, servable
    from deepthrift_router.cli._shared.output import table

    sizes: dict[str, list[Chip]] = {}
    for chip in launches().chip:
        sizes.setdefault(f"{chip.nodes(1).memory_gb:,} GB", []).append(chip)
    rows = table("weights", "memory", *sizes, right=("memory", *sizes))
    for form in servable():
        counts = (str(chips[0].nodes(1).needed(form)) for chips in sizes.values())
        rows.add_row(form.id, f"{form.memory_gb:,} GB", *counts)
    output.print("\nnodes that hold the weights, by the memory of a node", style="bold")
    output.print(rows)
    for size, chips in sizes.items():
        told = ", ".join(f"{each.id} ({each.per_node} × {each.name})" for each in chips)
        output.print(f"{size}: {told}", style="dim")
    for claim in launches().claim:
        output.print(claim.contradiction)


def _show_rates(output: Output) -> None:
    from deepthrift_router.cli._models.launch import launches
    from deepthrift_router.cli._shared.output import table

    chips = {each.id: each.name for each in launches().chip}
    rows = table("chip", "format", "tokens/s", right=("tokens/s",))
    for rate in launches().rate:
        rows.add_row(chips[rate.chip], rate.format, str(rate.tokens_per_second))
    output.print("\nthroughput in the project's brief; none of it was measured here", style="bold")
    output.print(rows)
