"""NOTICE.md of a model that ships: what it is, what it has read, under which licences, how well it does."""

import json
from pathlib import Path
from typing import Any

SOURCES = {
    "code": ("Python standard library, without its tests", "PSF-2.0 and compatible"),
    "law": ("SPDX licence texts (package spdx)", "CC0-1.0 for the collection"),
    "wiki": ("English Wikipedia, 103 long articles of a dump (test data of gensim)", "CC BY-SA 3.0"),
    "docs": ("Python language reference (pydoc topics of the standard library)", "PSF-2.0"),
    "maths": ("CHAMP, competition problems with solutions (Mao et al. 2024, package champ-dataset)", "MIT"),
    "talk": ("CHAMP, answers of GPT-3.5, GPT-4, PaLM 2 and others to these problems", "MIT"),
    "chat": ("chatterbot-corpus, English", "BSD-3-Clause"),
}

WHAT = {
    "nano": (
        "A GPT-NeoX decoder of {parameters:,} weights (8 layers of 8 heads, width 96) and its states after 0, 1, 2, 4,"
        ' 8, ... training steps: `model.stepN.safetensors`, which transformers opens as `variant="stepN"`.'
    ),
    "nano-moe": (
        "A mixture of experts of {parameters:,} weights (OLMoE: 6 layers of 8 heads and 8 experts, of which each token"
        " uses two; width 96), trained with a load-balancing loss; its last state only."
    ),
}


def write_notice(folder: Path) -> None:
    """Write NOTICE.md beside a model from its log."""
    log = json.loads((folder / "log.json").read_text(encoding="utf-8"))
    lines = [f"# {log['name']}", "", *_what(log), "", *_read(log), "", *_loss(log["checkpoints"])]
    if "expert_use" in log["checkpoints"][-1]:
        lines += ["", *_experts(log["checkpoints"][-1]["expert_use"])]
    lines += [
        "",
        "`log.json` has the loss of each domain at each step, `held_out.json` one held-out passage of each domain.",
        "",
        "## Licence",
        "",
        (
            "The weights and the tokenizer are under the project's licence (Apache-2.0). The passages in"
            " `held_out.json` keep the licences of their sources, named above; the one from Wikipedia"
            " is by its authors, CC BY-SA 3.0."
        ),
    ]
    (folder / "NOTICE.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _what(log: dict[str, Any]) -> list[str]:
    last, settings = log["checkpoints"][-1], log["settings"]
    return [
        WHAT[log["name"]].format(**log),
        "",
        (
            f"Trained from scratch by `scripts/series` on {last['tokens'] / 1e6:.1f} million tokens:"
            f" {settings['steps']:,} steps of {settings['batch']} rows of {settings['context']} tokens, AdamW,"
            f" largest learning rate {settings['peak']}, seed {settings['seed']}, one thread, float32;"
            " the weights are stored as float16."
            " A byte-level BPE of 1,024 tokens, trained on the same text; digits are tokens of their own."
            f" Versions: {', '.join(f'{key} {value}' for key, value in log['versions'].items())}."
        ),
        "",
        (
            "Meant for studying how units behave and change while a real model learns. It is far too small and has"
            " read far too little to know facts, to reason or to hold a conversation: it writes text that looks like"
            " its sources and means little. Nothing was filtered for bias or personal names beyond what the"
            " sources did."
        ),
    ]


def _read(log: dict[str, Any]) -> list[str]:
    measured = log["checkpoints"][-1]["domains"]
    return [
        "## What it has read",
        "",
        (
            "Small domains are drawn more often than their size (in proportion to tokens to the power"
            f" {log['settings']['tempering']}). Held-out text comes from other modules, articles, problems and families"
            " of licences than the training text; licence texts quote one another all the same. Loss of the last state:"
        ),
        "",
        "| domain | source | licence of the text | training tokens | held-out nats per token | bits per byte |",
        "|---|---|---|---:|---:|---:|",
        *(
            f"| {domain} | {source} | {licence} | {log['train_tokens'][domain]:,} | {measured['nats'][domain]:.2f}"
            f" | {measured['bits_per_byte'][domain]:.2f} |"
            for domain, (source, licence) in SOURCES.items()
        ),
    ]


def _loss(checkpoints: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Loss",
        "",
        "| step | tokens | training (mean since the row above) | held out (mean of domains) |",
        "|---:|---:|---:|---:|",
    ]
    for each in checkpoints:
        training = "" if each["train_loss"] is None else f"{each['train_loss']:.3f}"
        lines.append(f"| {each['step']} | {each['tokens']:,} | {training} | {each['validation_loss']:.3f} |")
    return lines


def _experts(used: list[list[float]]) -> list[str]:
    shares = [share for layer in used for share in layer]
    rare = sum(share < 0.02 for share in shares)
    return [
        "## Experts",
        "",
        (
            "The library's balancing loss pools the layers: experts are evenly used over all layers together, but"
            f" {rare} of {len(shares)} serve less than 2 % of the held-out tokens and"
            f" {sum(share > 0.7 for share in shares)} more than 70 %. Share of tokens by layer (row) and"
            " expert (column):"
        ),
        "",
        f"| layer | {' | '.join(str(expert) for expert in range(len(used[0])))} |",
        f"|---:|{'---:|' * len(used[0])}",
        *(f"| {row} | {' | '.join(f'{share:.3f}' for share in layer)} |" for row, layer in enumerate(used)),
    ]
