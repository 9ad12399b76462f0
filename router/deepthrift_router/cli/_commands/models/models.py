"""List, pull and remove local models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from deepthrift_router.cli._shared.options import json_option, number, stands_alone

if TYPE_CHECKING:
    from deepthrift_router.cli._models.measuring import MeasureOptions

EPILOG = """\b
Examples:
  deepthrift models
  deepthrift models pull
  deepthrift models choices
  deepthrift models pull hf:Qwen/Qwen3-4B-GGUF --file '*Q4_K_M*'
  deepthrift models pull /data/model.gguf --name mine
  deepthrift models remove smollm2-135m

A chat model in GGUF form can also be used by its path:
  deepthrift ask --model /data/model.gguf "What is the capital of France?"
"""


@click.group("models", invoke_without_command=True, epilog=EPILOG)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the local models that are known by name, pull one, or remove it."""
    stands_alone(ctx)
    if ctx.invoked_subcommand is None:
        _list(as_json)


@command.command("list", epilog="Example: deepthrift models list --json")
@json_option
def list_command(as_json: bool) -> None:
    """List the models, and which of them are here. Uses no network."""
    _list(as_json)


def _list(as_json: bool) -> None:
    from deepthrift.local import models
    from deepthrift_router.cli._shared.format import size
    from deepthrift_router.cli._shared.output import Output, table

    output = Output(as_json=as_json)
    known = models.list_models()
    if as_json:
        output.document(known)
        return
    found = table(
        "name", "here", "size", "memory", "context", "thinking", "licence", right=("size", "memory", "context")
    )
    for model in known:
        found.add_row(
            model.name + (" (default)" if model.default else ""),
            "yes" if model.path else "no",
            size(model.size),
            size(model.memory) if model.memory else "-",
            f"{model.context:,}" if model.context else "-",
            model.thinking,
            model.licence,
        )
    output.print(found)
    for model in known:
        output.print()
        output.print(f"{model.name}: {model.title}. {model.description}", style="dim")
        place = str(model.path) if model.path else f"fetch it: deepthrift models pull {model.name}"
        output.print(place, style="dim", whole=True)


PULL_EPILOG = """\b
Examples:
  deepthrift models pull
  deepthrift models pull qwen3-4b
  deepthrift models pull hf:unsloth/DeepSeek-V3.1-GGUF --file '*TQ1_0*'
  deepthrift models pull https://host/model.gguf --sha256 9f86d081…
  deepthrift models pull /data/model.gguf --name mine

Hashes are shown, and pinned in models.lock.json beside the models: what differs
from them later is refused unless --update says that it is meant.
"""


@command.command("pull", epilog=PULL_EPILOG)
@click.argument("source", required=False)
@click.option("--name", "save_as", metavar="NAME", help="What a source is called here.  [default: from its file]")
@click.option("--file", metavar="PATTERN", help="Of a repository: the file, or a pattern of it.")
@click.option("--revision", metavar="REV", help="Of a repository: the branch, tag or commit.")
@click.option("--sha256", metavar="HASH", help="The hash that it should have; a URL needs one.")
@click.option("--update", is_flag=True, help="Take other files than the lock file has, and pin those.")
@click.option("--check", is_flag=True, help="Hash a file that is already here once more.")
@json_option
def pull_command(
    source: str | None,
    save_as: str | None,
    file: str | None,
    revision: str | None,
    sha256: str | None,
    update: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Fetch a model, pinned by its hash: the default one, or SOURCE.

    SOURCE is a name from `deepthrift models` or `deepthrift models choices`, a Hugging Face repository (hf:owner/name,
    needs deepthrift[hub]), the URL of a .gguf file, or the path of one.
    """
    from deepthrift.local import models
    from deepthrift_router.cli._models.pulling import pull
    from deepthrift_router.cli._shared.format import size
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    path = pull(
        source or models.DEFAULT,
        output,
        full_check=check,
        save_as=save_as,
        file=file,
        revision=revision,
        sha256=sha256,
        update=update,
    )
    model = next(each for each in models.list_models() if each.path == path)
    if as_json:
        output.document({"name": model.name, "path": path, "size": model.size, "sha256": model.sha256})
    else:
        output.print(f"{model.name} is here, {size(model.size)}, its hash is right:")
        output.print(model.sha256, whole=True)
        output.print(path, whole=True)


@command.command("choices", epilog="Example: deepthrift models choices --memory 16 --disk 50")
@click.option("--memory", type=click.FloatRange(min=0), metavar="GB", help="Only what fits into so much memory.")
@click.option("--disk", type=click.FloatRange(min=0), metavar="GB", help="Only what fits on so much disk.")
@json_option
def choices_command(memory: float | None, disk: float | None, as_json: bool) -> None:
    """List good choices of models by memory and disk, those with a thinking switch first."""
    from deepthrift.local import models
    from deepthrift_router.cli._shared.output import Output, table

    output = Output(as_json=as_json)
    found = models.fitting(memory_gb=memory, disk_gb=disk)
    if as_json:
        output.document(found)
        return
    if not found:
        output.print("None of the known choices fits; the default model needs 0.3 GB of memory.")
        return
    rows = table("name", "disk", "memory", "thinking", "licence", "tested here", right=("disk", "memory"))
    for choice in found:
        sizes = (f"{choice.size_gb:g} GB", f"{choice.memory_gb:g} GB")
        rows.add_row(choice.name, *sizes, choice.thinking, choice.licence, "yes" if choice.tested else "no")
    output.print(rows)
    for choice in found:
        output.print(f"\n{choice.name}: {choice.title}. Figures: {choice.source}.", style="dim")


MEASURE_EPILOG = """\b
Examples:
  deepthrift models measure
  deepthrift models measure --hour 0.05 --utilisation 0.2 --out mine.toml
  deepthrift ask --local --prices mine.toml --beside brief "Is 91 prime?"
"""


@command.command("measure", epilog=MEASURE_EPILOG)
@click.argument("model", required=False)
@click.option("--hour", type=number, metavar="AMOUNT", help="What this machine costs for an hour, in USD.")
@click.option(
    "--utilisation", type=number, metavar="SHARE", default="1", show_default=True, help="The share of time it is busy."
)
@click.option("--slots", type=click.IntRange(min=1), default=1, show_default=True, help="Requests at the same time.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Processor threads.")
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="How often; the median counts.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a price file; needs --hour.")
@json_option
def measure_command(model: str | None, as_json: bool, **options: Unpack[MeasureOptions]) -> None:
    """Measure tokens per second of MODEL on this machine, and price them by what the machine costs."""
    if options["out"] is not None and options["hour"] is None:
        raise click.UsageError("--out needs --hour: what this machine costs for an hour")
    from deepthrift.shared.engine import check_hour
    from deepthrift_router.cli._models.measuring import measure_model
    from deepthrift_router.cli._shared.connect import fetch
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    if options["hour"] is not None:
        check_hour(options["hour"], options["utilisation"])
    fetch(model, output)
    measure_model(model, output, **options)


@command.command("remove", epilog="Example: deepthrift models remove smollm2-135m")
@click.argument("name")
@json_option
def remove_command(name: str, as_json: bool) -> None:
    """Delete a fetched model from this machine."""
    from deepthrift.local import models
    from deepthrift_router.cli._shared.format import size
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    freed = models.remove(name)
    if as_json:
        output.document({"name": name, "removed": freed > 0, "freed": freed})
    else:
        output.print(f"{name} removed, {size(freed)} freed" if freed else f"{name} was not here")
