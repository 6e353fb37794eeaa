"""The growth chapter: from the study's Dataset to figures (plotly JSON). It draws what is there and computes nothing.

All figures over training share one axis, log2(step), with step 0 one octave before the first other step. Ranks are
warm, null models grey, rivals dotted; a line's name stands at its end.
"""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.page import Chapter, Panel
from brodmann.plotting import band, has, heading, hline, keyed, label, layout, line, text_number
from brodmann.steps import step_position, ticks
from brodmann.synergy.growth import CONTRASTS, Contrast, repeated_contrasts
from brodmann.synergy.growth_axis import onset_marks, told_onset
from brodmann.synergy.growth_claims import NAMES
from brodmann.synergy.growth_film import carpet, film
from brodmann.synergy.onset import CLEARLY

NULLS = {"circular_shift": "circular shift", "prompt_mismatch": "prompt mismatch"}
RIVALS = (
    "shapes without one (constant, line over log2(step), line over step, parabola, sigmoid over at least three gaps "
    "between checkpoints, random walk read with noise)"
)
_RANDOM = "random weights"
_BOUND = "to exceed: random weights"
_DASHES = {"circular_shift": None, "prompt_mismatch": "dash"}


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    """Draw the growth study.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `growth_study.study` returned, or the same read from a store.
    recording : xarray.Dataset
        Recording of the last checkpoint; says whether its text was generated.
    """
    drawn = (course(dataset), film(dataset), carpet(dataset), forms(dataset))
    return Chapter(
        name="growth",
        title="Growth",
        question="When in training does the inverted U appear, and what appears with it?",
        summary=_summary(dataset, recording),
        panels=tuple(panel for panel in drawn if panel is not None),
        citations=("urbina2026", "olsson2022", "lan1983", "yao1988", "bonett2000", "efron1987", "holm1979"),
        readings=_readings(dataset, recording),
    )


def _settings(dataset: xr.Dataset) -> dict[str, Any]:
    return dict(json.loads(str(dataset.attrs.get("settings", "{}"))))


def _form(dataset: xr.Dataset) -> Contrast:
    chosen = _settings(dataset).get("growth_contrast")
    return next((form for form in CONTRASTS if form == chosen), "thirds")


def _summary(dataset: xr.Dataset, recording: xr.Dataset) -> str:
    steps = dataset["step"].values
    generated = str(recording.attrs.get("mode", "generate")) == "generate"
    text = "the text that the final checkpoint wrote" if generated else "the same given text"
    emerged = str(dataset.attrs.get("emerged", ""))
    held = int(dataset["passed"].values.sum()) if "passed" in dataset else 0
    never = f"holds at {held} of them, never twice in a row" if held else "holds at none of them"
    rule = f"first holds twice in a row at step {emerged}" if emerged else never
    own = " and that excess above random weights' own" if has(dataset, "random_excess_threshold") else ""
    return (
        f"{steps.size} checkpoints, from step {steps[0]:g} to step {steps[-1]:g}, each read {text} "
        f"({int(dataset.attrs.get('prompts', 0))} prompts). The rule of emergence (ranks above random weights, synergy "
        f"above memory{own}, a reliable ranking, with alpha spent over the checkpoints) {rule}."
    )


def _readings(dataset: xr.Dataset, recording: xr.Dataset) -> tuple[str, ...]:
    chosen = _settings(dataset)
    how = str(chosen.get("growth_spending", "")).replace("_", " ")
    read = [
        f"Contrast: {NAMES[_form(dataset)]}, of the mean-rank scale from 0 to 1. The paper shows profiles only.",
        f"Surrogates: {chosen.get('growth_surrogates')} a prompt, kind and checkpoint; averages recombine them.",
        (
            f"Onset: one jump or two against {RIVALS}, by BIC. A jump must win by {CLEARLY:g} and be rare among "
            "exchanged checkpoints and among series of the fitted random walk."
        ),
        f"Alpha is spent ({how}) by increments, without the joint distribution of the checkpoints.",
    ]
    if str(recording.attrs.get("mode", "generate")) == "generate":
        loops = "What early checkpoints write by themselves falls into loops, and a loop is memory."
        read.insert(0, f"Text: greedy text of the last checkpoint, followed by all. {loops}")
    return tuple(read)


def course(dataset: xr.Dataset) -> Panel | None:
    """The contrast, its excess over memory, loss and induction over one axis of training."""
    if not has(dataset, "contrast"):
        return None
    form, steps = _form(dataset), dataset["step"].values
    x = step_position(steps)
    bent, shown = _near_zero(*_excess(dataset, x))
    rows = [_ranks(dataset, form, x), bent]
    rows += [_behaviour(dataset, name, words, x) for name, words in
             (("loss", "Loss on the prompts' own text"), ("induction", "Induction: what a second copy costs less"))
             if has(dataset, name)]  # fmt: skip
    traces, notes, shapes = [], [], []
    units = []
    for place, (drawn, said, unit) in enumerate(rows):
        axis = str(place + 1) if place else ""
        traces += [{**trace, "xaxis": f"x{axis}", "yaxis": f"y{axis}"} for trace in drawn]
        notes += [_moved(each, axis) for each in said]
        shapes += onset_marks(dataset, steps, axis)
        units.append(unit)
    shapes += [hline(0.0), hline(0.0, "2")]
    figure = layout({"range": [float(x[0]) - 0.4, float(x[-1]) + 0.4], **ticks(steps)}, {}, columns=len(rows),
                    annotations=notes, shapes=shapes, height=235 * len(rows))  # fmt: skip
    figure["grid"] = {"rows": len(rows), "columns": 1, "pattern": "independent"}
    for place, unit in enumerate(units):
        figure[f"yaxis{place + 1 if place else ''}"]["title"] = {"text": unit}
    figure["yaxis2"] |= shown
    figure[f"xaxis{len(rows) if len(rows) > 1 else ''}"]["title"] = {"text": "training step (log scale)"}
    main = dataset["contrast"].sel(function=dataset["function"].values[0], form=form).values
    title = (
        f"The contrast goes from {text_number(float(main[0]))} to {text_number(float(main[-1]))}; {_onset(dataset)}."
    )
    return Panel(
        "growth-course", title, {"data": traces, "layout": figure},
        how_to_read="Top: how much higher the middle layers rank than the ends; warm bands are 95 % intervals over "
        "prompts, the grey band spans fresh random weights on the same text, the dotted line is the same contrast of "
        "autocorrelation, the rival. Second: synergy left above uncoupled series of the same memory, in nats, on a "
        "scale that is logarithmic away from 0 where early steps are much larger; grey is what such series show among "
        "themselves, the dotted line is what the excess of one more random initialisation stays below with 97.5 % "
        "probability, dots mark checkpoints at which the rule of emergence holds. Below: the loss on the prompts' own "
        "text, and what the second copy of random tokens costs less than the first.",
        description=f"Line charts over training steps. {title}",
        detail="Dashed upright line: onset; shaded: where resampled prompts put it. Prompts are resampled in all "
        "checkpoints at once. One training run: nothing here says what another run would do.",
    )  # fmt: skip


def _moved(item: dict[str, Any], axis: str) -> dict[str, Any]:
    """An annotation on other axes."""
    return {
        **item,
        **{f"{letter}ref": str(item[f"{letter}ref"]).replace(letter, f"{letter}{axis}", 1) for letter in "xy"},
    }


Row = tuple[list[dict[str, Any]], list[dict[str, Any]], str]


def _ranks(dataset: xr.Dataset, form: Contrast, x: np.ndarray) -> Row:
    traces, notes = [], [heading("Contrast of ranks", "")]
    random = dataset["random_contrast"].sel(form=form).values if dataset.sizes.get("seed") else np.empty(0)
    if random.size:
        ends = np.array([x[0] - 0.4, x[-1] + 0.4])
        level = np.full(2, float(random.mean()))
        traces += [band(ends, np.full(2, random.min()), np.full(2, random.max()), look.NULL_BAND)]
        traces += [line(ends, level, "random weights", look.NULL, width=1.0)]
        notes += [label("random weights", ends, level, look.INK_2)]
    functions = [str(name) for name in dataset["function"].values]
    low, high = (dataset[f"contrast_{end}"].sel(function=functions[0], form=form).values for end in ("low", "high"))
    traces += [band(x, low, high, look.SYNERGY_BAND, opacity=0.75)]
    memory = dataset["memory_contrast"].sel(form=form).values
    traces += [line(x, memory, "autocorrelation, the rival", look.INK, width=1.2, dash="dot")]
    notes += [label("autocorrelation, the rival", x, memory, look.INK)]
    for function in reversed(functions):
        main = function == functions[0]
        values = dataset["contrast"].sel(function=function, form=form).values
        name = f"synergy-redundancy rank, {function.upper()}"
        traces += [line(x, values, name, look.SYNERGY, width=2.4 if main else 1.3, dash=None if main else "dash")]
        notes += [label(name, x, values, look.SYNERGY)]
    return traces, notes, "of the rank scale"


def _excess(dataset: xr.Dataset, x: np.ndarray) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    traces, notes = [], [heading("Contrast of synergy above memory", "")]
    known = [null for null in NULLS if null in dataset["null"].values]
    low, high = (dataset[f"excess_null_{end}"].sel(null=known).values for end in ("low", "high"))
    traces += [band(x, low.min(axis=0), high.max(axis=0), look.NULL_BAND)]
    if has(dataset, "random_excess_threshold"):
        ends = np.array([x[0] - 0.4, x[-1] + 0.4])
        bound = np.full(2, float(dataset["random_excess_threshold"].sel(null=known).max()))
        traces += [line(ends, bound, _BOUND, look.NULL, width=1.0, dash="dot")]
        notes += [label(_BOUND, ends, bound, look.INK_2)]
    for null in known:
        below, above = (dataset[f"excess_contrast_{end}"].sel(null=null).values for end in ("low", "high"))
        traces += [band(x, below, above, look.SYNERGY_BAND, opacity=0.55)]
    for null in known:
        values, name = dataset["excess_contrast"].sel(null=null).values, f"over {NULLS[null]}"
        traces += [line(x, values, name, look.SYNERGY, width=1.8, dash=_DASHES[null])]
        notes += [label(name, x, values, look.SYNERGY)]
    held = dataset["passed"].values.astype(bool)
    if held.any():
        values = dataset["excess_contrast"].sel(null=known[0]).values
        traces += [{"type": "scatter", "mode": "markers", "x": x[held].tolist(), "y": values[held].tolist(),
                    "name": "the rule holds", "marker": {"size": 8, "color": look.SYNERGY}}]  # fmt: skip
    return traces, notes


def _near_zero(traces: list[dict[str, Any]], notes: list[dict[str, Any]]) -> tuple[Row, dict[str, Any]]:
    """The same row bent, linear around 0 and logarithmic beyond, where early steps dwarf the rest; and its ticks."""
    values = np.abs([v for trace in traces for v in trace["y"] if v])
    typical = float(np.median(values)) if values.size else 0.0
    if not typical or values.max() < 20 * typical:
        return (traces, notes, "nats"), {}
    unit = 10.0 ** np.floor(np.log10(typical))

    def bent(value: float) -> float:
        return float(np.arcsinh(value / unit))

    for trace in traces:
        trace["y"] = [None if v is None else bent(v) for v in trace["y"]]
    notes = [each | {"y": bent(each["y"])} if each["name"] == "label" else each for each in notes]
    powers = [unit * 10.0**k for k in range(1 + int(np.log10(values.max() / unit)))]
    marks = [*(-power for power in reversed(powers)), 0.0, *powers]
    reach = [v for trace in traces for v in trace["y"] if v is not None]
    marks = [mark for mark in marks if min(reach) <= bent(mark) <= max(reach) or not mark]
    shown = {"tickvals": [bent(mark) for mark in marks], "ticktext": [f"{mark:g}".replace("-", "−") for mark in marks]}
    return (traces, notes, "nats (logarithmic away from 0)"), shown


def _behaviour(dataset: xr.Dataset, name: str, words: str, x: np.ndarray) -> Row:
    values = dataset[name].values
    low, high = (dataset[f"{name}_{end}"].values for end in ("low", "high"))
    traces = [band(x, low, high, look.RULE, opacity=0.6), line(x, values, name, look.INK, width=1.8)]
    return traces, [heading(words, ""), label(name, x, values, look.INK)], "nats per token"


def _onset(dataset: xr.Dataset) -> str:
    told = told_onset(dataset)
    if not told:
        return "there is no identifiable onset"
    between = f"its onset lies between steps {told['after']:g} and {told['by']:g}"
    return f"{between}, interval {told['low']:g} to {told['high']:g}" if "low" in told else between


def forms(dataset: xr.Dataset) -> Panel | None:
    """All contrasts that weigh the layers differently, beside each other."""
    if not has(dataset, "contrast"):
        return None
    x, steps = step_position(dataset["step"].values), dataset["step"].values
    function = str(dataset["function"].values[0])
    traces, notes, ends = [], [], []
    layers = dataset.sizes.get("layer", 0)
    repeated = repeated_contrasts(layers) if layers else {}
    drawn = {form: words for form, words in NAMES.items() if form not in repeated}
    for number, (form, words) in enumerate(drawn.items()):
        axis = str(number + 1) if number else ""
        if dataset.sizes.get("seed"):
            random = dataset["random_contrast"].sel(form=form).values
            wide = np.array([x[0], x[-1]])
            traces += [
                band(wide, np.full(2, random.min()), np.full(2, random.max()), look.NULL_BAND, axis=axis)
                | {"name": _RANDOM}
            ]
            notes += [keyed(_RANDOM, axis=axis)]
        low, high = (dataset[f"contrast_{end}"].sel(function=function, form=form).values for end in ("low", "high"))
        values = dataset["contrast"].sel(function=function, form=form).values
        traces += [band(x, low, high, look.SYNERGY_BAND, axis=axis, opacity=0.75)]
        traces += [line(x, values, words, look.SYNERGY, width=2.0, axis=axis)]
        notes += [heading(words[0].upper() + words[1:], axis)]
        ends.append(text_number(float(values[-1])))
    shown = ticks(steps)
    thinned = {key: values[:: max(1, len(values) // 5)] for key, values in shown.items()}
    figure = layout({"title": "training step", **thinned}, {"title": "of the rank scale"}, columns=len(drawn),
                    annotations=notes, shapes=[hline(0.0, axis) for axis in ("", "2", "3")[: len(drawn)]],
                    height=330)  # fmt: skip
    count = {2: "two", 3: "three"}.get(len(drawn), str(len(drawn)))
    title = f"At the last checkpoint the {count} contrasts are {', '.join(ends[:-1])} and {ends[-1]}."
    same = "".join(
        f" Of {layers} layers, {NAMES[form]} compares the same ones as {NAMES[other]} and is not drawn again."
        for form, other in repeated.items()
    )
    return Panel(
        "growth-forms", title, {"data": traces, "layout": figure},
        how_to_read=f"{count.capitalize()} ways to say inverted U in one number.{same} Findings are about one of them, "
        "chosen before; a claim that holds for one only is weak. Grey spans fresh random weights.",
        description=f"{count.capitalize()} line charts over training steps. {title}",
    )  # fmt: skip
