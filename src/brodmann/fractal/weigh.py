"""Everything that is measured of one checkpoint: spectra on both grids, nulls, initialisations, plain quantities.

A checkpoint's numbers are plain arrays by name, so that a study of many can be stopped and go on. Draws of nulls and
replicates depend on the seed and on names of layers, not on the checkpoint: what is compared over training is paired.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from brodmann.fractal import walk
from brodmann.fractal.baselines import eigenvalues, hill_exponent
from brodmann.fractal.grids import Grid, geometric, whole
from brodmann.fractal.initialisation import initialisation
from brodmann.fractal.network import LayerCounts, NetworkSpectrum, measure
from brodmann.fractal.one_hop import numbers
from brodmann.models.chains import chain
from brodmann.models.edges import Edges
from brodmann.models.shards import Checkpoint
from brodmann.settings import FractalSettings

Arrays = dict[str, NDArray[np.generic]]
Say = Callable[[str, float], None]

GRIDS = ("official", "scale_free")
"""Distances 1/|w| in whole numbers, and rms/|w| on a geometric grid."""
NULLS = ("matched_scale", "permuted_entries", "permuted_rows")
SLOPE_BINS = np.linspace(0.0, 4.0, 161)
"""Bins of the distribution of neurons' slopes; what lies outside is counted at the ends."""


def grids(settings: FractalSettings) -> tuple[Grid, Grid]:
    """Grids in the order of `GRIDS`."""
    return whole(settings.r_max), geometric()


def weigh(
    checkpoint: Checkpoint, settings: FractalSettings, *, seed: int, workers: int, say: Say, initial: bool = True
) -> Arrays:
    """Measure one checkpoint.

    Parameters
    ----------
    checkpoint
        Where the weights are.
    settings
        What is measured.
    seed
        Of nulls and replicates.
    workers
        Threads.
    say
        Told the name of each part and its finished share.
    initial
        Whether networks are drawn from the published initialisation.

    Returns
    -------
    dict of arrays
        For each grid ``GRID.tau``, ``.alpha``, ``.f``, ``.r_squared`` (q,), ``.scalars`` (alpha0, width, asymmetry,
        neurons kept, neurons, share of weights beyond the grid), ``.replicates`` (2, draw), ``.nulls`` (null, draw, 2),
        ``.initial`` (draw, 2; where asked for), ``.layers`` (layer, 3: alpha0, width, kept), ``.kinds`` (kind, 2) with
        ``.kind_names``, ``.slopes`` (bin,), ``.flags`` (text,); then ``layer``, ``layer_kind``, ``layer_block``,
        ``baselines`` (4,: root mean square, mean weighted degree, share of weights within r_max, mean tail exponent),
        ``neuron_slope`` and ``neuron_layer`` (kept neurons on the official grid).
    """
    both = grids(settings)
    steps = chain(checkpoint, settings.chain)
    say("count", 0.0)
    counted = walk.count(
        checkpoint, steps, both, gate=settings.gate, workers=workers, say=lambda share: say("count", share)
    )
    found: Arrays = {}
    for at, (name, grid) in enumerate(zip(GRIDS, both, strict=True)):
        say("spectrum", at / 2)
        real = measure(
            counted.layers[at], grid, min_degree=settings.min_degree, draws=settings.fractal_bootstraps, seed=seed
        )
        found |= {f"{name}.{key}": value for key, value in _described(real).items()}
        if not at:
            found |= _neurons(real)
    found |= _names(counted.layers[0])
    points = {name: np.full((len(NULLS), settings.fractal_nulls, 2), np.nan) for name in GRIDS}
    for number in range(settings.fractal_nulls):
        for k, null in enumerate(NULLS):
            say("nulls", (number + k / len(NULLS)) / settings.fractal_nulls)
            drawn = _drawn(null, checkpoint, counted, settings, [seed, number, k], workers)
            for name, grid, layers in zip(GRIDS, both, drawn, strict=True):
                points[name][k, number] = _point(layers, grid, settings)
    for name in GRIDS:
        found[f"{name}.nulls"] = points[name]
    if initial:
        found |= _initial(checkpoint, counted, steps, settings, seed, say)
    say("plain quantities", 0.0)
    found["baselines"] = _baselines(checkpoint, counted, settings, workers, say)
    return found


def _initial(
    checkpoint: Checkpoint,
    counted: walk.Counted,
    steps: Sequence[Edges],
    settings: FractalSettings,
    seed: int,
    say: Say,
) -> Arrays:
    say("initialisations", 0.0)
    start = initialisation(checkpoint.config, steps)
    found: Arrays = {"initialisation": np.array([start.said], dtype=np.str_)}
    for name, grid in zip(GRIDS, counted.grids, strict=True):
        drawn = [
            _point(walk.noise(counted, grid, np.random.default_rng([seed, 7, k]), start.deviations), grid, settings)
            for k in range(settings.initialisations)
        ]
        found[f"{name}.initial"] = np.array(drawn)
    return found


def _drawn(
    null: str, checkpoint: Checkpoint, counted: walk.Counted, settings: FractalSettings, seed: list[int], workers: int
) -> Sequence[Sequence[LayerCounts]]:
    """Layers of one draw of a null, by grid."""
    if null == "permuted_rows":
        return walk.row_permuted(checkpoint, counted, seed, gate=settings.gate, workers=workers)
    draw = walk.noise if null == "matched_scale" else walk.permuted
    return [draw(counted, grid, np.random.default_rng([*seed, at])) for at, grid in enumerate(counted.grids)]


def _point(layers: Sequence[LayerCounts], grid: Grid, settings: FractalSettings) -> tuple[float, float]:
    found = measure(layers, grid, min_degree=settings.min_degree)
    return found.whole.alpha0, found.whole.width


def _described(found: NetworkSpectrum) -> Arrays:
    whole_, drawn = found.whole, found.replicates
    scalars = [whole_.alpha0, whole_.width, whole_.asymmetry, found.kept, found.neurons, found.beyond]
    layers = [(layer.alpha0, layer.width, float(layer.kept.sum())) for layer in found.layers]
    inside = np.clip(whole_.slopes, SLOPE_BINS[0], SLOPE_BINS[-1])
    return {
        "tau": whole_.tau, "alpha": whole_.alpha, "f": whole_.f, "r_squared": whole_.r_squared, "q": whole_.q,
        "scalars": np.array(scalars), "layers": np.array(layers),
        "kinds": np.array([(each.alpha0, each.width) for each in found.kinds.values()]).reshape(-1, 2),
        "kind_names": np.array(list(found.kinds), dtype=np.str_),
        "slopes": np.histogram(inside, SLOPE_BINS)[0],
        "replicates": np.empty((2, 0)) if drawn is None else np.stack([drawn.alpha0, drawn.width]),
        "flags": np.array(whole_.flags, dtype=np.str_),
    }  # fmt: skip


def _neurons(found: NetworkSpectrum) -> Arrays:
    at = np.repeat(np.arange(len(found.layers)), [len(layer.slopes) for layer in found.layers])
    return {"neuron_slope": found.whole.slopes.astype(np.float32), "neuron_layer": at}


def _names(layers: Sequence[LayerCounts]) -> Arrays:
    return {
        "layer": np.array([layer.name for layer in layers], dtype=np.str_),
        "layer_kind": np.array([layer.kind for layer in layers], dtype=np.str_),
        "layer_block": np.array([layer.block for layer in layers]),
    }


def _baselines(
    checkpoint: Checkpoint, counted: walk.Counted, settings: FractalSettings, workers: int, say: Say
) -> NDArray[np.float64]:
    """Root mean square, mean weighted degree, share of weights within the official grid, mean tail exponent."""
    entries = np.array([each.edges.sources * each.edges.targets for each in counted.weighed for _ in each.size], float)
    rms = np.array([size.rms for each in counted.weighed for size in each.size])
    magnitude = np.array([size.mean_magnitude for each in counted.weighed for size in each.size])
    sources = sum(layer.counts.shape[0] for layer in counted.layers[0])
    grid = counted.grids[0]
    totals = np.sum([each.totals[0] for each in counted.weighed], axis=0)
    within = totals[: grid.beyond].sum() / totals.sum()
    tail = _tail(checkpoint, counted, settings, workers, say) if settings.tails else np.nan
    return np.array([np.sqrt((rms**2) @ entries / entries.sum()), magnitude @ entries / sources, within, tail])


def _tail(checkpoint: Checkpoint, counted: walk.Counted, settings: FractalSettings, workers: int, say: Say) -> float:
    """Mean exponent over matrices whose smaller side is at most `tails_up_to`."""
    chosen = [
        each.edges for each in counted.weighed if min(each.edges.sources, each.edges.targets) <= settings.tails_up_to
    ]
    exponents = walk.each_matrix(
        checkpoint, chosen, lambda matrix: hill_exponent(eigenvalues(numbers(matrix))).exponent, settings.gate,
        workers, lambda share: say("tails", share),
    )  # fmt: skip
    known = [each for each in exponents if np.isfinite(each)]
    return float(np.mean(known)) if known else float("nan")
