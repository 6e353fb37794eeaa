"""Claim 2, about what training brings: random weights of the same config, reading the same text, show no inverted U.

Initialisations are the unit of inference. Everything else about the recording is tested in `claims`.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from scipy import stats as distributions

from brodmann.settings import SynergySettings
from brodmann.stats import Finding, bootstrap_interval, conclude
from brodmann.synergy.evidence import MARGIN, SOURCE, generator, rank_contrast
from brodmann.synergy.surrogates import NodeMeans


def absent_at_random_init(
    trained: NodeMeans,
    controls: Sequence[NodeMeans],
    layer: Int[np.ndarray, " unit"],
    settings: SynergySettings,
    seed: int,
) -> Finding:
    """Claim 2: randomly initialised weights of the same config show no inverted U on the same text."""
    kind, prompts = settings.rank, len(trained.synergy)
    rng = generator(seed, "absent_at_random_init")
    drawn = [
        bootstrap_interval(
            rank_contrast(nodes, layer, kind), prompts, rng=rng, draws=settings.bootstraps,
            method="percentile",
        )
        for nodes in controls
    ]  # fmt: skip
    seeds = np.array([float(d.estimate) for d in drawn])
    count = seeds.size
    estimate = float(seeds.mean()) if count else math.nan
    # Initialisations are the unit of inference: Student's t over seeds, widened by the bootstrap error over prompts.
    within = sum(float(d.samples.var(ddof=1)) for d in drawn) / max(count, 1) ** 2
    error = math.sqrt((float(seeds.var(ddof=1)) / count if count > 1 else 0.0) + within)
    known = count > 1 and error > 0
    reach = float(distributions.t.ppf(0.975, count - 1)) * error if known else math.nan
    p = float(distributions.t.cdf((estimate - MARGIN) / error, count - 1)) if known else math.nan
    reached = float(rank_contrast(trained, layer, kind)(np.ones((1, prompts)))[0])
    caveats = ["fewer than two randomly initialised models were run"] if count < 2 else []
    if count:
        level = np.mean([nodes.synergy.mean() for nodes in controls])
        caveats += [
            f"per initialisation: {', '.join(f'{s:.2g}' for s in seeds)}; trained: {reached:.2g}",
            "random weights read the trained model's own text; their own greedy text falls into loops",
            "norms of random networks mostly drift with position, so the two differ in more than what was learned",
            f"mean synergy {level:.2g} nats random, {np.nanmean(trained.synergy):.2g} nats trained",
        ]
    return conclude(
        "absent_at_random_init",
        "With random weights of the same config, reading the same text, there is no inverted U",
        estimate=estimate, interval=(estimate - reach, estimate + reach),
        p_values={f"an inverted U of {MARGIN:g}": p} if known else {}, direction="less", reference=MARGIN,
        units="of the rank scale (middle third minus the higher outer third)", n=count,
        unit_of_inference="random initialisation", source=SOURCE, seed=seed, caveats=caveats,
    )  # fmt: skip
