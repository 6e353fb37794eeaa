"""The published claims about the synergistic core, each as a test that this model can pass or fail.

Source of the claims: Urbina-Rodriguez et al. 2026 (arXiv 2601.06851). Contrasts are taken on the mean-rank scale (0 the
least, 1 the most synergistic a layer can be), not on the min-max scaled profile, which would stretch a flat one.
Verdicts are made by `stats.judge` alone; p values are corrected over the five findings (Holm).
"""

from collections.abc import Sequence

import numpy as np

from brodmann.stats import Finding, bootstrap_interval, conclude, correct, phase_randomise, split_half, weighted_mean
from brodmann.synergy import core
from brodmann.synergy.claims_memory import beyond_memory
from brodmann.synergy.claims_networks import efficiency, modularity
from brodmann.synergy.evidence import MARGIN, RECOMBINED, RELIABLE, SOURCE, Evidence, rank_contrast, trusted
from brodmann.synergy.pairs import over_prompts, pair_atoms
from brodmann.synergy.sparse import contributions

_CCS_PAIRS = 1_000_000


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """Test the four claims that the recording alone can decide; their p values are not yet corrected."""
    return inverted_u(evidence), efficiency(evidence), modularity(evidence), beyond_memory(evidence)


def corrected(own: Sequence[Finding], random: Finding) -> tuple[Finding, ...]:
    """Put the finding about random weights in its place, and correct the p values for being five (Holm)."""
    return correct((own[0], random, *own[1:]))


def inverted_u(evidence: Evidence) -> Finding:
    """Claim 1: middle layers rank higher than both ends."""
    rng = evidence.generator("inverted_u")
    nodes, layer, kind = evidence.measured.nodes, evidence.measured.layer, evidence.settings.rank
    contrast = rank_contrast(nodes, layer, kind)
    found = bootstrap_interval(contrast, evidence.prompts, rng=rng, draws=evidence.settings.bootstraps)
    reliability = split_half(
        lambda weights: core.rank_nodes(
            weighted_mean(weights, nodes.synergy), weighted_mean(weights, nodes.redundancy), kind
        ),
        evidence.prompts, rng=rng,
    ).reliability  # fmt: skip
    whole = np.full((1, evidence.prompts), 1 / evidence.prompts)
    ranks = core.rank_nodes(weighted_mean(whole, nodes.synergy)[0], weighted_mean(whole, nodes.redundancy)[0], kind)
    scaled = core.scale(ranks, *core.rank_limits(ranks.size, kind))
    nulls = {
        f"{exchange} exchanged": core.mid_minus_higher_end(
            core.exchanged_profiles(scaled, layer, rng, exchange=exchange, draws=RECOMBINED)
        )
        for exchange in core.EXCHANGES
    }
    symmetric = float(core.mid_minus_ends(core.layer_profile(scaled, layer)))
    profile = core.layer_profile(scaled, layer)
    smooth = core.mid_minus_higher_end(phase_randomise(np.tile(profile, (RECOMBINED, 1)), rng))
    reached = float((smooth >= float(found.estimate)).mean())
    least = float((nulls["layers exchanged"] >= nulls["layers exchanged"].max()).mean())
    caveats = [
        *_by_other_readings(evidence, found.interval, reliability),
        f"middle third minus the mean of both outer thirds: {symmetric:.2g}",
        f"split-half reliability of the ranking {reliability:.2f}"
        + ("" if reliability >= RELIABLE else ": noise shrinks rank contrasts, so only their sign is judged"),
        f"it describes one model: {reached:.0%} of profiles as smooth, with a hump anywhere, reach the contrast",
    ]
    if least > 0.01:
        caveats.append(f"{profile.size} layers have few orders: exchanging them cannot give p below {least:.2g}")
    return conclude(
        "inverted_u",
        "The synergy-redundancy rank is higher in the middle third of layers than in the first and the last",
        estimate=float(found.estimate), interval=trusted(found.interval, evidence.prompts), nulls=nulls,
        margin=MARGIN if reliability >= RELIABLE else 0.0,
        units="of the rank scale (middle third minus the higher outer third)", n=evidence.prompts,
        unit_of_inference="prompt", source=SOURCE, seed=evidence.seed, caveats=caveats,
    )  # fmt: skip


def _by_other_readings(evidence: Evidence, main: tuple[float, float], reliability: float) -> tuple[str, ...]:
    """What the other definition of the rank and the other redundancy function say, beside the main interval.

    The interval by difference of ranks is judged on its own scale, which is twice as long, and without a null.
    """
    kind = evidence.settings.rank
    other = next(k for k in core.DEFINITIONS if k != kind)
    rng = evidence.generator("other definition")
    found = bootstrap_interval(
        rank_contrast(evidence.measured.nodes, evidence.measured.layer, other), evidence.prompts, rng=rng,
        draws=evidence.settings.bootstraps,
    )  # fmt: skip
    factor = 2.0 if other == "difference_of_ranks" else 0.5
    low, high = (factor * end for end in found.interval)
    margin = MARGIN if reliability >= RELIABLE else 0.0
    here, there = _said(*main, margin), _said(low, high, margin)
    said = f"{there} too" if there == here else there
    words = (
        f"ranked by {kind.replace('_', ' ')}; ranked by {other.replace('_', ' ')} the contrast {said}: "
        f"{factor * float(found.estimate):.2g}"
    )
    ccs = _contrast_by_ccs(evidence)
    return (words,) if ccs is None else (words, f"with the redundancy function CCS in place of MMI: {ccs:.2g}")


def _said(low: float, high: float, margin: float) -> str:
    return "is an inverted U" if low > margin else "is no inverted U" if high < margin else "is undecided"


def _contrast_by_ccs(evidence: Evidence) -> float | None:
    """Rank contrast under CCS, which does not count independent memory as synergy; from some prompts, to stay cheap."""
    measured = evidence.measured
    units = measured.layer.size
    if evidence.settings.redundancy != "mmi" or measured.parts[0].discrete:
        return None
    prompts = int(min(len(measured.parts), 12, _CCS_PAIRS // (units * (units - 1) // 2)))
    if prompts < 2:
        return None
    chosen = [measured.parts[i] for i in np.linspace(0, len(measured.parts) - 1, prompts).round().astype(int)]
    found = over_prompts(
        lambda part: core.node_means_of_upper(
            pair_atoms(part, redundancy="ccs", names=("sts", "rtr"), both=False).values
        ),
        chosen,
    )
    synergy, redundancy = contributions(np.moveaxis(np.stack(list(found)), 1, 0)).mean(axis=1)
    profile = core.rank_profile(synergy, redundancy, measured.layer, evidence.settings.rank)
    return float(core.mid_minus_higher_end(profile))
