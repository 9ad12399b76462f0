"""Compare hosted prices with machines of your own."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import click

from deepthrift_router.cli._shared.options import json_option, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepthrift_pricing import Currency, Machine, MachineOption, Plan, Price, Weights
    from deepthrift_router.cli._shared.output import Output

EPILOG = """\b
Examples:
  deepthrift plan --requests 1000000 --prompt 2000 --completion 500 \\
      --gpu-hour 2.50
  deepthrift plan --requests 1000000 --prompt 2000 --completion 500 \\
      --gpu-hour 2.50 --cache-hit-share 0.75 --weights published-fp8 \\
      --gpus 8 --memory-gb 1128 --tokens-per-second 2500 \\
      --prompt-tokens-per-second 20000
  deepthrift plan --list

The machines and weights known here are the project brief's and published ones, kept apart and named; none was measured
here. State your own with --gpus, --memory-gb and --tokens-per-second.
"""


Named = TypeVar("Named", "Machine", "Weights")


@click.command("plan", epilog=EPILOG)
@click.option("--requests", type=click.IntRange(min=1), help="Requests a month.")
@click.option("--prompt", type=click.IntRange(min=0), help="Prompt tokens of a request.")
@click.option("--completion", type=click.IntRange(min=1), help="Generated tokens of a request, reasoning included.")
@click.option(
    "--cache-hit-share", type=number, metavar="SHARE", default="0", help="Share of prompt tokens from a cache, 0 to 1."
)
@click.option("--peak", type=number, default="1", help="The busiest hour against the average one.")
@click.option("--gpu-hour", type=number, metavar="AMOUNT", help="What one GPU costs for an hour.")
@click.option("--prices", metavar="NAME|FILE", multiple=True, help="Hosted prices to compare with; may be repeated.")
@click.option("--machine", "machine_ids", metavar="ID", multiple=True, help="Only this machine; may be repeated.")
@click.option("--weights", "weight_ids", metavar="ID", multiple=True, help="Only these weights; may be repeated.")
@click.option("--gpus", type=click.IntRange(min=1), help="Your machine: its GPUs.")
@click.option("--memory-gb", type=click.IntRange(min=1), help="Your machine: GB of GPU memory in all.")
@click.option(
    "--tokens-per-second", type=number, help="Your machine: generated tokens a second, all requests together."
)
@click.option("--prompt-tokens-per-second", type=number, help="Your machine: prompt tokens a second.")
@click.option("--currency", type=click.Choice(["USD", "CNY"]), default="USD", show_default=True, help="The currency.")
@click.option("--list", "listing", is_flag=True, help="List the machines and weights known here, with their sources.")
@json_option
def command(
    requests: int | None,
    prompt: int | None,
    completion: int | None,
    cache_hit_share: Decimal,
    peak: Decimal,
    gpu_hour: Decimal | None,
    prices: tuple[str, ...],
    machine_ids: tuple[str, ...],
    weight_ids: tuple[str, ...],
    gpus: int | None,
    memory_gb: int | None,
    tokens_per_second: Decimal | None,
    prompt_tokens_per_second: Decimal | None,
    currency: Currency,
    listing: bool,
    as_json: bool,
) -> None:
    """Compare hosted prices with machines of your own: cost a month, break-even, and whether V3.1 fits."""
    from deepthrift_pricing import Load, known_machines, known_weights, make_plan
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    machines, weights = known_machines(), known_weights()
    if listing:
        _list(output, machines, weights)
        return
    if requests is None or prompt is None or completion is None or gpu_hour is None:
        raise click.UsageError("a plan needs --requests, --prompt, --completion and --gpu-hour")
    if not gpu_hour:
        raise click.BadParameter("an hour that costs nothing needs no plan", param_hint="--gpu-hour")
    if cache_hit_share > 1:
        raise click.BadParameter(f"{cache_hit_share} is no share from 0 to 1", param_hint="--cache-hit-share")
    if peak < 1:
        raise click.BadParameter(f"the busiest hour is at least the average one, not {peak} of it", param_hint="--peak")
    own = _own(gpus, memory_gb, tokens_per_second, prompt_tokens_per_second)
    chosen = [own] if own and not machine_ids else [_named(machines, name, "--machine") for name in machine_ids]
    if own and machine_ids:
        chosen.append(own)
    load = Load(
        requests=requests,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cache_hit_share=cache_hit_share,
        peak=peak,
    )
    hosted = _hosted(prices, currency)
    kinds = [_named(weights, name, "--weights") for name in weight_ids or ("brief-int8", "published-fp8")]
    plans = [
        make_plan(load, hosted=hosted, machines=chosen or machines, weights=kind, gpu_hour=gpu_hour, currency=currency)
        for kind in kinds
    ]
    fits = [(form, [machine for machine in chosen or machines if machine.holds(form)]) for form in weights]
    if as_json:
        told = [{"weights": form.id, "machines": [machine.id for machine in those]} for form, those in fits]
        output.document({"plans": plans, "fits": told})
        return
    _show(output, plans, hosted)
    _show_fits(output, fits)


def _own(gpus: int | None, memory: int | None, rate: Decimal | None, prompt_rate: Decimal | None) -> Machine | None:
    from deepthrift_pricing import Machine

    if gpus is None and memory is None and rate is None and prompt_rate is None:
        return None
    if gpus is None or memory is None or not rate:
        raise click.UsageError("a machine of your own needs --gpus, --memory-gb and --tokens-per-second")
    return Machine(
        id="own",
        name="your machine",
        gpus=gpus,
        memory_gb=memory,
        completion_tokens_per_second=rate,
        prompt_tokens_per_second=prompt_rate or None,
        origin="stated",
        source="stated on the command line",
    )


def _named(known: Sequence[Named], name: str, option: str) -> Named:
    for each in known:
        if each.id == name:
            return each
    raise click.BadParameter(f"{name!r} is none of {', '.join(each.id for each in known)}", param_hint=option)


def _hosted(names: Sequence[str], currency: Currency) -> list[Price]:
    """One row for each mode of each price book; without names, the official prices of V3.1 and after."""
    from deepthrift_router.cli._money.prices import price_book

    rows = [row for name in names or ("official-2025-09-05", "official-2025-09-29") for row in price_book(name).rows]
    return [row for row in rows if row.currency == currency]


def _list(output: Output, machines: Sequence[Machine], weights: Sequence[Weights]) -> None:
    from deepthrift_router.cli._shared.output import table

    if output.as_json:
        output.document({"machines": machines, "weights": weights})
        return
    found = table("machine", "memory", "tokens/s", "what", right=("memory", "tokens/s"))
    for machine in machines:
        rate = machine.completion_tokens_per_second
        found.add_row(machine.id, f"{machine.memory_gb:,} GB", "?" if rate is None else f"{rate:f}", machine.name)
    output.print(found)
    output.print()
    forms = table("weights", "memory", "what", right=("memory",))
    for form in weights:
        forms.add_row(form.id, f"{form.memory_gb:,} GB", form.name)
    output.print(forms)
    output.print()
    for name, source in [(each.id, each.source) for each in machines] + [(each.id, each.source) for each in weights]:
        output.print(f"{name}: {source}", style="dim", whole=True)


def _show(output: Output, plans: Sequence[Plan], hosted: Sequence[Price]) -> None:
    from deepthrift_router.cli._shared.format import money
    from deepthrift_router.cli._shared.output import table

    load = plans[0].load
    output.print(
        f"{load.requests:,} requests a month, each {load.prompt_tokens:,} prompt tokens "
        f"({load.usage.cache_hit_tokens:,} from the cache) and {load.completion_tokens:,} generated"
    )
    output.print()
    if plans[0].hosted:
        rows = table("hosted at", "a request", "a month", right=("a request", "a month"))
        for host in plans[0].hosted:
            rows.add_row(host.price_id, money(host.per_request), money(host.per_month, 2))
        output.print(rows)
    else:
        output.print("no hosted price in this currency; name one with --prices")
    for plan in plans:
        weights = plan.machines[0].weights
        output.print(f"\nself-run with {weights.name}: {weights.memory_gb:,} GB ({weights.origin})")
        rows = table("machine", "fits", "needed", "busy", "a month", "break-even", right=("needed", "busy", "a month"))
        for option in plan.machines:
            rows.add_row(*_machine_row(option))
        output.print(rows)
        notes: dict[str, list[str]] = {}
        for option in plan.machines:
            for note in option.notes:
                notes.setdefault(note, []).append(option.machine.id)
        for note, names in notes.items():
            output.print(f"  {', '.join(names)}: {note}", style="dim")
    output.print("\nbreak-even: requests a month from which the machines are cheaper than every hosted price above")
    if hosted:
        output.print("brief: the project brief's figures. published: a named page's. --list has the sources.")


def _show_fits(output: Output, fits: Sequence[tuple[Weights, Sequence[Machine]]]) -> None:
    from deepthrift_router.cli._shared.output import table

    output.print("\nmemory: which weights one of these machines can hold, with nothing left for long contexts")
    rows = table("weights", "memory", "fit on", right=("memory",))
    for form, machines in fits:
        rows.add_row(form.id, f"{form.memory_gb:,} GB", ", ".join(each.id for each in machines) or "none of these")
    output.print(rows)


def _machine_row(option: MachineOption) -> tuple[str, ...]:
    from deepthrift_router.cli._shared.format import money

    points = list(option.break_even.values())
    if option.per_month is None or option.utilisation is None:
        return option.machine.id, "yes" if option.fits else "no", "?", "?", "?", "?"
    known = [point for point in points if point is not None]
    point = "never" if len(known) < len(points) or not points else f"{max(known):,}"
    busy = f"{option.utilisation * 100:.1f} %"
    return (
        option.machine.id,
        "yes" if option.fits else "no",
        str(option.machines),
        busy,
        money(option.per_month, 2),
        point if points else "no price",
    )
