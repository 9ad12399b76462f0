"""Answer a file of requests, resumably."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from deepthrift_router.cli._shared.options import EndpointOptions, endpoint_options, json_option

EPILOG = """\b
Examples:
  deepthrift batch run in.jsonl out.jsonl --dry-run
  deepthrift batch run in.jsonl out.jsonl
  deepthrift batch run in.jsonl out.jsonl --mode auto
  deepthrift batch submit in.jsonl out.jsonl --host deepinfra
  deepthrift batch fetch out.jsonl --host deepinfra --wait

The files have the form of OpenAI's batches; a row may name its mode beside its body: "mode": "thinking".
"""

RUN_EPILOG = """\b
Examples:
  deepthrift batch run in.jsonl out.jsonl --dry-run --expected-tokens 300
  deepthrift batch run in.jsonl out.jsonl --url http://gpu-box:8000/v1
  deepthrift batch run in.jsonl out.jsonl --retry-failed
  deepthrift batch run in.jsonl out.jsonl --on ray://head:10001

\b
A row of IN:
  {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
   "mode": "thinking",
   "body": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}}

OUT gets a line for each result as it comes, in no particular order, and is only ever added to; OUT.journal notes what
was begun. Run again, it goes on where it ended, also after a kill. What was begun then may be billed: it becomes an
`unanswered` result, and is sent again only with --retry-unanswered. The last line of a custom_id counts.

\b
Exit codes:
  0 every row has an answer · 1 some have none · 2 the input is wrong
  3 stopped by a budget · 4 stopped by the endpoint · 130 interrupted
"""


_dry_run = click.option("--dry-run", is_flag=True, help="Check every row and tell what it will cost; send nothing.")
_expected_tokens = click.option(
    "--expected-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --dry-run: tokens of an answer.  [default: what the ledger knows]",
)


@click.group("batch", epilog=EPILOG)
def command() -> None:
    """Answer a file of requests in the form of OpenAI's batches."""


@command.command("run", epilog=RUN_EPILOG)
@click.argument("source", metavar="IN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--mode",
    type=click.Choice(["standard", "thinking", "auto"]),
    help="For rows that name none; auto lets the router decide.  [default: standard]",
)
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=16, show_default=True, help="Rows under way at once."
)
@click.option(
    "--on",
    metavar="ray|ray://HOST:PORT",
    help="Send the rows from the machines of a Ray cluster; the files stay here. Needs deepthrift[ray,postgres] on all "
    "of them, and a --ledger that they share.",
)
@click.option("--retry-failed", is_flag=True, help="Send again what failed in an earlier run and cost nothing.")
@click.option("--retry-unanswered", is_flag=True, help="Send again what failed and may be billed: it is paid twice.")
@_dry_run
@_expected_tokens
@endpoint_options
@json_option
def run_command(
    source: Path,
    out: Path,
    mode: Literal["standard", "thinking", "auto"] | None,
    concurrency: int,
    on: str | None,
    retry_failed: bool,
    retry_unanswered: bool,
    dry_run: bool,
    expected_tokens: int | None,
    endpoint: EndpointOptions,
    as_json: bool,
) -> int:
    """Answer every row of IN, and write the results to OUT.

    Ctrl-C begins no more rows and finishes those under way; pressed again, it drops them, and they may be billed.
    """
    from deepthrift_router.cli._batches.ray import run_on_ray
    from deepthrift_router.cli._batches.run import RunOptions, estimate_file, run_file, run_here
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    place = prepare(endpoint, output)
    if dry_run:
        run(estimate_file(source, place, output, mode, expected_tokens))
        return 0
    options = RunOptions(mode, concurrency, retry_failed, retry_unanswered, on)
    return run(run_file(source, out, place, output, options, run_here if on is None else run_on_ray))


SUBMIT_EPILOG = """\b
Examples:
  deepthrift batch submit in.jsonl out.jsonl --host deepinfra
  deepthrift batch status out.jsonl --host deepinfra
  deepthrift batch fetch out.jsonl --host deepinfra --wait

Every row is reserved in the budgets at its worst case and the batch tier's price before the file is uploaded; the fetch
books what it really cost. OUT.job remembers the batch: with it and the same ledger, any process can fetch it. Submitted
again after a lost connection, it looks for the batch first and begins none twice.
"""

_SOURCE = click.argument("source", metavar="IN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_OUT = click.argument("out", metavar="OUT", type=click.Path(dir_okay=False, path_type=Path))


@command.command("submit", epilog=SUBMIT_EPILOG)
@_SOURCE
@_OUT
@click.option("--mode", type=click.Choice(["standard", "thinking"]), help="For rows that name none.")
@_dry_run
@_expected_tokens
@endpoint_options
@json_option
def submit_command(
    source: Path,
    out: Path,
    mode: Literal["standard", "thinking"] | None,
    dry_run: bool,
    expected_tokens: int | None,
    endpoint: EndpointOptions,
    as_json: bool,
) -> None:
    """Hand IN to the host's own batch service, at its discount; the results are for OUT."""
    from deepthrift_router.cli._batches.native import submit
    from deepthrift_router.cli._batches.run import estimate_file
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    place = prepare(endpoint, output)
    if dry_run:
        run(estimate_file(source, place, output, mode, expected_tokens, native=True))
    else:
        run(submit(source, out, place, output, mode))


@command.command("status", epilog="Example: deepthrift batch status out.jsonl --host deepinfra")
@_OUT
@endpoint_options
@json_option
def status_command(out: Path, endpoint: EndpointOptions, as_json: bool) -> None:
    """Say where the batch that was submitted for OUT stands."""
    from deepthrift_router.cli._batches.native import status
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    run(status(out, prepare(endpoint, output), output))


@command.command("fetch", epilog="Example: deepthrift batch fetch out.jsonl --host deepinfra --wait")
@_OUT
@click.option("--wait", is_flag=True, help="Wait until the batch has ended.")
@click.option(
    "--poll", type=click.FloatRange(min=0.01), default=30.0, show_default=True, help="Seconds between two looks."
)
@endpoint_options
@json_option
def fetch_command(out: Path, wait: bool, poll: float, endpoint: EndpointOptions, as_json: bool) -> int:
    """Write the results of the batch to OUT, and book them: once, however often they are fetched."""
    from deepthrift_router.cli._batches.native import fetch
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    return run(fetch(out, prepare(endpoint, output), output, wait=wait, poll=poll))


@command.command("cancel", epilog="Example: deepthrift batch cancel out.jsonl --host deepinfra")
@_OUT
@endpoint_options
@json_option
def cancel_command(out: Path, endpoint: EndpointOptions, as_json: bool) -> None:
    """Ask the host to stop the batch; what it has answered by then is billed: fetch it."""
    from deepthrift_router.cli._batches.native import cancel
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    run(cancel(out, prepare(endpoint, output), output))
