"""The chapter of sizes: contrast against parameters, with the plain contrast and the rival. Nothing is computed."""

import json

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.page import Chapter, Panel
from brodmann.plotting import band, hline, label, layout, line, text_number


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:  # noqa: ARG001  the page's own call
    """Draw the comparison of sizes."""
    x = np.log10(dataset["parameters"].values)
    traces = [band(x, dataset["contrast_low"].values, dataset["contrast_high"].values, look.SYNERGY_BAND, opacity=0.75)]
    notes = []
    for name, words, colour, width, dash in (
        ("memory_contrast", "autocorrelation, the rival", look.INK, 1.2, "dot"),
        ("whole_contrast", "all units", look.SYNERGY, 1.3, "dash"),
        ("contrast", "equally many units", look.SYNERGY, 2.4, None),
    ):
        values = dataset[name].values
        traces.append(line(x, values, words, colour, width=width, dash=dash))
        notes.append(label(words, x, values, colour))
    told = json.loads(str(dataset.attrs["threshold"]))
    where = "there is no identifiable threshold"
    if told["identified"]:
        where = f"a threshold lies between {told['low']:.2g} and {told['high']:.2g} parameters"
    ends = [text_number(float(dataset["contrast"].values[i])) for i in (0, -1)]
    title = f"The contrast goes from {ends[0]} in the smallest to {ends[1]} in the largest model; {where}."
    ticks = {"tickvals": x.tolist(), "ticktext": [f"{10**v:.2g}".replace("e+0", "e").replace("e+", "e") for v in x]}
    figure = layout({"title": "parameters (log scale)", **ticks}, {"title": "contrast of ranks"}, annotations=notes,
                    shapes=[hline(0.0)], height=400)  # fmt: skip
    panel = Panel(
        "sizes", title, {"data": traces, "layout": figure},
        how_to_read="Each point of a line is a model. The bold line compares random subsets of equally many units; a "
        "threshold is named only if one break beats a constant, a trend and a logistic curve by more than 4 AICc and "
        "is located within a factor of ten.",
        description=f"Line chart of the contrast by number of parameters. {title}",
    )  # fmt: skip
    return Chapter(
        name="sizes", title="Sizes", question="Is there a size above which the inverted U appears?",
        summary=f"{dataset.sizes['model']} models, compared at {int(dataset.attrs['units'])} units each.",
        panels=(panel,), citations=("urbina2026", "hurvich1989"),
    )  # fmt: skip
