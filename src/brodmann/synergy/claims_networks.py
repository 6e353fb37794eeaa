"""Claims 3 and 4, about the networks: efficiency and modularity, against permuted graphs and against memory alone.

Permuted graphs are a null for who is connected to whom. They are no null for memory: the synergy that independent units
owe to their memory is itself a structured network. So surrogate networks, whose units kept their memory and lost their
coupling, must be beaten too, and a difference that lies among theirs decides nothing.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from brodmann.stats import Finding, conclude, jackknife_interval, prediction_p_value
from brodmann.synergy import graphs
from brodmann.synergy.evidence import SOURCE, Evidence, trusted
from brodmann.synergy.measure import leave_group_out

NetworkStatistic = Callable[[np.ndarray, np.ndarray], float]


def efficiency(evidence: Evidence) -> Finding:
    """Claim 3: the synergy network is more efficient than the redundancy network."""
    networks = evidence.networks

    def statistic(synergy: np.ndarray, redundancy: np.ndarray) -> float:
        one, other = (graphs.global_efficiency(graphs.weigh(w, "normalised")) for w in (synergy, redundancy))
        return one - other

    raw = networks["efficiency"].sel(weighting="raw")
    ratio = float(raw.sel(network="synergy") / raw.sel(network="redundancy"))
    return _network_finding(
        evidence, "synergy_more_efficient",
        "The synergy network has a higher global efficiency than the redundancy network",
        statistic, networks["efficiency_null"].sel(weighting="normalised"), ("synergy", "redundancy"),
        units="(synergy minus redundancy, weights divided by their mean)",
        caveats=(f"raw, as published: {ratio:.2g} times, which is mostly the ratio of mean weights",),
    )  # fmt: skip


def modularity(evidence: Evidence) -> Finding:
    """Claim 4: the redundancy network is more modular than the synergy network."""

    def statistic(synergy: np.ndarray, redundancy: np.ndarray) -> float:
        # The optimiser starts alike each time, so that the jackknife sees the prompts' noise and not the optimiser's.
        rng = evidence.generator("modularity runs")
        one, other = (graphs.communities(w, rng, runs=3).typical for w in (redundancy, synergy))
        return one - other

    networks = evidence.networks["modularity_typical"].sel(weighting="raw")
    return _network_finding(
        evidence, "redundancy_more_modular",
        "The redundancy network is more modular than the synergy network",
        statistic, evidence.networks["modularity_null"].sel(weighting="raw"), ("redundancy", "synergy"),
        units="of modularity Q (redundancy minus synergy, Leiden)",
        caveats=(f"Q {float(networks[1]):.2g} redundancy, {float(networks[0]):.2g} synergy",),
    )  # fmt: skip


def _network_finding(
    evidence: Evidence, name: str, claim: str, statistic: NetworkStatistic, null: xr.DataArray, order: tuple[str, str],
    *, units: str, caveats: tuple[str, ...],
) -> Finding:  # fmt: skip
    """Difference of two networks: jackknife over groups of prompts, permuted graphs and surrogate networks as nulls."""
    measured = evidence.measured
    estimate = float(statistic(measured.synergy, measured.redundancy))
    found = jackknife_interval(estimate, np.array([statistic(*pair) for pair in leave_group_out(measured)]))
    draws, p_values = {}, {}
    for kind in null["graph_null"].values:
        first, second = (null.sel(network=network, graph_null=kind).values for network in order)
        words = f"{str(kind).replace('_', ' ')} graphs"
        draws[words] = np.subtract.outer(first, second).ravel()
        p_values[words] = prediction_p_value(estimate, first, second)
    memory = {}
    for kind, surrogates in evidence.nulls.items():
        words = f"{kind.replace('_', ' ')} networks"
        draws[words] = np.array([statistic(*pair) for pair in surrogates.networks])
        p_values[words] = prediction_p_value(estimate, draws[words])
        memory[words] = float(draws[words].mean())
    # Null graphs keep the bias of noisy pairs, so they meet the uncorrected value; the interval covers both.
    low, high = found.interval
    ends = (low, low + found.bias, high, high + found.bias)
    interval = trusted((min(ends), max(ends)), evidence.prompts)
    upper, lower = max(0.0, *memory.values()), min(0.0, *memory.values())
    told = ", ".join(f"{value:.2g} in {words}" for words, value in memory.items())
    return conclude(
        name, claim, estimate=estimate, interval=interval, nulls=draws, p_values=p_values, units=units,
        reference=threshold(estimate, interval, tuple(memory.values())), n=evidence.prompts,
        unit_of_inference="prompt", source=SOURCE, seed=evidence.seed,
        would_change=f"Support needs an interval above {upper:.2g} and p < 0.05 against every null; an interval below "
        f"{lower:.2g} contradicts the claim; between them memory alone could have made the difference.",
        caveats=(
            *caveats,
            f"memory without coupling gives {told}; only what lies beyond these and beyond 0 decides",
            f"interval: jackknife over {measured.group_sizes.size} groups of prompts",
            f"it is wide enough to hold {found.corrected:.2g} too, the estimate without the bias of noisy pairs",
            f"p from normal nulls fitted to {null.sizes['draw']} graphs and {len(surrogates.networks)} networks a kind",
        ),
    )  # fmt: skip


def threshold(estimate: float, interval: tuple[float, float], memory: tuple[float, ...]) -> float:
    """Value that the claim "greater" is counted from, when memory alone already gives differences.

    The claim is supported only above 0 and above all differences that uncoupled surrogates show, and contradicted only
    below 0 and below all of them. An interval that reaches into that range decides nothing: counted from the estimate
    itself it has both signs.

    Examples
    --------
    >>> threshold(0.09, (0.07, 0.12), (0.03, 0.01)), threshold(-0.3, (-0.4, -0.2), (-0.45, -0.1))
    (0.03, -0.3)
    """
    upper, lower = max(0.0, *memory), min(0.0, *memory)
    if interval[0] > upper:
        return upper
    return lower if interval[1] < lower else estimate
