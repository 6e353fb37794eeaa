"""What the findings about the synergistic core are computed from, and the contrasts they share."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy import stats as distributions

from brodmann.settings import SynergySettings
from brodmann.stats import weighted_mean
from brodmann.synergy import core
from brodmann.synergy.measure import Measured
from brodmann.synergy.surrogates import NodeMeans, Surrogates

SOURCE = "Urbina-Rodriguez et al. 2026, arXiv 2601.06851"
MARGIN = 0.1
"""Smallest contrast of a rank profile that is called an inverted U: a tenth of the whole scale."""
RELIABLE = 0.8
"""Split-half reliability from which the size of a rank contrast is judged, not only its sign: noise pulls ranks to the
middle, so a small contrast of a noisy ranking contradicts nothing."""
FEWEST_PROMPTS = 5
"""Fewer prompts give no interval, so nothing is supported or contradicted."""
RECOMBINED = 1999


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that the findings about the recording itself are computed from."""

    measured: Measured
    nulls: Mapping[str, Surrogates]
    networks: xr.Dataset
    settings: SynergySettings
    seed: int

    @property
    def prompts(self) -> int:
        """Number of prompts, the unit of inference of most intervals."""
        return len(self.measured.parts)

    def generator(self, name: str) -> np.random.Generator:
        """Give every finding its own source of randomness, whatever the others draw."""
        return generator(self.seed, name)


def generator(seed: int, name: str) -> np.random.Generator:
    """Source of randomness of one finding."""
    return np.random.default_rng([seed, *name.encode()])


Statistic = Callable[[Float[np.ndarray, "draw prompt"]], np.ndarray]


def rank_contrast(nodes: NodeMeans, layer: Int[np.ndarray, " unit"], kind: core.Definition) -> Statistic:
    """Contrast of the rank profile as a function of weights over prompts."""

    def statistic(weights: Float[np.ndarray, "draw prompt"]) -> np.ndarray:
        profile = core.profile_of_weights(weights, nodes.synergy, nodes.redundancy, layer, kind)
        return core.mid_minus_higher_end(profile)

    return statistic


def mean_contrast(values: Float[np.ndarray, "prompt unit"], layer: np.ndarray) -> Statistic:
    """Contrast of the layer profile of a mean over prompts, in the values' own units."""

    def statistic(weights: Float[np.ndarray, "draw prompt"]) -> np.ndarray:
        return core.mid_minus_higher_end(core.layer_profile(weighted_mean(weights, values), layer))

    return statistic


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman correlation; NaN where one of the two does not vary."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(distributions.spearmanr(one, other).statistic)


def trusted(interval: tuple[float, float], prompts: int) -> tuple[float, float]:
    """The interval, or an unbounded one where there are too few prompts for a bootstrap to know their spread."""
    return interval if prompts >= FEWEST_PROMPTS else (-math.inf, math.inf)
