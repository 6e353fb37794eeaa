"""Statistics that every analysis shares: findings, intervals, nulls, corrections. numpy and scipy only."""

from brodmann.stats.finding import Direction, Finding, Judgement, Verdict, conclude, correct, judge
from brodmann.stats.multiple import adjust, fdr, holm
from brodmann.stats.permutation import (
    PermutationResult,
    all_orders,
    count_orders,
    p_value,
    permutation_test,
    random_orders,
    sign_flip_test,
)

__all__ = [
    "Direction",
    "Finding",
    "Judgement",
    "PermutationResult",
    "Verdict",
    "adjust",
    "all_orders",
    "conclude",
    "correct",
    "count_orders",
    "fdr",
    "holm",
    "judge",
    "p_value",
    "permutation_test",
    "random_orders",
    "sign_flip_test",
]
