"""One training run that can be killed at any time: the same bits come out as of a run that was left alone.

The rows of a step depend on seed and step only; weights and optimiser state are written every few minutes. This holds
for one thread count and one version of torch: the order of summation decides the last bits.
"""

import copy
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.series.recipes import Recipe, fresh
from scripts.series.text import draw


@dataclass
class State:
    """Where a run stands."""

    model: Any
    optimiser: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)
    """Training loss of each step since the last kept checkpoint, nats per token."""
    seconds: float = 0.0
    """CPU seconds spent."""


def run(
    recipe: Recipe,
    train: dict[str, np.ndarray],
    work: Path,
    keep: Callable[[State], None],
    *,
    every: float = 120.0,
    stop: int | None = None,
) -> State:
    """Train from where the work folder stands to the end, or to a step.

    Parameters
    ----------
    train
        Tokens of each domain.
    work
        Holds ``state.pt`` between runs.
    keep
        Called at each of the recipe's steps to keep; may be called again for the same step after a kill.
    every
        Seconds between two writings of the state.
    stop
        Step after which to return early, with the state written.
    """
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    state = _start(recipe, work / "state.pt")
    if state.step == 0 and 0 in recipe.kept:
        keep(state)
    last = time.monotonic()
    while state.step < recipe.steps and state.step != stop:
        began = time.process_time()
        rows = draw(
            train,
            rows=recipe.batch,
            context=recipe.context,
            tempering=recipe.tempering,
            seed=recipe.seed,
            step=state.step,
        )
        state.losses.append(learn(state, rows, recipe))
        state.step += 1
        state.seconds += time.process_time() - began
        if state.step in recipe.kept:
            keep(state)
            state.losses = []
            last = -math.inf  # a kept step is never trained twice
        if time.monotonic() - last > every:
            _write(state, work / "state.pt")
            print(
                f"{recipe.name}: step {state.step}, {state.seconds:.0f} CPU s, loss {np.mean(state.losses or 0):.3f}",
                flush=True,
            )
            last = time.monotonic()
    _write(state, work / "state.pt")
    return state


def learn(state: State, rows: Tensor, recipe: Recipe) -> float:
    """One step; returns the cross-entropy in nats per token (without a router's balancing loss)."""
    for group in state.optimiser.param_groups:
        group["lr"] = rate(recipe, state.step)
    state.model.train()
    output = state.model(input_ids=rows, labels=rows, use_cache=False)
    output.loss.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    balance = getattr(output, "aux_loss", None)
    extra = 0.0 if balance is None else state.model.config.router_aux_loss_coef * float(balance.detach())
    return float(output.loss.detach()) - extra


def rate(recipe: Recipe, step: int) -> float:
    """Learning rate: a straight warm-up, a plateau, and over the last quarter a cosine down to a twentieth.

    The plateau keeps the early checkpoints free of the run's length (Hu et al. 2024, "warm-up, stable, decay").
    """
    if step < recipe.warm_up:
        return recipe.peak * (step + 1) / recipe.warm_up
    falling = recipe.steps // 4
    done = max(step - (recipe.steps - falling), 0) / falling
    return recipe.peak * (0.05 + 0.475 * (1 + math.cos(math.pi * done)))


def shipped(model: Any) -> Any:
    """The model as it ships: its weights rounded to float16, in a copy of the wider type."""
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.copy_(parameter.half().float())
    return copied


def write_weights(model: Any, folder: Path, variant: str | None) -> None:
    """Write weights as float16 into a folder, under the library's name for a variant of a model."""
    new = folder / ".new"
    halved = copy.deepcopy(model).half()
    if hasattr(halved.config, "output_router_logits"):
        halved.config.output_router_logits = False  # needed for the balancing loss only
    halved.save_pretrained(new, variant=variant)
    for path in sorted(new.iterdir()):
        path.chmod(0o644)
        path.replace(folder / path.name)
    shutil.rmtree(new)


def _start(recipe: Recipe, path: Path) -> State:
    model = fresh(recipe)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.peak,
        betas=(0.9, 0.95),
        fused=True,
    )
    state = State(model, optimiser)
    if path.exists():
        stored = torch.load(path, weights_only=True)
        model.load_state_dict(stored["model"])
        optimiser.load_state_dict(stored["optimiser"])
        state.step, state.losses, state.seconds = stored["step"], stored["losses"], stored["seconds"]
    return state


def _write(state: State, path: Path) -> None:
    new = path.with_suffix(".new")
    torch.save(
        {
            "model": state.model.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "step": state.step,
            "losses": state.losses,
            "seconds": state.seconds,
        },
        new,
    )
    new.replace(path)


def write_json(value: Any, path: Path) -> None:
    """Write a JSON file in one go."""
    new = path.with_name(f".{path.name}")
    new.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
