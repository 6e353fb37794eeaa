"""Claim 5, about the rival explanation: the inverted U of synergy is more than each unit's own memory."""

from dataclasses import replace

import numpy as np

from brodmann.stats import Finding, bootstrap_interval, conclude, p_text, p_value
from brodmann.synergy import core
from brodmann.synergy.evidence import RECOMBINED, SOURCE, Evidence, mean_contrast, rank_correlation, trusted
from brodmann.synergy.surrogates import recombine

EXPLAINED = "explained by autocorrelation"
"""What is said of an inverted U that is there, and that memory alone would give."""


def beyond_memory(evidence: Evidence) -> Finding:
    """Claim 5: the inverted U of synergy is more than each unit's own memory.

    The contrast is taken on the excess: node synergy minus its mean over surrogates that keep every unit's memory
    exactly and break the coupling. Both kinds of surrogates must agree: the interval spans both, so support needs the
    smaller excess beyond the margin and contradiction the larger one within or below it.
    """
    rng = evidence.generator("beyond_memory")
    layer, observed = evidence.measured.layer, evidence.measured.nodes.synergy
    mean = np.nanmean(observed, axis=0)
    raw = float(core.mid_minus_higher_end(core.layer_profile(mean, layer)))
    found, draws, p_values, below = {}, {}, {}, []
    there = bootstrap_interval(
        mean_contrast(observed, layer), evidence.prompts, rng=rng, draws=evidence.settings.bootstraps
    )
    # Without an inverted U of the synergy itself there is nothing that could be more than memory.
    p_values["no inverted U of synergy"] = float((1 + (there.samples <= 0).sum()) / (1 + there.samples.size))
    for kind, null in evidence.nulls.items():
        words = f"{kind.replace('_', ' ')} surrogates"
        found[words] = bootstrap_interval(
            mean_contrast(observed - null.synergy.mean(axis=0), layer), evidence.prompts, rng=rng,
            draws=evidence.settings.bootstraps,
        )  # fmt: skip
        sampled = recombine(null.synergy, RECOMBINED, rng)
        draws[words] = core.mid_minus_higher_end(core.layer_profile(sampled - sampled.mean(axis=0), layer))
        p_values[words] = p_value(float(found[words].estimate), draws[words])
        below.append(p_value(float(found[words].estimate), draws[words], "less"))
    estimates = {words: float(f.estimate) for words, f in found.items()}
    ends = [end for f in found.values() for end in f.interval]
    related = rank_correlation(mean, evidence.measured.autocorrelation)
    caveats = [
        f"the same contrast of the synergy itself is {raw:.2g} nats; the margin is a tenth of it",
        f"excess over {' and '.join(f'{words}: {value:.2g}' for words, value in estimates.items())}",
        "the interval spans both",
        f"over units, synergy has a rank correlation of {related:.2f} with lag autocorrelation",
    ]
    if max(below) < 0.05:
        caveats += [
            f"memory alone predicts a larger inverted U than was measured ({p_text(max(below))})",
            "so the units are coupled, and what they share lowers their synergy; coupled synergy may hide under it",
        ]
    interval = trusted((min(ends), max(ends)), evidence.prompts)
    finding = conclude(
        "more_than_memory",
        "The inverted U of synergy is more than the units' own memory would give without coupling",
        estimate=min(estimates.values()), interval=interval, nulls=draws, p_values=p_values, margin=abs(raw) / 10,
        units="nats (excess synergy: middle third minus the higher outer third)", n=evidence.prompts,
        unit_of_inference="prompt", source=f"Rival explanation of {SOURCE}", seed=evidence.seed, caveats=caveats,
    )  # fmt: skip
    if finding.verdict != "contradicted" or there.interval[0] <= 0:
        return finding
    why = f"{EXPLAINED}: series with the same memory and no coupling show this inverted U, or a larger one"
    return replace(finding, caveats=(why, *finding.caveats))
