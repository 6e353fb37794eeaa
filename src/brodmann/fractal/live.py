"""The degree of emergence while a model is trained: what `brodmann.synergy.EmergenceCallback` logs beside its looks.

A look reads the weights as they are, counts them on both grids and draws matched noise; it changes nothing and takes no
random numbers from torch. The first look is the reference: it must be at step 0 for E to be the published one.
"""

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from brodmann.fractal import walk
from brodmann.fractal.emergence import Point, degree
from brodmann.fractal.grids import geometric, whole
from brodmann.fractal.network import LayerCounts, measure
from brodmann.fractal.weigh import GRIDS
from brodmann.models.chains import chain
from brodmann.models.shards import from_model
from brodmann.settings import FractalSettings

PREFIX = "weights_"


class WeightWatch:
    """Degree of emergence of a model in training, look by look.

    Each look gives, for the grid ``official`` and the grid ``scale_free``,

    - ``weights_official_alpha0``, ``weights_official_width``: exponents of the spectrum; with ``noise_``
      before the last word those of noise of the same scale, the mean of its draws;
    - ``weights_official_emergence``: degree of emergence since the first look;
    - ``weights_official_noise``: the same of noise of the same scale, counted from noise of the first look's scale;

    and ``weights_seconds``, its wall time.

    Parameters
    ----------
    settings
        Chain, longest distance, least degree, gate.
    draws
        Draws of matched noise, whose mean is given.
    seed
        Of the noise: the same at every look, so that looks are paired.

    Examples
    --------
    >>> from brodmann.fractal.live import WeightWatch
    >>> from brodmann.settings import FractalSettings
    >>> from brodmann.models import load
    >>> model = load("random:gpt_neox").model
    >>> watch = WeightWatch(FractalSettings(min_degree=1))
    >>> watch(model, 0)["weights_official_emergence"]
    0.0
    """

    def __init__(self, settings: FractalSettings | None = None, *, draws: int = 2, seed: int = 0) -> None:
        self._settings, self._draws, self._seed = settings or FractalSettings(), draws, seed
        self._grids = (whole(self._settings.r_max), geometric())
        self._first: dict[str, float] = {}

    def begin(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Take the reference from what earlier parts of the training logged."""
        for entry in history:
            if f"{PREFIX}seconds" in entry:
                self._first = {name: float(value) for name, value in entry.items() if name.startswith(PREFIX)}
                return

    def __call__(self, model: Any, step: int) -> dict[str, float]:  # noqa: ARG002
        """Look at the model as it is now."""
        started = time.perf_counter()
        checkpoint = from_model(model)
        workers = os.cpu_count() or 1
        counted = walk.count(
            checkpoint, chain(checkpoint, self._settings.chain), self._grids, gate=self._settings.gate, workers=workers
        )
        seen: dict[str, float] = {}
        for at, (name, grid) in enumerate(zip(GRIDS, self._grids, strict=True)):
            now = self._point(counted.layers[at], at)
            noise = [
                self._point(walk.noise(counted, grid, np.random.default_rng([self._seed, at, k])), at)
                for k in range(self._draws)
            ]
            mean = Point(*np.mean([[each.alpha0, each.width] for each in noise], axis=0).tolist())
            seen |= self._named(name, now, mean)
        seen[f"{PREFIX}seconds"] = time.perf_counter() - started
        return seen

    def _point(self, layers: tuple[LayerCounts, ...], grid: int) -> Point:
        found = measure(layers, self._grids[grid], min_degree=self._settings.min_degree).whole
        return Point(found.alpha0, found.width)

    def _named(self, grid: str, now: Point, noise: Point) -> dict[str, float]:
        own = {
            f"{PREFIX}{grid}_alpha0": now.alpha0, f"{PREFIX}{grid}_width": now.width,
            f"{PREFIX}{grid}_noise_alpha0": noise.alpha0, f"{PREFIX}{grid}_noise_width": noise.width,
        }  # fmt: skip
        for name, value in own.items():
            self._first.setdefault(name, value)

        def since(kind: str, point: Point) -> float:
            start = [self._first[f"{PREFIX}{grid}_{kind}{part}"] for part in ("alpha0", "width")]
            return float(degree(point.alpha0, point.width, *start))

        return {
            **own, f"{PREFIX}{grid}_emergence": since("", now), f"{PREFIX}{grid}_noise": since("noise_", noise),
        }  # fmt: skip
