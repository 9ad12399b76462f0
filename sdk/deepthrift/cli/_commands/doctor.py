"""`deepthrift doctor`: what works here, what does not, and the command that mends it."""

from __future__ import annotations

import click

from deepthrift.cli._options import json_option

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}

EPILOG = """\b
Examples:
  deepthrift doctor
  deepthrift doctor --json | jq '.checks[] | select(.status != "ok")'

Exits with 1 if anything fails; a warning does not count as a failure.
"""


@click.command("doctor", epilog=EPILOG)
@click.option("--offline", is_flag=True, help="Skip the check of the package index.")
@json_option
def command(offline: bool, as_json: bool) -> None:
    """Check this machine, and say the command that mends what is missing.

    Looked at: Python, the optional parts, the processor, system libraries, the default model and its hash, disk space,
    the package index, the ledger, and the endpoint that the environment chooses.
    """
    from deepthrift.cli._checks import Result, checks
    from deepthrift.cli._output import Output

    output = Output(as_json=as_json)
    found: list[Result] = []
    for check in checks(offline=offline):
        with output.working(f"checking {check.name}", elsewhere=False):
            result = check.run()
        found.append(result)
        if not as_json:
            output.out.print(MARKS[result.status], style=STYLES[result.status], end="  ")
            output.print(f"{result.name}: {result.detail}")
            if result.mend:
                output.print(f"      mend: {result.mend}", style="bold", whole=True)
    failed = [result for result in found if result.status == "fail"]
    if as_json:
        output.document({"ok": not failed, "checks": [vars(result) for result in found]})
    elif failed:
        output.print(f"\n{len(failed)} of {len(found)} checks failed.")
    else:
        output.print("\nEverything that is needed is here.")
    if failed:
        click.get_current_context().exit(1)
