"""Words of the allocation chapter that stand outside its figures: summary, readings, columns, citations."""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann.allocation.figures_axes import POOLED, pick, ratio_text
from brodmann.plotting import text_number

COLUMNS = {
    "density_neutral": "density, neutral text",
    "density_hard": "density, hard tasks",
    "density_simple": "density, repetition",
}

CITATIONS = ("urbina2026", "gourieroux1984", "rao1988", "freedman1983", "hoyer2004", "luo2024", "holm1979")

RATIOS = (
    "A unit counts as active on a step when it is louder than its own 75th percentile on other neutral text; density "
    "is the share of active steps, so it can grow to four times the neutral one and no further. Left: density on each "
    "kind of text over that on neutral text, for the core and for units of the same layers. Right: the first over the "
    "second; what all units of a layer share is on the left only. Lines are 95 % intervals: of one family over its "
    "texts, of the three pooled rows over families of tasks too, which makes them wide where families disagree. Thin "
    "marks are values that popular articles gave for the core, as values under test."
)
RATIOS_DETAIL = (
    "All ratios are at equal surprisal of the token read and of the token produced (in nats and as log(1 + nats), so "
    "that a bent dependence is held equal too), and at equal position. Units are compared within layers, so a layer "
    "that lies wholly in the core or outside it adds nothing."
)
LADDER = (
    "Each line is a family of tasks, from its easiest to its hardest level: more digits, longer lists, more steps. All "
    "levels of a family use the same words and signs, so a slope is not a matter of vocabulary. Dotted lines are "
    "repetition. The two panels have scales of their own."
)


def settings(dataset: xr.Dataset) -> dict[str, Any]:
    """Settings of the study."""
    return dict(json.loads(str(dataset.attrs.get("settings", "{}"))))


def summary(dataset: xr.Dataset, recording: xr.Dataset) -> str:
    """What was measured, on what."""
    chosen = settings(dataset)
    label = str(recording.attrs.get("label", "The model"))
    kind = str(dataset.attrs.get("kind", "unit"))
    return (
        f"{label} read {int(dataset.attrs.get('prompts', 0))} texts of {chosen.get('text_steps', 0)} tokens in "
        f"{dataset.sizes['condition']} conditions. Density of activity of the "
        f"{int(dataset.attrs.get('core_units', 0))} {kind}s of the core is compared with that of other {kind}s of the "
        "same layers. A dense model computes as much on easy as on hard text; activity is not energy."
    )


def readings(dataset: xr.Dataset) -> tuple[str, ...]:
    """Choices made where no source says how."""
    percentile = 100 * float(settings(dataset).get("active_quantile", 0.75))
    active = (
        f"Allocation: a unit is active above its {percentile:g}th percentile on neutral texts that are used for "
        "nothing else. The articles that speak of activation density define none."
    )
    given = (
        "Allocation: texts are runs of solved items without instruction or chat template, cut to one length in tokens; "
        "hard means the hardest level of each family, simple all levels of repetition."
    )
    equal = (
        "Allocation: ratios are at equal surprisal of the token read and of the token produced and at equal position, "
        "by a log-linear model of each step in position, both surprisals and log(1 + surprisal); texts are the unit of "
        "inference, and families of tasks too where ratios are pooled over two or more."
    )
    return active, given, equal


def ratio_title(dataset: xr.Dataset) -> str:
    """The pooled ratios in one sentence."""
    words = []
    for contrast in ("hard", "simple"):
        core, relative = pick(dataset, contrast, "core"), pick(dataset, contrast, "relative")
        if np.isfinite(core[0]):
            words.append(
                f"on {POOLED[contrast]} the core is {ratio_text(core[0])} times as densely active as on neutral text, "
                f"{ratio_text(relative[0])} [{ratio_text(relative[1])}, {ratio_text(relative[2])}] times the change "
                "of its layer-mates"
            )
    title = "; ".join(words)
    return f"{title[:1].upper()}{title[1:]}." if title else "No condition has enough texts for a ratio."


def ladder_title(dataset: xr.Dataset) -> str:
    """The change from the easiest to the hardest level in one sentence."""
    one, low, high = pick(dataset, "harder", "relative")
    if not np.isfinite(one):
        return "Ratios along the ladders of difficulty."
    return (
        "From the easiest to the hardest level of the same tasks, the core's density changes by "
        f"{ratio_text(pick(dataset, 'harder', 'core')[0])} times, {ratio_text(one)} "
        f"[{ratio_text(low)}, {ratio_text(high)}] times the change of its layer-mates."
    )


def texts_title(dataset: xr.Dataset) -> str:
    """Surprisal and success in one sentence."""
    kind = dataset["condition_kind"].values
    means = [float(np.nanmean(dataset["surprisal"].values[kind == each])) for each in ("neutral", "hard", "simple")]
    title = (
        f"Surprisal is {text_number(means[0])} nats a token on neutral text, {text_number(means[1])} on tasks and "
        f"{text_number(means[2])} on repetition"
    )
    if "accuracy" not in dataset:
        return f"{title}."
    shares = [float(np.nanmean(dataset["accuracy"].values[kind == each])) for each in ("hard", "simple")]
    return f"{title}; {100 * shares[0]:.0f} % of task answers and {100 * shares[1]:.0f} % of repetitions are right."
