"""What may be said of a weight graph: emergence, and whether it is more than scale, entries or rows would give.

Source of the claims: Xiao et al. 2025 (ICLR, arXiv 2402.09099). Interval: neurons drawn again within their layers, the
same ones at both ends of the training; of sampled networks, the samples. They are one run's: nothing is said about
another. Each null is a
few networks; p takes their spread and the neurons' together (Student's t, Welch and Satterthwaite).
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from brodmann.fractal import emergence
from brodmann.fractal.claims_course import widens
from brodmann.fractal.claims_scores import scored
from brodmann.fractal.compared import NOISE, NULLS
from brodmann.fractal.emergence import Estimate, Point
from brodmann.fractal.scores import FEWEST
from brodmann.stats import Finding, conclude, correct
from brodmann.stats.finding import UNTESTED

SOURCE = "Xiao et al. 2025, arXiv 2402.09099"
_OFFICIAL = "1/|w| in whole numbers: the released code's grid, on which noise that only grows emerges too"


def point(result: xr.Dataset, grid: int, step: int) -> Point:
    """alpha0 and width of one checkpoint."""
    return Point(float(result["alpha0"].values[grid, step]), float(result["width"].values[grid, step]))


def findings(result: xr.Dataset, seed: int) -> tuple[Finding, ...]:
    """All claims that a result allows, p values corrected for their number."""
    found = [_rises(result, seed)]
    found += [_beyond(result, null, seed) for null in result["null"].values.tolist()]
    found.append(_scale_free(result, seed))
    if result.sizes["step"] >= FEWEST:
        found.append(widens(result, seed, SOURCE, _size(result), _unit(result), _manner(result)))
    if "score_partial" in result:
        found += scored(result, seed, SOURCE, _manner(result)[0])
    return correct(found)


def _estimate(result: xr.Dataset, grid: str) -> Estimate:
    last = result.isel(step=-1).sel(grid=grid)
    low, high = (float(each) for each in last["emergence_interval"].values)
    return Estimate(float(last["emergence"]), low, high, float(last["emergence_deviation"]))


def _words(result: xr.Dataset) -> list[str]:
    """Where the emergence is counted from, and what must be known of both exponents."""
    reference = str(result.attrs.get("reference", ""))
    last = result.isel(step=-1).sel(grid="official")
    said = f"alpha0 {float(last['alpha0']):.3g}, width {float(last['width']):.3g}; counted from {reference}"
    simulated = [] if result.attrs.get("own_start") else ["no step 0 is at hand: its place takes a simulated network"]
    return [said, *simulated, *_manner(result)]


def _manner(result: xr.Dataset) -> list[str]:
    """How distances were taken, and what the interval is over."""
    mode = result.attrs.get("mode", "one hop, whole network")
    over = _unit(result)
    return [
        f"{mode}: not to be compared with other modes",
        f"one training run: the interval is over its {over}s, and says nothing of another run",
    ]


def _unit(result: xr.Dataset) -> str:
    return "sample" if result.attrs.get("sampled") else "neuron"


def _size(result: xr.Dataset) -> int:
    """How many neurons, or samples, stand behind an interval."""
    return int(result.attrs["samples"] if result.attrs.get("sampled") else result["kept"].values[0, -1])


def _start_draws(result: xr.Dataset, grid: str) -> np.ndarray:
    """Degree of emergence of fresh networks of the beginning, against the beginning."""
    if "initial" in result:
        drawn = result["initial"].sel(grid=grid).values
        alpha0, width = drawn.mean(axis=0)
        return emergence.degree(drawn[:, 0], drawn[:, 1], float(alpha0), float(width))
    start = result.isel(step=0).sel(grid=grid)
    noise = start.sel(null="matched_scale")
    return emergence.degree(
        noise["null_alpha0"].values, noise["null_width"].values, float(start["alpha0"]), float(start["width"])
    )


def _rises(result: xr.Dataset, seed: int) -> Finding:
    found, null = _estimate(result, "official"), _start_draws(result, "official")
    return _concluded(
        "emergence_rises", "The weight graph has a positive degree of emergence since the beginning", found, null,
        "fresh networks of the beginning", result, seed, [_OFFICIAL],
    )  # fmt: skip


def _scale_free(result: xr.Dataset, seed: int) -> Finding:
    found = _estimate(result, "scale_free")
    null = result["null_emergence"].sel(grid="scale_free", null="matched_scale").isel(step=-1).values
    said = ["rms/|w| on 40 geometric radii: a matrix that only grows does not change"]
    claim = "In units of each matrix's own scale, the weight graph has a positive degree of emergence"
    return _concluded("emergence_scale_free", claim, found, null, NOISE.words, result, seed, said)


def _concluded(
    name: str, claim: str, found: Estimate, null: np.ndarray, words: str, result: xr.Dataset, seed: int,
    caveats: Sequence[str],
) -> Finding:  # fmt: skip
    p = emergence.p_above(found, null)
    return conclude(
        name, claim, estimate=found.value, interval=_interval(found), nulls={words: null},
        p_values={words: p if np.isfinite(p) else 1.0}, units="degree of emergence", n=_size(result),
        unit_of_inference=_unit(result), source=SOURCE, seed=seed,
        caveats=[*_undefined(found), *_words(result), *caveats],
    )  # fmt: skip


def _interval(found: Estimate) -> tuple[float, float]:
    return (found.low, found.high) if np.isfinite(found.low) else (-np.inf, np.inf)


def _undefined(found: Estimate) -> list[str]:
    if np.isfinite(found.value) and np.isfinite(found.low):
        return []
    return [_unknown(found.value, "alpha0 or the first width is not positive, so the degree is undefined")]


def _unknown(value: float, why: str) -> str:
    """First caveat of what could not be tested; where there is no estimate either, readers are told so elsewhere."""
    return f"{UNTESTED}: {why}" if np.isfinite(value) else why


def _beyond(result: xr.Dataset, null: str, seed: int) -> Finding:
    at = result.sel(grid="official", null=null).isel(step=-1)
    low, high = (float(each) for each in at["excess_interval"].values)
    drawn = at["null_emergence"].values
    found = Estimate(float(at["excess"]), low, high, np.nan)
    own = f"the null's own degree is {np.nanmean(drawn):.3g}"
    free = result.sel(grid="scale_free", null=null).isel(step=-1)
    beside = f"on the scale-free grid the difference is {float(free['excess']):.3g}"
    p, words = float(at["excess_p"]), NULLS[null].words
    return conclude(
        f"emergence_beyond_{null}", NULLS[null].claim, estimate=found.value, interval=_interval(found),
        nulls={words: drawn - np.nanmean(drawn)}, p_values={words: p if np.isfinite(p) else 1.0},
        units="degree of emergence, above the null", n=_size(result), unit_of_inference=_unit(result), source=SOURCE,
        seed=seed, caveats=[*_undefined(found), own, beside, *_words(result)],
    )  # fmt: skip
