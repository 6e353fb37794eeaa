"""A model's weights as a study of them is given them, what such a study cannot read, and what it costs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from brodmann.settings import FractalSettings, LoadSettings, MapSettings

if TYPE_CHECKING:
    from brodmann.models.shards import Checkpoint

_WEIGHTS_A_SECOND, _NEURONS_A_SECOND, _SUMS_A_SECOND = 1e8, 6e4, 2e9
"""Weights counted on two grids and shuffled, neurons measured, and additions of shortest paths, by one core."""
_USUAL_SAMPLE = 64
"""Neurons of a layer that paths take where nothing is said."""
_DIJKSTRA = 20
"""How much longer undirected paths take."""


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
    read = 4.0 * max(weights / 100, 1e6)
    sampled = settings.sampled or (_USUAL_SAMPLE if settings.distance == "path" else 0)
    networks = 1 + 3 * settings.fractal_nulls + settings.initialisations
    if sampled:
        width = [min(each, sampled) for each in sources.values()]
        drawn = 2 * networks * settings.samples  # two grids
        seconds = weights / _WEIGHTS_A_SECOND + drawn * sum(width) / _NEURONS_A_SECOND
        if settings.distance == "path":  # from every layer to every later one
            pairs = sum(width) ** 2 / 2
            seconds += drawn * pairs * sampled * (_DIJKSTRA if settings.undirected else 1) / _SUMS_A_SECOND
        return Cost(weights, neurons, seconds, read + 8.0 * sum(width) * (settings.r_max + 50) * settings.samples)
    seconds = weights * (1 + settings.fractal_nulls) / _WEIGHTS_A_SECOND + neurons * 2 * networks / _NEURONS_A_SECOND
    return Cost(weights, neurons, seconds, 2.5 * neurons * (settings.r_max + 50) * 4 + read)
