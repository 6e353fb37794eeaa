"""A Voronoi tiling of a drawn cortex: one cell per unit, layers in columns from the back (left) to the front (right).

The outline is a drawing made for this page; position is layer and index, nothing anatomical. Each layer gets a strip
whose area is its share of the units; its units are spread down the strip and relaxed (Lloyd 1982) inside it, so that
neighbouring cells are units of the same or of neighbouring layers.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import Voronoi, cKDTree

Dots = tuple[tuple[float | int, float | int], ...]

WIDTH, HEIGHT = 1000.0, 720.0

# Clockwise from under the frontal lobe: the lateral fissure, temporal lobe, occiput, vault, forehead.
_CORTEX = (
    (838, 442), (786, 462), (736, 462), (690, 446), (622, 420), (556, 392), (508, 372), (550, 404), (612, 438),
    (664, 470), (702, 504), (708, 546), (672, 582), (600, 600), (510, 606), (424, 604), (346, 592), (290, 570),
    (226, 556), (150, 524), (94, 470), (70, 402), (82, 320), (120, 240), (186, 166), (276, 108), (384, 74),
    (500, 62), (616, 70), (720, 102), (806, 156), (872, 230), (908, 314), (902, 390), (878, 424),
)  # fmt: skip
_CEREBELLUM = (
    (200, 540), (262, 556), (330, 570), (398, 590), (424, 624), (404, 660), (350, 684), (284, 688), (222, 668),
    (182, 626), (178, 576),
)  # fmt: skip
_STEM = ((424, 596), (446, 640), (452, 690), (478, 694), (504, 690), (504, 642), (528, 590))


@dataclass(frozen=True)
class Tiling:
    """Cells of the plate."""

    cells: tuple[np.ndarray, ...]
    """One convex polygon per unit, (corner, 2); it reaches over the outline, which clips it."""
    seeds: np.ndarray
    """(unit, 2)."""
    borders: tuple[tuple[int, int, float, float, float, float], ...]
    """Pairs of neighbouring units and the ends of the edge they share."""
    columns: np.ndarray
    """Horizontal middle of each layer's strip, (layer,)."""


def smooth(points: Dots, closed: bool = True) -> str:
    """SVG path through hand-made points (Catmull-Rom, tension 1/2)."""
    dots = np.array(points, dtype=float)
    if not closed:
        dots = np.vstack([dots[:1], dots, dots[-1:]])
    before, after = (np.roll(dots, 1, 0), np.roll(dots, -1, 0))
    last = len(dots) if closed else len(dots) - 2
    first = 0 if closed else 1
    path = f"M{dots[first][0]:.1f} {dots[first][1]:.1f}"
    for i in range(first, last):
        j = (i + 1) % len(dots)
        one, two = dots[i] + (after[i] - before[i]) / 6, dots[j] - (after[j] - before[j]) / 6
        path += f"C{one[0]:.1f} {one[1]:.1f} {two[0]:.1f} {two[1]:.1f} {dots[j][0]:.1f} {dots[j][1]:.1f}"
    return path + ("Z" if closed else "")


def outline() -> str:
    """SVG path of the cortex."""
    return smooth(_CORTEX)


def surroundings() -> tuple[str, str, tuple[str, ...]]:
    """SVG paths of what is drawn behind the cortex in ink only: brain stem, cerebellum, and its folia."""
    folia = tuple(
        smooth(((170, 578 + 11 * k), (290, 592 + 12.5 * k), (424, 584 + 11 * k)), closed=False) for k in range(11)
    )
    return smooth(_STEM, closed=False), smooth(_CEREBELLUM), folia


def _polygon(points: Dots, per_side: int = 12) -> np.ndarray:
    dots = np.array(points, dtype=float)
    before, ahead, after = np.roll(dots, 1, 0), np.roll(dots, -1, 0), np.roll(dots, -2, 0)
    t = np.linspace(0, 1, per_side, endpoint=False)[:, None, None]
    one, two = dots + (ahead - before) / 6, ahead - (after - dots) / 6
    curve = (1 - t) ** 3 * dots + 3 * t * (1 - t) ** 2 * one + 3 * t**2 * (1 - t) * two + t**3 * ahead
    return np.asarray(curve.transpose(1, 0, 2).reshape(-1, 2))


def inside(points: np.ndarray) -> np.ndarray:
    """Which points (point, 2) lie inside the cortex: bool (point,), by the even-odd rule."""
    ring = _polygon(_CORTEX)
    (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, 0).T
    found = np.empty(len(points), dtype=bool)
    heights, line = np.unique(points[:, 1], return_inverse=True)  # the points of a grid share few heights
    for index, y in enumerate(heights):
        here, spans = line == index, (y0 > y) != (y1 > y)
        crossings = x0[spans] + (x1 - x0)[spans] * (y - y0[spans]) / (y1 - y0)[spans]
        left = np.searchsorted(np.sort(crossings), points[here, 0], side="right")
        found[here] = left % 2 == 1
    return found


def tile(layer: np.ndarray, *, seed: int = 0) -> Tiling:
    """Cut the cortex into one cell per unit.

    Parameters
    ----------
    layer : ndarray of int, (unit,)
        Layer of each unit; units of a layer are laid from top to bottom in the order given.
    seed : int
        Of the small disorder that lets the cells relax like tissue.

    Raises
    ------
    ValueError
        If there are fewer than two units.
    """
    if len(layer) < 2:
        raise ValueError(f"a tiling needs at least two units, not {len(layer)}")
    rng = np.random.default_rng(seed)
    spacing = np.sqrt(440_000 / max(30_000, 40 * len(layer)))
    grid = np.stack(np.meshgrid(np.arange(50, 930, spacing), np.arange(50, 620, spacing)), -1).reshape(-1, 2)
    tissue = grid[inside(grid)]
    tissue = tissue[np.argsort(tissue[:, 0], kind="stable")]
    names, counts = np.unique(layer, return_counts=True)
    cuts = np.round(np.concatenate([[0], np.cumsum(counts)]) / len(layer) * len(tissue)).astype(int)
    seeds, limits = np.empty((len(layer), 2)), np.empty((len(layer), 2))
    columns = np.empty(len(names))
    for index, name in enumerate(names):
        strip = tissue[cuts[index] : cuts[index + 1]]
        members = np.flatnonzero(layer == name)
        seeds[members] = _spread(strip, len(members))
        # Kept off the strip's edges, so that columns stay in order.
        limits[members] = np.quantile(strip[:, 0], (0.2, 0.8))
        columns[index] = strip[:, 0].mean()
    seeds = _relax(seeds, limits, tissue, rng)
    return _voronoi(seeds, columns)


def _spread(strip: np.ndarray, count: int) -> np.ndarray:
    """Centres of ``count`` equal areas of a strip: rows from top to bottom, as many abreast as keeps cells compact."""
    width, height = np.ptp(strip[:, 0]) + 1e-9, np.ptp(strip[:, 1]) + 1e-9
    abreast = int(np.clip(round(np.sqrt(count * width / height)), 1, count))
    rows = np.array_split(np.arange(count), -(-count // abreast))
    strip = strip[np.argsort(strip[:, 1], kind="stable")]
    centres, start = [], 0.0
    for row in rows:
        stop = start + len(row) / count * len(strip)
        band = strip[int(start) : max(int(stop), int(start) + len(row))]
        band = band[np.argsort(band[:, 0], kind="stable")]
        centres += [part.mean(axis=0) for part in np.array_split(band, len(row))]
        start = stop
    return np.array(centres)


def _relax(seeds: np.ndarray, limits: np.ndarray, tissue: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = np.sqrt(440_000 / len(seeds))
    seeds = seeds + rng.normal(scale=0.16 * size, size=seeds.shape)
    for _ in range(8):
        nearest = cKDTree(seeds).query(tissue)[1]
        area = np.bincount(nearest, minlength=len(seeds))
        for axis in range(2):
            total = np.bincount(nearest, weights=tissue[:, axis], minlength=len(seeds))
            seeds[:, axis] = np.where(area > 0, total / np.maximum(area, 1), seeds[:, axis])
        seeds[:, 0] = np.clip(seeds[:, 0], limits[:, 0], limits[:, 1])
    return seeds


def _voronoi(seeds: np.ndarray, columns: np.ndarray) -> Tiling:
    # A ring of far points makes every real cell finite.
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    ring = np.array([WIDTH / 2, HEIGHT / 2]) + 1500 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    diagram = Voronoi(np.vstack([seeds, ring]))
    cells = []
    for index, seed in enumerate(seeds):
        corners = diagram.vertices[diagram.regions[diagram.point_region[index]]]
        turn = np.arctan2(*(corners - seed).T[::-1])
        cells.append(corners[np.argsort(turn)])
    borders = []
    for (a, b), (start, end) in zip(diagram.ridge_points, diagram.ridge_vertices, strict=True):
        if max(a, b) < len(seeds) and min(start, end) >= 0:
            (x0, y0), (x1, y1) = diagram.vertices[start].tolist(), diagram.vertices[end].tolist()
            borders.append((int(a), int(b), x0, y0, x1, y1))
    return Tiling(tuple(cells), seeds, tuple(borders), columns)
