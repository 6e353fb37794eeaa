"""What ships: the weights of each kept step in float16, and the log with their losses."""

import json
import platform
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from scripts.series.corpus import PACKAGES, Corpus
from scripts.series.losses import expert_use, held_out_loss
from scripts.series.recipes import Recipe
from scripts.series.text import Streams, bytes_of
from scripts.series.train import State, write_json, write_weights


class Keeper:
    """Writes each kept checkpoint with its losses."""

    def __init__(self, recipe: Recipe, corpus: Corpus, tokens: Streams, tokenizer: Any, work: Path, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.rows = tokens.rows(recipe.context)
        self.widths = bytes_of(tokenizer)
        self.about = {
            "name": recipe.name,
            "corpus_sha256": corpus.digest,
            "packages": list(PACKAGES),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
            },
            "train_tokens": {domain: len(stream) for domain, stream in tokens.train.items()},
            "held_out_tokens": {domain: rows.numel() for domain, rows in self.rows.items()},
            "settings": {
                each: getattr(recipe, each)
                for each in (
                    "steps", "batch", "context", "seed", "peak", "warm_up", "decay", "clip", "tempering",
                )
            },
        }  # fmt: skip
        self.kept: dict[int, dict[str, Any]] = {}
        self.cache = work / "kept.json"
        texts = {domain: tokenizer.decode(rows[0]) for domain, rows in self.rows.items()}
        samples = {domain: {"text": texts[domain], "tokens": rows[0].tolist()} for domain, rows in self.rows.items()}
        write_json(samples, out / "held_out.json")

    def __call__(self, state: State) -> None:
        """Keep the state's weights and write the log again."""
        if self.cache.exists():
            self.kept = {int(step): entry for step, entry in json.loads(self.cache.read_text()).items()}
        variant = f"step{state.step}" if len(self.recipe.kept) > 1 else None
        write_weights(state.model, self.out, variant)
        measured = held_out_loss(state.model, self.rows, self.widths)
        self.kept[state.step] = {
            "step": state.step,
            "tokens": state.step * self.recipe.batch * self.recipe.context,
            "train_loss": round(sum(state.losses) / len(state.losses), 5) if state.losses else None,
            "validation_loss": round(sum(measured["nats"].values()) / len(measured["nats"]), 5),
            "domains": measured,
            "cpu_seconds": round(state.seconds, 1),
        }
        used = expert_use(state.model, self.rows)
        if used is not None:
            self.kept[state.step]["expert_use"] = used
        write_json(self.kept, self.cache)
        parameters = sum(parameter.numel() for parameter in state.model.parameters())
        write_json(
            {**self.about, "parameters": parameters, "checkpoints": [self.kept[step] for step in sorted(self.kept)]},
            self.out / "log.json",
        )
        print(f"kept {self.recipe.name} step {state.step}: {measured['nats']}", flush=True)
