"""The weight graph's chapter: from the study's Dataset to figures (plotly JSON). It draws what is there.

Weights are plum, from pale to full with the training step; null models are grey. What is measured in 1/|w| (official
grid) and what is measured in units of each matrix's own scale (scale-free grid) always stand beside each other.
"""

import xarray as xr

from brodmann.fractal.figures_course import of_one, over_training
from brodmann.fractal.figures_layers import layers, slopes
from brodmann.fractal.figures_scores import scores
from brodmann.fractal.figures_spectra import spectra
from brodmann.fractal.figures_text import citations, is_series, readings, summary
from brodmann.page import Chapter


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    """Draw the study of the weight graph.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `fractal.study` returned, or the same read from a store.
    recording : xarray.Dataset
        Not used: the study reads weights alone.
    """
    del recording
    course = over_training if is_series(dataset) else of_one
    drawn = (course(dataset), spectra(dataset), layers(dataset), slopes(dataset), scores(dataset))
    return Chapter(
        name="fractal",
        title="Weight graph",
        question="How organised is the graph of the weights, and is that more than their scale?",
        summary=summary(dataset),
        panels=tuple(panel for panel in drawn if panel is not None),
        citations=citations(dataset),
        readings=readings(dataset),
    )
