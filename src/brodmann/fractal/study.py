"""Is the graph of weights organised beyond its scale, and did that grow in training? The study of the weight graph.

Spectra of one checkpoint or of a series (`weigh`), the degree of emergence against step 0 or, where there is none,
against networks drawn from the initialisation, the same degree of three nulls, plain quantities beside it,
and correlations with benchmark scores. Weights alone are read: no model is built and nothing is recorded.
"""

import copy
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from brodmann.errors import SettingsError, WeightsError
from brodmann.fractal import claims, emergence, modes
from brodmann.fractal.claims_scores import comparable, correlations
from brodmann.fractal.compared import NULLS, PLAIN
from brodmann.fractal.emergence import Estimate, Point
from brodmann.fractal.resampling import Replicates
from brodmann.fractal.scores import FEWEST, read_scores
from brodmann.fractal.weigh import GRIDS, SLOPE_BINS, Arrays, Keep, weigh
from brodmann.models.shards import Checkpoint
from brodmann.partial import Partial
from brodmann.plain import digest, to_dict
from brodmann.ranges import check_ranges
from brodmann.settings import FractalSettings

Progress = Callable[[str, float], None]

_SCALARS = ("alpha0", "width", "asymmetry", "kept", "neurons", "beyond", "common_alpha0", "common_width")


def study(
    checkpoints: Sequence[Checkpoint],
    *,
    steps: Sequence[float | int] = (),
    settings: FractalSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    partial: Partial | None = None,
    workers: int | None = None,
    scores: pd.DataFrame | None = None,
) -> xr.Dataset:
    """Measure the weight graph of a checkpoint, or of a series of one training.

    Parameters
    ----------
    checkpoints
        In the order of training; the architecture of all is that of the first.
    steps
        Training step of each; of a single checkpoint it may be left out, it is then the end of a training whose
        beginning is drawn from the initialisation (`initialisation.initialisation`).
    settings
        What is measured.
    seed
        Of nulls, replicates and initialisations.
    progress
        Told the name of each part and its finished share.
    partial
        Keeps finished checkpoints.
    workers
        Threads; as many as there are cores where none are given.
    scores
        Scores to compare with, as `brodmann.fractal.scores.read_scores` gives them, where the settings name no table.

    Returns
    -------
    xarray.Dataset
        Over ``step``: ``alpha0``, ``width``, ``asymmetry``, ``kept``, ``neurons``, ``beyond``, ``common_alpha0`` and
        ``common_width`` (on the radii that at least 20 edges have), ``common_emergence`` (grid, step); ``tau``,
        ``alpha``, ``f``, ``r_squared`` (grid, step, q); ``replicate_alpha0``, ``replicate_width`` (grid, step,
        replicate); ``emergence``, ``emergence_deviation`` (grid, step), ``emergence_interval`` (grid, step, bound);
        ``null_alpha0``, ``null_width``, ``null_emergence`` (grid, null, draw, step); ``excess``, ``excess_p`` (grid,
        null, step), ``excess_interval`` (..., bound); ``initial`` (grid, initialisation, exponent: alpha0 and width)
        where there is no step 0; ``kind_alpha0``, ``kind_width`` (grid, kind, step); ``layer_alpha0``,
        ``layer_width``, ``layer_kept`` (grid, step, part), parts with ``part_kind`` and ``part_block``; ``slopes``
        (grid, step, slope_bin), counts of neurons; ``baseline`` (quantity, step); ``neuron_slope`` (neuron) of the
        last checkpoint on the official grid; with scores ``score_pearson``, ``score_spearman``, ``score_partial``
        (score, compared) and their intervals (..., bound), ``score_sign`` (-1 where lower is better) and
        ``score_inflation`` (of the variance, by dependent neighbours). ``findings`` in the attributes, and ``mode``
        in words with ``sampled`` and ``samples``: numbers of different modes are not to be compared. With samples all
        numbers are means over them, ``slopes`` and ``neuron_slope`` hold the neurons of all, and replicates draw
        samples again.

    Raises
    ------
    SettingsError
        If steps do not fit the checkpoints.
    WeightsError
        If weights cannot be read or make no network.
    """
    started = time.perf_counter()
    settings = modes.resolved(settings or FractalSettings())
    check_ranges(settings)
    places = _steps(checkpoints, steps)
    table = _scores(settings, scores, checkpoints, places)
    say = progress or (lambda _name, _share: None)
    threads = workers or os.cpu_count() or 1
    own_start = len(places) > 1 and places[0] == 0
    measured: list[Arrays] = []
    for number, checkpoint in enumerate(checkpoints):
        key = f"weighed {digest([number, checkpoint.name, checkpoint.revision, to_dict(settings), seed])}"
        kept = None if partial is None else partial.get(key)
        if kept is None:
            told = _within(say, checkpoint, number, len(checkpoints))
            initial = number == 0 and not own_start
            with _named(checkpoint):
                kept = weigh(
                    checkpoint,
                    settings,
                    seed=seed,
                    workers=threads,
                    say=told,
                    initial=initial,
                    keep=_kept(partial, key),
                )
            if partial is not None:
                partial.put(key, kept)
        _refuse_other_network(kept, measured, checkpoint)
        measured.append(kept)
    say("findings", 0.0)
    result = _assembled(measured, places, checkpoints)
    result = result.merge(_emerged(measured, result, own_start))
    if table is not None:
        result = result.merge(correlations(result, table, _model(checkpoints), np.random.default_rng(seed)))
    result.attrs = _facts(measured, checkpoints, settings, own_start) | {
        "seed": seed, "seconds": time.perf_counter() - started,
    }  # fmt: skip
    result.attrs["findings"] = json.dumps([each.to_dict() for each in claims.findings(result, seed)])
    return result


def _facts(
    measured: Sequence[Arrays], checkpoints: Sequence[Checkpoint], settings: FractalSettings, own_start: bool
) -> dict[str, Any]:
    """What was measured and how, for the result's attributes."""
    first, last = measured[0], measured[-1]
    return {
        "title": f"Weight graph of {checkpoints[-1].name}",
        "settings": json.dumps(to_dict(settings)),
        "reference": "step 0" if own_start else f"initialisation, {first['initialisation'][0]}",
        "own_start": int(own_start),
        "guessed": int(not own_start and bool(first["guessed"])),
        "formats": json.dumps(last["formats"].tolist()),
        "mixed_formats": int(any(each["formats"].tolist() != first["formats"].tolist() for each in measured)),
        "mode": modes.words(settings),
        "sampled": settings.sampled,
        "samples": settings.samples if settings.sampled else 0,
        "sampled_share": float(last["share"]),
        "flags": json.dumps({grid: last[f"{grid}.flags"].tolist() for grid in GRIDS}),
    }


def _scores(
    settings: FractalSettings, own: pd.DataFrame | None, checkpoints: Sequence[Checkpoint], places: Sequence[float]
) -> pd.DataFrame | None:
    """Scores to compare with; those of a table that the user names must be there before anything is measured."""
    if settings.scores is not None:
        table = read_scores(settings.scores)
        if not comparable(table, _model(checkpoints), places):
            raise WeightsError(
                f"{settings.scores} has no task with values at {FEWEST} or more of these {len(places)} checkpoints"
            )
        return table
    return own if own is not None and comparable(own, _model(checkpoints), places) else None


@contextmanager
def _named(checkpoint: Checkpoint) -> Iterator[None]:
    """Say of which checkpoint an error speaks."""
    try:
        yield
    except WeightsError as error:
        called = f"{checkpoint.name}{f' {checkpoint.revision}' if checkpoint.revision else ''}"
        raise error if checkpoint.name in str(error) else WeightsError(f"{called}: {error}") from None


def _kept(partial: Partial | None, key: str) -> Keep:
    """Parts of a checkpoint that a stopped run finished."""

    def keep(name: str, work: Callable[[], Arrays]) -> Arrays:
        found = None if partial is None else partial.get(f"{key} {name}")
        if found is None:
            found = work()
            if partial is not None:
                partial.put(f"{key} {name}", found)
        return found

    return keep


def _steps(checkpoints: Sequence[Checkpoint], steps: Sequence[float | int]) -> list[float]:
    if not checkpoints:
        raise SettingsError("no checkpoint was given")
    if not steps and len(checkpoints) == 1:
        return [float("nan")]
    if len(steps) != len(checkpoints):
        raise SettingsError(f"{len(checkpoints)} checkpoints and {len(steps)} steps: each needs one")
    if any(one >= other for one, other in pairwise(steps)):
        raise SettingsError("the steps must rise")
    return [float(each) for each in steps]


def _within(say: Progress, checkpoint: Checkpoint, number: int, count: int) -> Progress:
    if count == 1:
        return say
    called = checkpoint.revision or checkpoint.name.rstrip("/").rpartition("/")[2]
    return lambda name, share: say(f"{called} ({number + 1}/{count}): {name}", share)


def _model(checkpoints: Sequence[Checkpoint]) -> str:
    return checkpoints[-1].name


def _refuse_other_network(kept: Arrays, before: Sequence[Arrays], checkpoint: Checkpoint) -> None:
    """A series is one network: the same layers of as many neurons."""
    if not before:
        return
    first = before[0]
    neurons = [int(each["official.scalars"][4]) for each in (first, kept)]
    if kept["layer"].tolist() != first["layer"].tolist() or neurons[0] != neurons[1]:
        raise WeightsError(
            f"{checkpoint.name} {checkpoint.revision or ''} has other layers or neurons than the first checkpoint:"
            " a series is one network through its training"
        )


def _stack(measured: Sequence[Arrays], name: str) -> NDArray[np.float64]:
    """(grid, step, ...) of an array that is kept by grid."""
    return np.array([[each[f"{grid}.{name}"] for each in measured] for grid in GRIDS], dtype=np.float64)


def _assembled(measured: Sequence[Arrays], places: Sequence[float], checkpoints: Sequence[Checkpoint]) -> xr.Dataset:
    first, last = measured[0], measured[-1]
    by_step = ("grid", "step")
    scalars = _stack(measured, "scalars")
    variables: dict[str, Any] = {name: (by_step, scalars[:, :, at]) for at, name in enumerate(_SCALARS)}
    variables |= {name: ((*by_step, "q"), _stack(measured, name)) for name in ("tau", "alpha", "f", "r_squared")}
    layers = _stack(measured, "layers")
    for at, name in enumerate(("layer_alpha0", "layer_width", "layer_kept")):
        variables[name] = ((*by_step, "part"), layers[..., at])
    names = sorted({str(kind) for each in measured for kind in each["official.kind_names"]}, key=_in_order(first))
    kinds = np.full((2, len(names), len(measured), 2), np.nan)
    for g, grid in enumerate(GRIDS):
        for s, each in enumerate(measured):
            for k, kind in enumerate(each[f"{grid}.kind_names"].tolist()):
                if kind in names:
                    kinds[g, names.index(kind), s] = each[f"{grid}.kinds"][k]
    variables |= {f"kind_{n}": (("grid", "kind", "step"), kinds[..., at]) for at, n in enumerate(("alpha0", "width"))}
    replicates = _stack(measured, "replicates")
    variables |= {
        f"replicate_{name}": ((*by_step, "replicate"), replicates[:, :, at])
        for at, name in enumerate(("alpha0", "width"))
    }
    variables["slopes"] = ((*by_step, "slope_bin"), _stack(measured, "slopes"))
    plain = {"log_step": np.log1p(np.array(places))}
    for name in PLAIN.keys() - plain.keys():
        plain[name] = np.array([float(each[f"plain.{name}"]) for each in measured])
    variables["baseline"] = (("quantity", "step"), np.array([plain[name] for name in PLAIN]))
    variables["neuron_slope"] = ("neuron", last["neuron_slope"])
    return xr.Dataset(
        variables,
        coords={
            "grid": list(GRIDS), "step": np.array(places), "q": first["official.q"],
            "checkpoint": ("step", [each.revision or each.name for each in checkpoints]),
            "part": first["layer"].tolist(), "part_kind": ("part", first["layer_kind"].tolist()),
            "part_block": ("part", first["layer_block"].astype(int)), "kind": names, "quantity": list(PLAIN),
            "slope_bin": (SLOPE_BINS[:-1] + SLOPE_BINS[1:]) / 2,
            "neuron_part": ("neuron", first["layer"][last["neuron_layer"].astype(int)].tolist()),
        },
    )  # fmt: skip


def _in_order(first: Arrays) -> Callable[[str], int]:
    kinds = list(dict.fromkeys(first["layer_kind"].tolist()))
    return lambda kind: kinds.index(kind) if kind in kinds else len(kinds)


def _emerged(measured: Sequence[Arrays], result: xr.Dataset, own_start: bool) -> xr.Dataset:
    """Degrees of emergence of the network and of its nulls."""
    nulls = _stack(measured, "nulls").transpose(0, 2, 3, 1, 4)  # grid, null, draw, step, (alpha0, width, common both)
    initial = None if own_start else np.array([measured[0][f"{grid}.initial"] for grid in GRIDS])
    shape = result["alpha0"].shape
    value, deviation, bounds = np.full(shape, np.nan), np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    of_nulls, common = np.full(nulls.shape[:-1], np.nan), np.full(shape, np.nan)
    excess, within = np.full((len(GRIDS), len(NULLS), shape[1]), np.nan), np.full((2, len(NULLS), shape[1], 2), np.nan)
    p = np.full(excess.shape, np.nan)
    for g, grid in enumerate(GRIDS):
        course = [_Place(each, grid) for each in measured]
        start = _start(course[0], None if initial is None else initial[g])
        for s, now in enumerate(course):
            found = Estimate(0.0, 0.0, 0.0, 0.0) if own_start and not s else now.emerged(start)
            value[g, s], deviation[g, s], bounds[g, s] = found.value, found.deviation, (found.low, found.high)
            common[g, s] = now.common_emerged(start).value
            for k in range(len(NULLS)):
                # a null's own beginning where it has one: noise of step 0's size, drawn with the same seed
                first = nulls[g, k, :, 0, :2].T if own_start else np.array([[start.point.alpha0], [start.point.width]])
                of_nulls[g, k, :, s] = emergence.degree(nulls[g, k, :, s, 0], nulls[g, k, :, s, 1], first[0], first[1])
                beyond, p[g, k, s] = now.beyond(start, nulls[g, k, :, s], nulls[g, k, :, 0] if own_start else None)
                excess[g, k, s], within[g, k, s] = beyond.value, (beyond.low, beyond.high)
    variables: dict[str, Any] = {
        "emergence": (("grid", "step"), value), "emergence_deviation": (("grid", "step"), deviation),
        "emergence_interval": (("grid", "step", "bound"), bounds), "common_emergence": (("grid", "step"), common),
        "null_alpha0": (("grid", "null", "draw", "step"), nulls[..., 0]),
        "null_width": (("grid", "null", "draw", "step"), nulls[..., 1]),
        "null_emergence": (("grid", "null", "draw", "step"), of_nulls),
        "excess": (("grid", "null", "step"), excess), "excess_p": (("grid", "null", "step"), p),
        "excess_interval": (("grid", "null", "step", "bound"), within),
    }  # fmt: skip
    if initial is not None:
        variables["initial"] = (("grid", "initialisation", "exponent"), initial[..., :2])
    return xr.Dataset(variables, coords={"null": list(NULLS), "bound": ["low", "high"]})


class _Place:
    """One checkpoint on one grid, or the beginning: its exponents and what chance does to them."""

    def __init__(self, kept: Arrays, grid: str) -> None:
        self.grid, numbers = grid, kept[f"{grid}.scalars"].astype(float)
        self.point, self.common = (Point(float(numbers[at]), float(numbers[at + 1])) for at in (0, 6))
        drawn = kept[f"{grid}.replicates"].astype(float)
        self.drawn, self.common_drawn = Replicates(*drawn[:2]), Replicates(*drawn[2:])
        self.halves: Replicates | Point = Replicates(*kept[f"{grid}.halves"].astype(float))

    def emerged(self, start: "_Place") -> Estimate:
        """Degree of emergence since the beginning."""
        return emergence.holding(self._all(start), self.common_emerged(start))

    def beyond(
        self, start: "_Place", null: NDArray[np.float64], null_start: NDArray[np.float64] | None
    ) -> tuple[Estimate, float]:
        """What it exceeds a null by, and p; on all radii, with an interval that holds that of common radii.

        Both are taken apart and then held together: what a handful of edges adds, it adds to the null too.

        Parameters
        ----------
        start
            The beginning.
        null, null_start : (draw, 4)
            Exponents of the null now and at its own beginning; None: it has that of the network.
        """
        if start is self:
            return Estimate(0.0, 0.0, 0.0, 0.0), float("nan")
        every, common = (
            (self._all(start), start.point, slice(0, 2)), (self.common_emerged(start), start.common, slice(2, 4)),
        )  # fmt: skip
        found, p = [], []
        for own, point, columns in (every, common):
            later = null[:, columns].T
            first = null_start[:, columns].T if null_start is not None else np.array([[point.alpha0], [point.width]])
            drawn = emergence.degree(later[0], later[1], first[0], first[1])
            found.append(emergence.above(own, drawn))
            p.append(emergence.p_above(own, drawn))
        return emergence.holding(*found), max(p, key=lambda each: (each != each, each))  # not a number is the hardest

    def _all(self, start: "_Place") -> Estimate:
        error = emergence.targets_error(self.halves, start.halves)
        return emergence.interval(self.point, start.point, self.drawn, start.drawn, among_targets=error)

    def common_emerged(self, start: "_Place") -> Estimate:
        """The degree on the radii that many edges have."""
        error = emergence.targets_error(self.halves, start.halves) if self.grid != GRIDS[0] else 0.0
        return emergence.interval(self.common, start.common, self.common_drawn, start.common_drawn, among_targets=error)


def _start(first: _Place, initial: NDArray[np.float64] | None) -> _Place:
    """The beginning: the first checkpoint, or a network as the initialisation draws them."""
    if initial is None:
        return first
    found, mean = copy.copy(first), initial.mean(axis=0)
    found.point, found.common = Point(float(mean[0]), float(mean[1])), Point(float(mean[2]), float(mean[3]))
    found.drawn = emergence.around(found.point, initial[:, :2], len(first.drawn.alpha0))
    found.common_drawn = emergence.around(found.common, initial[:, 2:], len(first.drawn.alpha0))
    found.halves = found.point  # its chance is in the spread of what is drawn
    return found
