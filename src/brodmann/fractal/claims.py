"""What may be said of a weight graph: emergence, and whether it is more than scale, entries or rows would give.

Source of the claims: Xiao et al. 2025 (ICLR, arXiv 2402.09099). Interval: neurons drawn again within their layers, the
same ones at both ends of the training, and halves of the target neurons; of sampled networks, the samples. They are one
run's: nothing is said about another. Each null is a few networks; p takes their spread and the neurons' together
(Student's t, Welch and Satterthwaite).
"""

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from brodmann.fractal import emergence
from brodmann.fractal.claims_course import widens
from brodmann.fractal.claims_scores import scored
from brodmann.fractal.compared import NOISE, NULLS
from brodmann.fractal.emergence import Estimate
from brodmann.fractal.network import COMMON
from brodmann.fractal.scores import FEWEST
from brodmann.models.rounding import FINE, can_write
from brodmann.stats import Finding, conclude, correct
from brodmann.stats.finding import UNTESTED

SOURCE = "Xiao et al. 2025, arXiv 2402.09099"
_OVERLAP = 0.1
"""Share of the neurons in one sample from which samples are said to overlap."""
_OFFICIAL = "1/|w| in whole numbers: the released code's grid, on which noise that only grows emerges too"


def findings(result: xr.Dataset, seed: int) -> tuple[Finding, ...]:
    """All claims that a result allows, p values corrected for their number."""
    found = [_rises(result, seed)]
    found += [_beyond(result, null, seed) for null in result["null"].values.tolist()]
    found += [_scale_free(result, seed), _scale_free_beyond(result, seed)]
    if result.sizes["step"] >= FEWEST:
        found.append(widens(result, seed, SOURCE, _size(result), _unit(result), _manner(result)))
    if "score_partial" in result:
        found += scored(result, seed, SOURCE, _manner(result)[0])
    return correct(found)


def _estimate(result: xr.Dataset, grid: str) -> Estimate:
    last = result.isel(step=-1).sel(grid=grid)
    low, high = (float(each) for each in last["emergence_interval"].values)
    return Estimate(float(last["emergence"]), low, high, float(last["emergence_deviation"]))


def _words(result: xr.Dataset, grid: str = "official") -> list[str]:
    """Where the emergence is counted from, and what must be known of both exponents."""
    reference = str(result.attrs.get("reference", ""))
    last = result.isel(step=-1).sel(grid=grid)
    said = f"alpha0 {float(last['alpha0']):.3g}, width {float(last['width']):.3g}; counted from {reference}"
    simulated = [] if result.attrs.get("own_start") else ["no step 0 is at hand: its place takes a simulated network"]
    return [said, *simulated, *_stored(result), *_manner(result)]


def _stored(result: xr.Dataset) -> list[str]:
    """That weights lie in blocks of few bits, where they do."""
    coarse = [form for form in _coarse(result) if can_write(form)]
    return [f"weights are stored as {', '.join(coarse)}; noise is drawn, then stored so too"] if coarse else []


def _coarse(result: xr.Dataset) -> list[str]:
    return [form for form in json.loads(str(result.attrs.get("formats", "[]"))) if form not in FINE]


def _no_start(result: xr.Dataset) -> list[str]:
    """Why nothing can be counted from the beginning, if so."""
    if result.attrs.get("guessed"):
        return [
            (
                f"{UNTESTED}: no file says what the weights were before training, and a guess decides the number "
                "(--initial-deviation says it)"
            )
        ]
    return _no_noise(result)


def _no_spectrum(result: xr.Dataset, grid: str) -> list[str]:
    """Why a grid's numbers describe no spectrum, if so; and what else its curve does that a spectrum does not."""
    flags = json.loads(str(result.attrs.get("flags", "{}"))).get(grid, [])
    return [f"{UNTESTED}: {flag}" if flag.startswith("f rises") else flag for flag in flags]


def _no_noise(result: xr.Dataset) -> list[str]:
    """Why noise is no comparison, if so."""
    if result.attrs.get("mixed_formats") and (_coarse(result) or not result.attrs.get("own_start")):
        return [f"{UNTESTED}: the checkpoints are stored in different formats, and rounding alone moves the number"]
    unknown = [form for form in _coarse(result) if not can_write(form)]
    if not unknown:
        return []
    return [
        (
            f"{UNTESTED}: weights are stored as {', '.join(unknown)}, and noise cannot be stored so here; take a "
            "file of sixteen bits"
        )
    ]


def _manner(result: xr.Dataset) -> list[str]:
    """How distances were taken, and what the interval is over."""
    mode = result.attrs.get("mode", "one hop, whole network")
    over, share = _unit(result), float(result.attrs.get("sampled_share", 1.0))
    overlap = bool(result.attrs.get("sampled")) and share > _OVERLAP
    return [
        f"{mode}: not to be compared with other modes",
        f"one training run: the interval is over its {over}s, and says nothing of another run",
        *([f"each sample holds {share:.0%} of the neurons: samples overlap, and spread too little"] if overlap else []),
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
        "emergence_rises", "The weight graph has a positive degree of emergence since the beginning", found,
        {"fresh networks of the beginning": null}, result, seed,
        [*_no_start(result), *_no_spectrum(result, "official"), *_course(result), _common(result), _OFFICIAL],
    )  # fmt: skip


def _course(result: xr.Dataset) -> list[str]:
    """Where E was highest, if that was before the end."""
    values = result["emergence"].sel(grid="official").values
    if len(values) < 3 or not np.isfinite(values).any() or int(np.nanargmax(values)) == len(values) - 1:
        return []
    most = int(np.nanargmax(values))
    return [f"it was highest at step {result['step'].values[most]:g}, {values[most]:.3g}, and fell to the end"]


def _common(result: xr.Dataset) -> str:
    """E where no handful of edges decides."""
    common = float(result["common_emergence"].sel(grid="official").values[-1])
    return f"{common:.3g} on the radii that at least {COMMON} edges have"


def _scale_free(result: xr.Dataset, seed: int) -> Finding:
    """Whether there is more than noise of any scale would give."""
    found = _estimate(result, "scale_free")
    null = result["null_emergence"].sel(grid="scale_free", null="matched_scale").isel(step=-1).values
    claim = "In units of each matrix's own scale, the weight graph has a positive degree of emergence, beyond noise"
    said = ["rms/|w| on 40 geometric radii: a matrix that only grows does not change"]
    why = [*_no_noise(result), *_no_spectrum(result, "scale_free"), *_torn(result, found)]
    return _concluded(
        "emergence_scale_free", claim, found, {NOISE.words: null}, result, seed, [*why, *said], "scale_free"
    )


def _scale_free_beyond(result: xr.Dataset, seed: int) -> Finding:
    """Whether that is where the entries stand, and not what they are."""
    at = result.sel(grid="scale_free", null="permuted_entries").isel(step=-1)
    low, high = (float(each) for each in at["excess_interval"].values)
    found, null = Estimate(float(at["excess"]), low, high, np.nan), NULLS["permuted_entries"]
    drawn, p = at["null_emergence"].values, float(at["excess_p"])
    why = [*(_no_start(result) if result.attrs.get("guessed") else []), *_no_spectrum(result, "scale_free")]
    why += _torn(result, _estimate(result, "scale_free"))
    untested = any(each.startswith(UNTESTED) for each in why)
    claim = "In units of each matrix's own scale, that degree exceeds the one of the same entries in random places"
    own = f"the null's own degree is {np.nanmean(drawn):.3g}"
    return conclude(
        "scale_free_beyond_permuted_entries", claim, estimate=found.value,
        interval=(-np.inf, np.inf) if untested else _interval(found), nulls={null.words: drawn - np.nanmean(drawn)},
        p_values={null.words: p if np.isfinite(p) and not untested else 1.0},
        units="degree of emergence, above the null", n=_size(result), unit_of_inference=_unit(result), source="",
        seed=seed, caveats=_in_order([*why, *_undefined(found), own, *_words(result, "scale_free")]),
    )  # fmt: skip


def _torn(result: xr.Dataset, found: Estimate) -> list[str]:
    """Why a product of two exponents says nothing, where they went opposite ways; and how they went."""
    grid = result.sel(grid="scale_free")
    now = [float(grid[name].values[-1]) for name in ("alpha0", "width")]
    begun = [float(grid[name].values[0]) for name in ("alpha0", "width")]
    if "initial" in grid:
        begun = grid["initial"].values.mean(axis=0).tolist()
    went = f"on this grid alpha0 went from {begun[0]:.3g} to {now[0]:.3g}, width from {begun[1]:.3g} to {now[1]:.3g}"
    if found.high < 0 and now[1] > begun[1]:
        return [
            f"{UNTESTED}: the spectrum widened while alpha0 rose; a product of both does not say which counts",
            went,
        ]
    return [went]


def _concluded(
    name: str, claim: str, found: Estimate, nulls: dict[str, np.ndarray], result: xr.Dataset, seed: int,
    caveats: Sequence[str], grid: str = "official",
) -> Finding:  # fmt: skip
    p = {words: emergence.p_above(found, null) for words, null in nulls.items()}
    tested = not any(caveat.startswith(UNTESTED) for caveat in caveats)
    return conclude(
        name, claim, estimate=found.value, interval=_interval(found) if tested else (-np.inf, np.inf), nulls=nulls,
        p_values={words: each if np.isfinite(each) and tested else 1.0 for words, each in p.items()},
        units="degree of emergence", n=_size(result), unit_of_inference=_unit(result),
        source=SOURCE if grid == "official" else "", seed=seed,  # the other grid is our own control
        caveats=_in_order([*_undefined(found), *caveats, *_words(result, grid)]),
    )  # fmt: skip


def _in_order(caveats: Sequence[str]) -> list[str]:
    """What kept a claim from being tested comes first."""
    return sorted(caveats, key=lambda caveat: not caveat.startswith(UNTESTED))


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
    own = f"the null's own degree is {np.nanmean(drawn):.3g}"
    free = result.sel(grid="scale_free", null=null).isel(step=-1)
    beside = f"on the scale-free grid the difference is {float(free['excess']):.3g}"
    p, words = float(at["excess_p"]), NULLS[null].words
    start = _no_start(result)
    why = [
        *(start if null == "matched_scale" or result.attrs.get("guessed") else []),
        *_no_spectrum(result, "official"),
    ]
    untested = any(each.startswith(UNTESTED) for each in why)
    if null == "matched_scale" and high < 0:
        spread = result.sel(grid="official", null="permuted_entries").isel(step=-1)["excess_interval"].values
        if not spread[1] < 0:  # what falls short of noise is what the entries are, wherever they stand
            low, high = min(low, float(spread[0])), max(high, float(spread[1]))
            own = f"{own}; the same entries in random places fall short of it too, so the interval holds both"
    found = Estimate(float(at["excess"]), low, high, np.nan)
    return conclude(
        f"emergence_beyond_{null}", NULLS[null].claim, estimate=found.value,
        interval=(-np.inf, np.inf) if untested else _interval(found), nulls={words: drawn - np.nanmean(drawn)},
        p_values={words: p if np.isfinite(p) and not untested else 1.0},
        units="degree of emergence, above the null", n=_size(result), unit_of_inference=_unit(result),
        source="", seed=seed, caveats=_in_order([*why, *_undefined(found), own, beside, *_words(result)]),
    )  # fmt: skip
