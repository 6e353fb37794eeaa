"""Informations of binarised pairs from the joint distribution of past and future: sixteen states, plug-in estimates.

Each of the four windows is cut at its own mean, as the reference implementation does. Redundancy: minimum mutual
information (MMI), common change in surprisal (CCS; Ince 2017) and the specific-information measure I_min (Williams and
Beer 2010, arXiv 1004.2515). Everything is in nats; the cost does not grow with the length of the series beyond one
matrix product.
"""

from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from brodmann.synergy.gaussian import Informations, ccs_redundancies, mmi_redundancies

_AXES = {"x": 0, "a": 1, "y": 2, "b": 3}
_TERMS = ("xa", "xb", "ya", "yb", "xy_a", "xy_b", "x_ab", "y_ab", "xy_ab")
NO_SIGN = 1e-12
"""Local informations of discrete variables are often exactly zero up to rounding; smaller values have no sign."""


def joint_distribution(
    rows_past: Bool[Tensor, "row sample"],
    rows_future: Bool[Tensor, "row sample"],
    columns_past: Bool[Tensor, "column sample"],
    columns_future: Bool[Tensor, "column sample"],
) -> Float[Tensor, "2 2 2 2 row column"]:
    """Empirical joint distribution of each pair, axes (x, a, y, b, row, column)."""
    rows, columns = _indicators(rows_past, rows_future), _indicators(columns_past, columns_future)
    counts = rows.flatten(0, 1) @ columns.flatten(0, 1).T
    counts = counts.reshape(4, rows.shape[1], 4, columns.shape[1]).permute(0, 2, 1, 3)
    return counts.reshape(2, 2, 2, 2, rows.shape[1], columns.shape[1]) / rows_past.shape[1]


def _indicators(past: Tensor, future: Tensor) -> Tensor:
    state = 2 * past.to(torch.int64) + future
    return torch.stack([(state == s).to(torch.float64) for s in range(4)])


def mean_informations(p: Float[Tensor, "2 2 2 2 *pair"]) -> Informations:
    """Nine mutual informations of each pair, in nats."""
    entropy = {}
    for size in (1, 2, 3, 4):
        for names in combinations("xyab", size):
            marginal = _marginal(p, "".join(names))
            entropy["".join(names)] = torch.special.entr(marginal).sum((0, 1, 2, 3))
    return Informations(**{term: _information(entropy, term) for term in _TERMS})


def _marginal(p: Tensor, keep: str) -> Tensor:
    gone = [axis for name, axis in _AXES.items() if name not in keep]
    return p.sum(gone, keepdim=True) if gone else p


def _sides(term: str) -> tuple[str, str]:
    past = "".join(c for c in term if c in "xy")
    future = "".join(c for c in term if c in "ab")
    return past, future


def _information(entropy: dict[str, Tensor], term: str) -> Tensor:
    past, future = _sides(term)
    return entropy[past] + entropy[future] - entropy[past + future]


def local_informations(p: Float[Tensor, "2 2 2 2 *pair"]) -> Informations:
    """Informations of each of the sixteen states; states that do not occur get 0."""
    fields = {}
    for term in _TERMS:
        past, future = _sides(term)
        joint, one, other = _marginal(p, past + future), _marginal(p, past), _marginal(p, future)
        value = torch.log(joint) - torch.log(one) - torch.log(other)
        fields[term] = torch.where(p > 0, value.expand(p.shape), 0.0)
    return Informations(**fields)


def redundancies(p: Float[Tensor, "2 2 2 2 *pair"], i: Informations, kind: str) -> tuple[Tensor, ...]:
    """Six single-target redundancies and the double redundancy, averaged over states (MMI, CCS or I_min)."""
    if kind == "mmi":
        return mmi_redundancies(i)
    if kind == "ccs":
        local = ccs_redundancies(local_informations(p), tolerance=NO_SIGN)
        return tuple((p * r).sum((0, 1, 2, 3)) for r in local)
    r_a, r_b, r_ab = i_min(p, "a", "x", "y"), i_min(p, "b", "x", "y"), i_min(p, "ab", "x", "y")
    q_x, q_y, q_xy = i_min(p, "x", "a", "b"), i_min(p, "y", "a", "b"), i_min(p, "xy", "a", "b")
    # I_min has no published double redundancy. The smallest of the four single ones keeps every atom's bound and, with
    # MMI in place of I_min, is exactly MMI's double redundancy.
    double = torch.minimum(torch.minimum(r_a, r_b), torch.minimum(q_x, q_y))
    return r_a, r_b, r_ab, q_x, q_y, q_xy, double


def i_min(p: Float[Tensor, "2 2 2 2 *pair"], target: str, first: str, second: str) -> Float[Tensor, "*pair"]:
    """Williams and Beer's redundancy of two sources about a target: the expected smaller specific information.

    ``sum_s p(s) min_i I(S=s; X_i)`` with ``I(S=s; X) = sum_x p(x|s) log(p(s|x) / p(s))``.

    Examples
    --------
    >>> p = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    >>> p[0, 0, 0, 0] = p[1, 1, 1, 1] = 0.5
    >>> round(float(i_min(p, "a", "x", "y")), 6)  # one bit
    0.693147
    """
    weight = _marginal(p, target)

    def specific(source: str) -> Tensor:
        joint, own = _marginal(p, target + source), _marginal(p, source)
        ratio = torch.where(joint > 0, torch.log(joint) - torch.log(own) - torch.log(weight), 0.0)
        conditional = torch.where(weight > 0, joint / weight, 0.0)
        return (conditional * ratio).sum(_AXES[source], keepdim=True)

    return (weight * torch.minimum(specific(first), specific(second))).sum((0, 1, 2, 3))


def sample_informations(
    p: Float[Tensor, "2 2 2 2 row column"],
    states: tuple[Tensor, Tensor, Tensor, Tensor],
) -> Informations:
    """Informations of each sample, (row, column, sample), looked up in those of its state.

    ``states`` are the bits of x and a (row, sample) and of y and b (column, sample).
    """
    x, a, y, b = states
    index = (2 * x.to(torch.int64) + a)[:, None] * 4 + (2 * y.to(torch.int64) + b)[None]
    fields = {}
    for name, value in vars(local_informations(p)).items():
        table = value.flatten(0, 3).permute(1, 2, 0)
        fields[name] = table.gather(-1, index)
    return Informations(**fields)
