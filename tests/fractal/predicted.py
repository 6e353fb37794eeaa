"""Untrained Pythia networks, sampled as the released code samples them: s neurons a layer, 3s behind the attention's
input, 2s in the MLP."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tests.conftest import DATA

from brodmann.fractal.grids import Grid
from brodmann.fractal.network import LayerCounts
from brodmann.fractal.nulls import code_probabilities, gaussian_counts
from brodmann.fractal.one_hop import Matrix, count_edges, moments


@dataclass(frozen=True)
class Untrained:
    """One row of the table of predictions."""

    blocks: int
    into: float
    out: float
    sampled: int
    alpha0: tuple[float, float]
    width: tuple[float, float]
    """Mean and standard deviation over five seeds."""
    kept: int


def prediction(model: str, sampled: int) -> Untrained:
    with (DATA / "neuromfa/pythia_step0_predicted.csv").open() as file:
        row = next(r for r in csv.DictReader(file) if (r["model"], r["s"]) == (model, str(sampled)))
    return Untrained(
        int(row["blocks"]), float(row["std_in"]), float(row["std_out"]), sampled,
        (float(row["alpha0_mean"]), float(row["alpha0_sd"])), (float(row["width_mean"]), float(row["width_sd"])),
        int(row["nodes_kept"]),
    )  # fmt: skip


def shapes(model: Untrained) -> Iterator[tuple[int, str, int, int, float]]:
    """Block, layer, sources, targets and deviation of each matrix."""
    s = model.sampled
    for block in range(model.blocks):
        yield block, "input", s, 3 * s, model.into
        yield block, "attention", s, s, model.out
        yield block, "middle", s, 2 * s, model.into
        yield block, "hidden", 2 * s, s, model.out


def matrices(model: Untrained, rng: np.random.Generator) -> list[tuple[int, str, np.ndarray]]:
    return [
        (block, kind, rng.normal(0, deviation, (targets, sources)).astype(np.float32))
        for block, kind, sources, targets, deviation in shapes(model)
    ]


def counted(weights: list[tuple[int, str, np.ndarray]], grid: Grid) -> list[LayerCounts]:
    found = []
    for block, kind, values in weights:
        matrix = Matrix(f"L{block}.{kind}", values, "float32")
        found.append(LayerCounts(matrix.name, kind, block, count_edges([matrix], grid, [moments(matrix).rms])))
    return found


def drawn(model: Untrained, grid: Grid, rng: np.random.Generator) -> list[LayerCounts]:
    """The same without ever drawing a weight."""
    found = []
    for block, kind, sources, targets, deviation in shapes(model):
        chances = code_probabilities(grid, [deviation], [deviation if grid.kind == "geometric" else 1.0])
        counts = gaussian_counts(sources, targets, chances, rng)
        found.append(LayerCounts(f"L{block}.{kind}", kind, block, counts))
    return found
