"""Ask two endpoints the same, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import click

from deepthrift_router.cli._shared.options import EndpointOptions, LedgerPlace, json_option, ledger_option, tags_option

EPILOG = """\b
Examples:
  deepthrift compare prompts.jsonl --a http://old:8000/v1 \\
      --b http://new:8000/v1
  deepthrift compare prompts.jsonl --a https://api.deepseek.com \\
      --a-key-env DEEPSEEK_API_KEY --b http://gpu-box:8000/v1 \\
      --b-prices mine.toml
  deepthrift compare prompts.jsonl --a http://fp8:8000/v1 \\
      --b http://int4:8000/v1 --temperature 0 --out answers.jsonl --json

\b
A line of PROMPTS is a text, or one of
  {"prompt": "Is 91 prime?"}  {"id": "x", "messages": [...]}  a row of a batch

Each prompt goes to A and to B, to either first by turns. Differences are of B - A over the prompts that both answered,
with 95 % intervals from a paired bootstrap.

\b
Exit codes:
  0 compared · 1 a prompt has no answer on a side · 2 the input is wrong
  3 stopped by a budget · 4 stopped by an endpoint
"""


@click.command("compare", epilog=EPILOG)
@click.argument("prompts", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--a", "a_url", required=True, metavar="URL", help="One endpoint; `local` is the embedded engine.")
@click.option("--b", "b_url", required=True, metavar="URL", help="The other one.")
@click.option("--a-host", metavar="NAME", help="Host profile of A.  [default: told from the URL]")
@click.option("--b-host", metavar="NAME", help="Host profile of B.")
@click.option("--a-model", metavar="NAME", help="Model of A.  [default: the host's own]")
@click.option("--b-model", metavar="NAME", help="Model of B.")
@click.option("--a-key-env", metavar="VAR", help="Environment variable that holds the key of A.")
@click.option("--b-key-env", metavar="VAR", help="Environment variable that holds the key of B.")
@click.option("--prices", metavar="NAME|FILE", envvar="DEEPTHRIFT_PRICES", help="Prices of both sides.")
@click.option("--a-prices", metavar="NAME|FILE", help="Prices of A.")
@click.option("--b-prices", metavar="NAME|FILE", help="Prices of B.")
@click.option("--mode", type=click.Choice(["standard", "thinking"]), help="For prompts that name none.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most of each answer.")
@click.option(
    "--temperature", type=click.FloatRange(0, 2), metavar="T", help="0 makes answers as alike as the endpoints can."
)
@click.option("--seed", type=int, metavar="N", help="For repeatable sampling, where the hosts support it.")
@click.option(
    "--agree",
    type=click.Choice(["answer", "text"]),
    default="answer",
    show_default=True,
    help="answer compares what is answered, as the router does; text the words.",
)
@click.option("--concurrency", type=click.IntRange(min=1), default=4, show_default=True, help="Prompts at once.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write both answers to each prompt here.")
@tags_option("Tag the spend; may be repeated.")
@ledger_option
@json_option
def command(
    prompts: Path,
    a_url: str,
    b_url: str,
    a_host: str | None,
    b_host: str | None,
    a_model: str | None,
    b_model: str | None,
    a_key_env: str | None,
    b_key_env: str | None,
    prices: str | None,
    a_prices: str | None,
    b_prices: str | None,
    mode: Literal["standard", "thinking"] | None,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    agree: Literal["answer", "text"],
    concurrency: int,
    out: Path | None,
    tags: Mapping[str, str],
    ledger: LedgerPlace | None,
    as_json: bool,
) -> int:
    """Ask endpoints A and B the same PROMPTS, and compare answers, latency, tokens and cost.

    Nothing of prompts and answers is kept unless --out says where. The spend is tagged side=a and side=b.
    """
    from deepthrift_router.cli._answers.comparing import CompareOptions, compare_files
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)

    def side(name: str, url: str, *values: str | None) -> EndpointOptions:
        host, model, key_env, own_prices = values
        local = url == "local"
        return EndpointOptions(
            url=None if local else url,
            host=host,
            model=model,
            api_key_env=key_env,
            local=local,
            prices=own_prices or prices,
            ledger=ledger,
            tags={**tags, "side": name},
        )

    a = prepare(side("a", a_url, a_host, a_model, a_key_env, a_prices), output)
    b = prepare(side("b", b_url, b_host, b_model, b_key_env, b_prices), output)
    options = CompareOptions(mode, max_tokens, temperature, seed, agree, concurrency, out)
    return run(compare_files(prompts, a, b, output, options))
