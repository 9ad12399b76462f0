"""`deepthrift doctor`: what works here, what does not, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepthrift.cli._exits import FAILURE, OK
from deepthrift.cli._options import EndpointOptions, LedgerPlace, json_option, ledger_option, said

if TYPE_CHECKING:
    from deepthrift.cli._output import Output

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}

EPILOG = """\b
Examples:
  deepthrift doctor
  deepthrift doctor --json | jq '.checks[] | select(.status != "ok")'
  deepthrift doctor --probe http://gpu-box:8000/v1 --write gpu-box.toml

Exits with 1 if anything fails; a warning does not count as a failure.

--probe asks a live endpoint what it supports, with some 40 small requests at most: which switch of the
mode it honours, where reasoning comes back, usage, cached tokens, log-probabilities, structured output,
tools, and the limit of max_tokens. They are booked in the ledger under the tag "probe".
"""


@click.command("doctor", epilog=EPILOG)
@click.option("--offline", is_flag=True, help="Skip the check of the package index.")
@click.option("--probe", "url", metavar="URL", help="Ask a live endpoint what it supports, instead.")
@click.option("--model", metavar="NAME", help="With --probe: the model to ask.  [default: the first it lists]")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --probe: write a host profile, a file that is not there yet.",
)
@click.option("--prices", metavar="NAME|FILE", help="With --probe: what the requests cost.  [default: known prices]")
@click.option("--api-key-env", metavar="VAR", help="With --probe: the environment variable that holds the key.")
@click.option("--ask-key", is_flag=True, help="With --probe: prompt for the key, without showing it.")
@click.option("--yes", is_flag=True, help="With --probe: send the requests also where a key is in use.")
@ledger_option
@json_option
def command(
    offline: bool,
    url: str | None,
    model: str | None,
    write: Path | None,
    prices: str | None,
    api_key_env: str | None,
    ask_key: bool,
    yes: bool,
    ledger: LedgerPlace | None,
    as_json: bool,
) -> int:
    """Check this machine, and say the command that mends what is missing.

    Looked at: Python, the optional parts, the processor, system libraries, the default model and its hash, disk space,
    the package index, the ledger, and the endpoint that the environment chooses.
    """
    from deepthrift.cli._output import Output

    output = Output(as_json=as_json)
    if url is None:
        if options := said("offline", "ledger", "as_json"):
            raise click.UsageError(f"{options[0]} belongs to --probe URL")
        return _check(output, ledger, offline=offline)
    if offline:
        raise click.UsageError("--offline leaves out a check, and --probe makes none")
    if write is not None and write.exists():
        raise click.UsageError(f"{write} is there already; name a new file")
    from deepthrift.cli._connect import run
    from deepthrift.cli._probing import probe

    place = EndpointOptions(
        url=url, model=model, api_key_env=api_key_env, ask_key=ask_key, prices=prices, ledger=ledger
    )
    return run(probe(place, output, write=write, agreed=yes))


def _check(output: Output, ledger: LedgerPlace | None, *, offline: bool) -> int:
    from rich.text import Text

    from deepthrift.cli._checks import Result, checks

    found: list[Result] = []
    for check in checks(ledger, offline=offline):
        with output.working(f"checking {check.name}", elsewhere=False):
            result = check.run()
        found.append(result)
        if not output.as_json:
            mark = (MARKS[result.status], STYLES[result.status])
            output.print(Text.assemble(mark, f"  {result.name}: {result.detail}"))
            if result.mend:
                output.print(f"      mend: {result.mend}", style="bold", whole=True)
    failed = [result for result in found if result.status == "fail"]
    if output.as_json:
        output.document({"ok": not failed, "checks": [vars(result) for result in found]})
    elif failed:
        output.print(f"\n{len(failed)} of {len(found)} checks failed.")
    else:
        output.print("\nEverything that is needed is here.")
    return FAILURE if failed else OK
