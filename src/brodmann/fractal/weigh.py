"""Everything that is measured of one checkpoint: spectra on both grids, nulls, initialisations, plain quantities.

A checkpoint's numbers are plain arrays by name, so that a study of many can be stopped and go on. Draws of nulls and
replicates depend on the seed and on names of layers, not on the checkpoint: what is compared over training is paired.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from brodmann.fractal import modes, walk
from brodmann.fractal.baselines import eigenvalues, hill_exponent, stable_rank
from brodmann.fractal.compared import NULLS
from brodmann.fractal.grids import Grid, geometric, whole
from brodmann.fractal.initialisation import initialisation
from brodmann.fractal.network import LayerSpectrum, NetworkSpectrum
from brodmann.fractal.one_hop import Matrix, numbers
from brodmann.fractal.resampling import Replicates
from brodmann.fractal.walk import Weighed
from brodmann.models.chains import chain
from brodmann.models.shards import Checkpoint
from brodmann.settings import FractalSettings

Arrays = dict[str, NDArray[np.generic]]
Say = Callable[[str, float], None]
Keep = Callable[[str, Callable[[], Arrays]], Arrays]

GRIDS = ("official", "scale_free")
"""Distances 1/|w| in whole numbers, and rms/|w| on a geometric grid."""
SLOPE_BINS = np.linspace(0.0, 4.0, 161)
"""Bins of the distribution of neurons' slopes; what lies outside is counted at the ends."""
_RESAMPLED = 11


def grids(settings: FractalSettings) -> tuple[Grid, Grid]:
    """Grids in the order of `GRIDS`."""
    return whole(settings.r_max), geometric()


def weigh(
    checkpoint: Checkpoint,
    settings: FractalSettings,
    *,
    seed: int,
    workers: int,
    say: Say,
    initial: bool = True,
    keep: Keep = lambda _, work: work(),
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
        Whether networks are drawn from the initialisation.
    keep
        Called with the name of a part and what computes it; may give what an earlier run computed instead.

    Returns
    -------
    dict of arrays
        For each grid ``GRID.tau``, ``.alpha``, ``.f``, ``.r_squared`` (q,), ``.scalars`` (alpha0, width, asymmetry,
        neurons kept, neurons, share of weights beyond the grid, alpha0 and width on common radii), ``.replicates``
        (4, draw: as of nulls), ``.halves`` (2, layer, 2), ``.nulls`` (null, draw, 4: alpha0, width, and both on common
        radii), ``.initial`` (draw, 4; where asked for), ``.layers`` (layer, 3: alpha0, width, kept), ``.kinds`` (kind,
        2) with ``.kind_names``, ``.slopes`` (bin,), ``.flags`` (text,); then ``layer``, ``layer_kind``,
        ``layer_block``, ``plain.NAME`` for each of `compared.PLAIN` but the step, ``formats`` of the files,
        ``neuron_slope`` and ``neuron_layer`` (kept neurons on the official grid). Of several samples all are means,
        ``.slopes`` and neurons are those of all, and replicates draw samples again.
    """
    settings = modes.resolved(settings)
    steps = chain(checkpoint, settings.chain)
    share = modes.share(steps, settings)
    say("count", 0.0)
    networks = modes.open_networks(
        checkpoint, steps, grids(settings), settings, seed=seed, workers=workers, say=lambda share: say("count", share)
    )
    say("spectrum", 0.0)
    found = dict(keep("spectrum", lambda: _spectra(networks, settings, seed)))
    found["share"] = np.array(share)
    networks = networks.spent()

    def draw(what: str, number: int, work: Callable[[Sequence[int]], list[modes.Point]]) -> NDArray[np.generic]:
        place = [seed, zlib.crc32(what.encode()), number]  # by name: more draws, or another null, leave it as it is
        return keep(f"{what} {number}", lambda: {"points": np.array(work(place))})["points"]

    points = np.full((len(GRIDS), len(NULLS), settings.fractal_nulls, 4), np.nan)
    for number in range(settings.fractal_nulls):
        for k, null in enumerate(NULLS):
            say("nulls", (number + k / len(NULLS)) / settings.fractal_nulls)
            points[:, k, number] = draw(null, number, partial(networks.null, null))
    found["formats"] = np.array(sorted({form for each in networks.weighed for form in each.formats}), dtype=np.str_)
    found |= {f"{name}.nulls": points[at] for at, name in enumerate(GRIDS)}
    if initial:
        start = initialisation(checkpoint.config, steps, settings.initial_deviation)
        found["initialisation"] = np.array([start.said], dtype=np.str_)
        found["guessed"] = np.array(start.guessed)
        drawn = []
        for number in range(settings.initialisations):
            say("initialisations", number / settings.initialisations)
            drawn.append(draw("initialisation", number, partial(networks.initial, start.deviations)))
        found |= {f"{name}.initial": np.array(drawn)[:, at] for at, name in enumerate(GRIDS)}
    say("plain quantities", 0.0)

    def plain() -> Arrays:
        known = plain_quantities(checkpoint, networks.weighed, grids(settings)[0], settings, workers, say)
        return {f"plain.{name}": np.array(value) for name, value in known.items()}

    found |= keep("plain quantities", plain)
    return found


def _spectra(networks: modes.Networks, settings: FractalSettings, seed: int) -> Arrays:
    """Numbers of the network itself on both grids."""
    found: Arrays = {}
    for name, spectra in zip(GRIDS, networks.spectra(), strict=True):
        found |= {f"{name}.{key}": value for key, value in _described(spectra, settings, seed).items()}
        if name == GRIDS[0]:
            found |= _neurons(spectra) | _names(spectra[0].layers)
    return found


def _described(spectra: Sequence[NetworkSpectrum], settings: FractalSettings, seed: int) -> Arrays:
    """Numbers of one network, or means over several with replicates that draw these again."""
    every = [_of_one(each) for each in spectra]
    if len(every) == 1:
        return every[0]
    found: Arrays = {
        name: _mean([each[name] for each in every])
        for name in ("tau", "alpha", "f", "r_squared", "q", "scalars", "layers")
    }
    names = list(dict.fromkeys(kind for each in spectra for kind in each.kinds))
    kinds = [
        [(own.kinds[k].alpha0, own.kinds[k].width) if k in own.kinds else (np.nan,) * 2 for k in names]
        for own in spectra
    ]
    rng = np.random.default_rng([seed, _RESAMPLED])  # the same samples are drawn at every checkpoint
    drawn = rng.integers(len(spectra), size=(settings.fractal_bootstraps, len(spectra)))
    points = np.array([(each.whole.alpha0, each.whole.width, *each.trimmed) for each in spectra])
    found |= {
        "kinds": _mean([np.reshape(each, (-1, 2)) for each in kinds]), "kind_names": np.array(names, dtype=np.str_),
        "halves": np.empty((2, 0, 2)),  # a sample draws its targets too
        "slopes": np.sum([each["slopes"] for each in every], axis=0), "replicates": points[drawn].mean(axis=1).T,
        "flags": np.array(_flags(spectra), dtype=np.str_),
    }  # fmt: skip
    return found


def _flags(spectra: Sequence[NetworkSpectrum]) -> list[str]:
    """First flag of each kind, with the number of samples that have it."""
    found: dict[str, list[str]] = {}
    for flag in (flag for each in spectra for flag in each.whole.flags):
        found.setdefault(re.split("[,:]", flag)[0], []).append(flag)
    return [f"{flags[0]} ({len(flags)} of {len(spectra)} samples)" for flags in found.values()]


def _mean(arrays: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """Mean of the arrays where they are numbers; NaN where none is."""
    values = np.array(arrays, dtype=np.float64)
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    found: NDArray[np.float64] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return found


def _of_one(found: NetworkSpectrum) -> Arrays:
    whole_, drawn, halves = found.whole, found.replicates, found.halves
    scalars = [whole_.alpha0, whole_.width, whole_.asymmetry, found.kept, found.neurons, found.beyond, *found.trimmed]
    layers = [(layer.alpha0, layer.width, float(layer.kept.sum())) for layer in found.layers]
    inside = np.clip(whole_.slopes, SLOPE_BINS[0], SLOPE_BINS[-1])
    return {
        "tau": whole_.tau, "alpha": whole_.alpha, "f": whole_.f, "r_squared": whole_.r_squared, "q": whole_.q,
        "scalars": np.array(scalars), "layers": np.array(layers),
        "kinds": np.array([(each.alpha0, each.width) for each in found.kinds.values()]).reshape(-1, 2),
        "kind_names": np.array(list(found.kinds), dtype=np.str_),
        "slopes": np.histogram(inside, SLOPE_BINS)[0],
        "replicates": np.concatenate([_pair(drawn), _pair(found.common_replicates)]),
        "halves": np.empty((2, 0, 2)) if halves is None else np.stack([halves.alpha0, halves.width]),
        "flags": np.array(whole_.flags, dtype=np.str_),
    }  # fmt: skip


def _pair(drawn: Replicates | None) -> NDArray[np.float64]:
    return np.empty((2, 0)) if drawn is None else np.stack([drawn.alpha0, drawn.width])


def _neurons(spectra: Sequence[NetworkSpectrum]) -> Arrays:
    """Slope and layer of every kept neuron, one network after the other."""
    slopes = np.concatenate([each.whole.slopes for each in spectra])
    at = [np.repeat(np.arange(len(each.layers)), [len(layer.slopes) for layer in each.layers]) for each in spectra]
    return {"neuron_slope": slopes.astype(np.float32), "neuron_layer": np.concatenate(at)}


def _names(layers: Sequence[LayerSpectrum]) -> Arrays:
    return {
        "layer": np.array([layer.name for layer in layers], dtype=np.str_),
        "layer_kind": np.array([layer.kind for layer in layers], dtype=np.str_),
        "layer_block": np.array([layer.block for layer in layers]),
    }


def plain_quantities(
    checkpoint: Checkpoint, weighed: Sequence[Weighed], grid: Grid, settings: FractalSettings, workers: int, say: Say
) -> dict[str, float]:
    """Quantities that need no graph: those of `compared.PLAIN` but the step.

    Root mean square of all weights; mean over source neurons of the sum of |w|; share of weights within the official
    grid; and means over matrices of the tail exponent and the stable rank (NaN where ``settings.tails`` is off).
    """
    entries = np.array([each.edges.sources * each.edges.targets for each in weighed for _ in each.size], float)
    rms = np.array([size.rms for each in weighed for size in each.size])
    magnitude = np.array([size.mean_magnitude for each in weighed for size in each.size])
    sources = sum({each.edges.source: each.edges.sources for each in weighed}.values())
    totals = np.sum([each.totals[0] for each in weighed], axis=0)
    tail, rank = _of_spectra(checkpoint, weighed, settings, workers, say) if settings.tails else (np.nan, np.nan)
    return {
        "rms": float(np.sqrt((rms**2) @ entries / entries.sum())),
        "weighted_degree": float(magnitude @ entries / sources),
        "share_within": float(totals[: grid.beyond].sum() / totals.sum()),
        "tail_exponent": tail,
        "stable_rank": rank,
    }


def _of_spectra(
    checkpoint: Checkpoint, weighed: Sequence[Weighed], settings: FractalSettings, workers: int, say: Say
) -> tuple[float, float]:
    """Mean tail exponent and stable rank of the matrices whose smaller side is at most `tails_up_to`."""
    chosen = [each.edges for each in weighed if min(each.edges.sources, each.edges.targets) <= settings.tails_up_to]
    if not chosen:
        return float("nan"), float("nan")

    def work(matrix: Matrix) -> NDArray[np.float64]:
        values = eigenvalues(numbers(matrix))
        return np.array([hill_exponent(values).exponent, stable_rank(values)])

    with threadpool_limits(1):  # matrices share the cores already; threads of threads wait for each other
        found = walk.each_matrix(checkpoint, chosen, work, settings.gate, workers, lambda share: say("tails", share))
    tail, rank = _mean(found)
    return float(tail), float(rank)
