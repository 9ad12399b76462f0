"""Collect labels on your own prompts, fit the router on them, and see what they can promise.

    python examples/calibrate_on_your_labels.py prompts.jsonl

Each line of the file is {"query": …, "reference": …}; without a file, a hundred and twenty sums are asked. Both modes
are asked, three standard samples and one thinking answer, and graded by number. A setting is kept only if it is better
than the one in force on labels that it has not seen; in any case, the labels say how much thinking a promise takes.

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from deepthrift import AsyncClient
from deepthrift.errors import CalibrationError, NotEnoughLabels
from deepthrift_pricing import Money
from deepthrift_router import ModeRouter, Preferences, RouterStore, SettingsFolder, calibrate
from deepthrift_router.evaluation import Outcome, read_outcomes
from deepthrift_router.labels import Collector, ReferenceGrader, label_recorded, read_prompts

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
SUMS = [
    Outcome(id=f"sum-{number}", query=f"What is {number} + {3 * number}?", reference=str(4 * number), dataset="sums")
    for number in range(1, 121)
]


async def main(prompts: list[Outcome]) -> None:
    """Collect, fit, promise."""
    outcomes, settings = Path("outcomes.jsonl"), SettingsFolder("settings")
    store = RouterStore("router.db")
    async with AsyncClient(URL, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief") as client:
        collector = Collector(client, max_tokens=400, budget=Money.of("1.00"), grader=ReferenceGrader("numeric"))
        state = await collector.run(prompts, outcomes)
        print(f"{state.done} of {state.prompts} prompts, {state.spent}")

        labels = [row for each in read_outcomes(outcomes) if (row := label_recorded(each, store)) is not None]
        for row in labels:
            store.add(row)
        try:
            setting = calibrate(labels, settings.current())
            settings.write(setting)
            print(
                f"setting {setting.version}: log loss {setting.lift.before:.3f} before, {setting.lift.after:.3f} after"
            )
        except CalibrationError as error:
            print(f"no setting: {error}")

        async with ModeRouter(client, settings=settings, store=store) as router:
            try:
                plan = router.plan("What is 17 + 4?", max_tokens=400, preferences=Preferences(max_quality_loss=0.05))
                print(plan.reason)
            except NotEnoughLabels as error:
                print(f"no promise: {error}")
    store.close()


asyncio.run(main(read_prompts(Path(sys.argv[1])) if len(sys.argv) > 1 else SUMS))
