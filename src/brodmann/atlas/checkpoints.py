"""A model's weights as a study of them is given them, what such a study cannot read, and what it costs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from brodmann.settings import FractalSettings, LoadSettings, MapSettings

if TYPE_CHECKING:
    from brodmann.models.shards import Checkpoint

_WEIGHTS_A_SECOND, _NEURONS_A_SECOND = 5e7, 3e4
"""Weights counted on two grids and shuffled, and neurons measured, by one core."""


@dataclass(frozen=True)
class Cost:
    """What the graph of one checkpoint costs."""

    weights: int
    neurons: int
    """Those that are sources."""
    seconds: float
    """By one core, nulls included."""
    memory: float
    """Bytes."""


def checkpoint_of(model: str, load: LoadSettings, seed: int = 0) -> "Checkpoint":
    """A model's weights, to be read tensor by tensor; it is opened only where its files cannot be read so.

    Raises
    ------
    ModelError, WeightsError
        If there is no such model, or its files are not whole.
    """
    from brodmann.models.shards import from_model, only_opened, open_checkpoint

    if not only_opened(model):
        return open_checkpoint(model, load.revision)
    from brodmann.models import load as load_model

    subject = load_model(
        model, revision=load.revision, dtype=load.dtype, seed=seed,
        trust_remote_code=load.trust_remote_code, allow_pickle=load.allow_pickle, check=False,
    )  # fmt: skip
    return from_model(subject.model, model)


def refuse_weights(model: str, settings: MapSettings, revision: str | None = None) -> None:
    """Refuse a model whose files or architecture cannot be walked, before anything is written.

    Models that must be opened for it are not looked into here.

    Raises
    ------
    ModelError, WeightsError
        Names the file, the tensor or the architecture.
    """
    from brodmann.models.chains import chain
    from brodmann.models.early import check_hub, check_name
    from brodmann.models.shards import only_opened

    if not Path(model).is_dir():  # what a folder lacks for this is said where its tensors are looked at
        check_name(model, allow_pickle=settings.load.allow_pickle)
        check_hub(model, revision)
    if not only_opened(model):
        chain(checkpoint_of(model, replace(settings.load, revision=revision)), settings.fractal.chain)


def graph_cost(checkpoint: "Checkpoint", settings: FractalSettings) -> Cost:
    """Reckon size, time and memory of one checkpoint's graph from headers alone."""
    from brodmann.models.chains import chain

    steps = [each for each in chain(checkpoint, settings.chain) if each.tensors]
    sources = {each.source: each.sources for each in steps}
    weights, neurons = sum(each.sources * each.targets * len(each.tensors) for each in steps), sum(sources.values())
    networks = 2 * (1 + 3 * settings.fractal_nulls)  # two grids
    seconds = weights * (1 + settings.fractal_nulls) / _WEIGHTS_A_SECOND + neurons * networks / _NEURONS_A_SECOND
    table = neurons * (settings.r_max + 50) * 4
    return Cost(weights, neurons, seconds, 3.0 * table + 4.0 * max(weights / 100, 1e6))
