"""Activity with a planted allocation: clusters of texts, unit effects, surprisal and position effects."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from brodmann.allocation.density import layer_matched, yardstick
from brodmann.allocation.evidence import Scene
from brodmann.allocation.listening import Listened, curved
from brodmann.allocation.texts import conditions
from brodmann.settings import AllocationSettings

LAYERS, HEADS = 6, 8
FAMILIES = AllocationSettings().hard_tasks


@dataclass(frozen=True, eq=False)
class Planted:
    scene: Scene
    heard: Listened


def plant(
    seed: int, ratio: float, *, texts: int = 10, neutral: int = 40, steps: int = 24, shared: float = 1.2,
    families: int = 5, tau: float = 0.0,
    settings: AllocationSettings | None = None, unit_seed: int | None = None,
) -> Planted:  # fmt: skip
    """Units above their threshold with a probability that is a product of what acts on it.

    The core's factor on hard texts is `shared * ratio`, that of all other units is `shared`. Surprisal (larger on hard
    texts) and position act on every unit with a slope of its own, and surprisal more strongly on the core: who does not
    hold it equal finds too large a ratio. A unit's latent is correlated along a text, and all units share a part of it.
    Each unit also answers to hard texts in its own way, which leaves the weighted means of the core and of its
    layer-matched others as planted. Families differ in the core's log factor by `tau` (standard deviation), as if drawn
    from many: `ratio` is the geometric mean over those. Label -1 calibrates thresholds, 0 is the reference; numbers of
    texts are the study's defaults.
    """
    rng = np.random.default_rng([seed, 142])
    units = np.random.default_rng([seed if unit_seed is None else unit_seed, 143])
    layer = np.repeat(np.arange(LAYERS), HEADS)
    core = np.zeros(layer.size, bool)
    for each, count in enumerate((1, 2, 4, 4, 2, 1)):
        core[units.choice(np.flatnonzero(layer == each), count, replace=False)] = True
    label = np.repeat(np.arange(-1, families + 1), [neutral, neutral, *(texts for _ in range(families))])
    hard = label > 0
    surprisal = rng.gamma(4.0, 0.5, (label.size, steps + 1)) * np.where(hard, 1.5, 1.0)[:, None]
    surprisal *= rng.gamma(20, 1 / 20, label.size)[:, None]
    position = np.broadcast_to(np.arange(float(steps)), (label.size, steps))
    slopes = units.normal(0.03, 0.02, layer.size) + 0.08 * core
    drift = units.normal(-0.008, 0.004, layer.size)
    factor = np.where(hard, np.log(shared), 0.0)[:, None] + np.where(hard[:, None] & core, np.log(ratio), 0.0)
    own = np.exp(units.normal(0.0, 0.15, (families, layer.size)))
    groups = layer_matched(core, layer)
    mean = np.where(core, (own @ groups.core)[:, None], (own @ groups.others)[:, None])
    factor[hard] += np.log(own / mean)[label[hard] - 1]
    factor[hard] += core * tau * np.random.default_rng([seed, 144]).standard_normal(families)[label[hard] - 1, None]
    log_p = factor[:, None] + surprisal[:, :-1, None] * slopes + position[..., None] * drift
    # each unit is above its threshold on a quarter of the neutral steps
    log_p += np.log(0.25 / np.exp(log_p[label <= 0]).mean(axis=(0, 1)))
    loud = _latent(rng, *log_p.shape) + ndtri(np.clip(np.exp(log_p), 1e-6, 0.98))
    activity = np.exp(units.normal(0, 1, layer.size) + 0.4 * loud).astype(np.float32)
    covariates = curved(surprisal[:, :-1], surprisal[:, 1:], position)
    chosen = settings or AllocationSettings(ratio_bootstraps=1000, random_sets=199)
    chosen = replace(chosen, hard_tasks=FAMILIES[:families], rungs=1)
    against = yardstick(activity[label == -1])
    test = label >= 0
    scene = Scene(conditions(chosen)[: families + 1], core, layer, against, chosen, seed)
    return Planted(scene, Listened(activity[test], covariates[test], label[test], np.ones(int(test.sum()), bool)))


def _latent(rng: np.random.Generator, texts: int, steps: int, units: int) -> np.ndarray:
    """Standard normal at each step: parts of the text (common and the unit's own), the rest autoregressive."""
    common, own, memory = 0.04, 0.08, 0.5
    noise = rng.standard_normal((texts, steps, units))
    for step in range(1, steps):
        noise[:, step] = memory * noise[:, step - 1] + np.sqrt(1 - memory**2) * noise[:, step]
    return (
        np.sqrt(common) * rng.standard_normal((texts, 1, 1))
        + np.sqrt(own) * rng.standard_normal((texts, 1, units))
        + np.sqrt(1 - common - own) * noise
    )
