"""The model card: what was computed, in words; nothing here is typed in by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from router_rows import Row

LICENCES = {
    "farel_dsv3_dsr1": ("fairydreaming/farel-bench", "MIT"),
    "medagents_dsv3_dsr1": ("gersteinlab/medagents-benchmark", "Apache-2.0"),
    "misguided_attention_pairs": ("cpldcpu/MisguidedAttention", "CC0-1.0"),
    "reasoning_gym_llama33_r1": ("open-thought/reasoning-gym-eval", "Apache-2.0"),
    "reasoning_gym_maverick_r1": ("open-thought/reasoning-gym-eval", "Apache-2.0"),
    "zeroeval_o1mini_pairs": ("WildEval/ZeroEval", "Apache-2.0"),
}


def write_card(path: Path, rows: list[Row], card: dict, signals: dict) -> None:
    """Writes the card to `path`."""
    counts = Counter(row.file for row in rows)
    lines = [
        "# Model card of the router's prior and signals",
        "",
        "Written by `tools/train_router.py`; every figure comes from rows that were not used to fit it.",
        "",
        "## Data",
        "",
        "Recorded outcomes of a standard and a thinking run on the same question. Only coefficients and figures are",
        "part of this package; the rows are not.",
        "",
        "| File | Repository | Licence | Rows |",
        "|---|---|---|---|",
        *(
            f"| {name} | {LICENCES[name][0]} | {LICENCES[name][1]} | {count:,} |"
            for name, count in sorted(counts.items())
        ),
        "",
        "No pair is DeepSeek V3.1 in its own two modes; V3 and R1 are its nearest siblings.",
        "",
        "## The prior",
        "",
        "A linear model with four classes (both modes right, only standard, only thinking, neither) over words, word",
        "pairs and plain measures of the question. The share of its score that is used rises with how much of the",
        "question one family of training questions covers; where none does, only the base rates are left, moved by the",
        "length of the question, the one measure that tells failures in families that it was not fitted on.",
        "",
        "| Figure | In family (questions left out) | Never seen (datasets left out) |",
        "|---|---|---|",
    ]
    names = {
        "auc_within_dataset_macro": "AUC, standard fails, within a dataset, mean",
        "auc_prompt_length_within_dataset_macro": "the same by prompt length alone",
        "auc_pooled": "AUC, standard fails, all rows pooled",
        "calibration_error_standard": "Calibration error of p(standard right)",
        "calibration_error_thinking": "Calibration error of p(thinking right)",
    }
    for key, name in names.items():
        lines.append(f"| {name} | {card['in_family'][key]:.3f} | {card['never_seen'][key]:.3f} |")
    lines += [
        f"| Mean weight of the score | {card['mean_weight_in_family']:.2f} | {card['mean_weight_never_seen']:.2f} |",
        "",
        f"Novelty tells questions of unseen datasets from those of seen ones with an AUC of {card['novelty_auc']:.2f}.",
        "",
        "## The signals",
        "",
        "Likelihoods in the four cases, by outcome, over all kinds of answer, on familiar questions. Agreement and the",
        "length of the answer have tables of their own on unfamiliar ones. A signal that is not listed has no",
        "data and no weight: token log-probabilities, candidate margins, self-checks, and your own validators when",
        "they pass. The temper says for how much of what it seems a signal is taken on unfamiliar and on familiar",
        "questions.",
        "",
        "| Signal | Outcome | both right | only standard | only thinking | neither | observations | temper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, signal in signals["signals"].items():
        temper = " / ".join(f"{x:.2f}" for x in signal["temper"])
        for outcome, chances in signal["tables"]["any"].items():
            numbers = " | ".join(f"{x:.3f}" for x in chances)
            lines.append(f"| {name} | {outcome} | {numbers} | {signal['rows']:,} | {temper} |")
    lines += [
        "",
        "## Known failures",
        "",
        "- On task families that it has not seen the score is worth little (see the table); it is shrunk there, and",
        "  the plan relies on verification.",
        "- Medical knowledge questions: whether standard mode fails cannot be told from the question.",
        "- Agreement is no proof: on questions far beyond the model, samples agree in error.",
        "- Open prose has no normal form, so a second sample says nothing about it.",
        "- All questions are English.",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
