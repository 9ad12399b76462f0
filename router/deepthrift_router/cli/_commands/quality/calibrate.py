"""Fit the router on labels of your own."""

from __future__ import annotations

from pathlib import Path

import click

from deepthrift_router.cli._shared.options import cross_check_option, json_option, said

EPILOG = """\b
Examples:
  deepthrift calibrate outcomes.jsonl
  deepthrift calibrate outcomes.jsonl --max-quality-loss 0.02
  deepthrift calibrate --list
  deepthrift calibrate --rollback

Fits likelihoods and base rates on the graded rows of DATA and on the labelled answers of the router's store, with folds
by question. A setting is written only if it is better out of fold: the lower end of the 95 % interval of the log loss
saved is above 0. The routed commands and ModeRouter(settings=FOLDER) use the version in force.

\b
Exit codes: 0 written, listed or gone back · 1 no lift, or too few labels
  2 the input is wrong
"""


@click.command("calibrate", epilog=EPILOG)
@click.argument("data", nargs=-1, metavar="[DATA]...", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--store", type=click.Path(dir_okay=False, path_type=Path), help="The router's store of answers.")
@click.option("--settings", type=click.Path(file_okay=False, path_type=Path), help="The folder of settings.")
@click.option("--samples", type=click.IntRange(1, 3), default=3, show_default=True, help="Standard samples to go by.")
@cross_check_option
@click.option(
    "--max-quality-loss",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Say what it takes to lose no more than this.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--list", "listing", is_flag=True, help="List the settings, and which is in force.")
@click.option("--rollback", is_flag=True, help="Go back to the setting before, or to the shipped one.")
@click.option("--use", metavar="VERSION", help="Put this version in force.")
@json_option
def command(
    data: tuple[Path, ...],
    store: Path | None,
    settings: Path | None,
    samples: int,
    cross_checks: tuple[str, ...],
    max_quality_loss: float | None,
    dry_run: bool,
    listing: bool,
    rollback: bool,
    use: str | None,
    as_json: bool,
) -> None:
    """Fit the router on labels of your own, from files of outcomes and from its store."""
    for chosen, name, option in (
        (listing, "listing", "--list"),
        (rollback, "rollback", "--rollback"),
        (use, "use", "--use"),
    ):
        if chosen and (others := [*said(name, "settings", "as_json"), *map(str, data)]):
            raise click.UsageError(f"{option} stands alone; leave out {others[0]}")
    from deepthrift_router.cli._answers.calibrating import calibrate_now, go_back, list_settings
    from deepthrift_router.cli._shared.output import Output
    from deepthrift_router.cli._shared.paths import router_settings, router_store

    output = Output(as_json=as_json)
    folder = settings or router_settings()
    if listing:
        list_settings(folder, output)
    elif rollback or use is not None:
        go_back(folder, use, output)
    else:
        calibrate_now(
            data,
            store or router_store(),
            folder,
            output,
            samples=samples,
            cross_checks=cross_checks,
            max_quality_loss=max_quality_loss,
            dry_run=dry_run,
        )
