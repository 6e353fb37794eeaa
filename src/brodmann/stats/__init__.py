"""Statistics that every analysis shares: findings, intervals, nulls, corrections. numpy and scipy only."""

from brodmann.stats.bootstrap import (
    Bootstrap,
    Jackknife,
    bca,
    bootstrap_interval,
    jackknife_interval,
    jackknife_variance,
    resampling_weights,
    simultaneous_band,
    weighted_mean,
)
from brodmann.stats.changepoint import Cuts, Segmentation, cut_all, segment
from brodmann.stats.effects import Effect, hedges_g
from brodmann.stats.equivalence import Equivalence, tost, tost_mean
from brodmann.stats.finding import Direction, Finding, Verdict, p_text, read_findings
from brodmann.stats.judging import Judgement, conclude, correct, judge
from brodmann.stats.multiple import adjust, fdr, holm
from brodmann.stats.permutation import (
    PermutationResult,
    all_orders,
    count_orders,
    difference_p_value,
    p_value,
    permutation_test,
    random_orders,
    sign_flip_test,
)
from brodmann.stats.prediction import prediction_p_value
from brodmann.stats.reliability import SplitHalf, spearman_brown, split_half
from brodmann.stats.sequential import Spending, Verdicts, in_a_row, spending, spent
from brodmann.stats.surrogates import circular_shift, derangement, phase_randomise, prompt_mismatch

__all__ = [
    "Bootstrap",
    "Cuts",
    "Direction",
    "Effect",
    "Equivalence",
    "Finding",
    "Jackknife",
    "Judgement",
    "PermutationResult",
    "Segmentation",
    "Spending",
    "SplitHalf",
    "Verdict",
    "Verdicts",
    "adjust",
    "all_orders",
    "bca",
    "bootstrap_interval",
    "circular_shift",
    "conclude",
    "correct",
    "count_orders",
    "cut_all",
    "derangement",
    "difference_p_value",
    "fdr",
    "hedges_g",
    "holm",
    "in_a_row",
    "jackknife_interval",
    "jackknife_variance",
    "judge",
    "p_text",
    "p_value",
    "permutation_test",
    "phase_randomise",
    "prediction_p_value",
    "prompt_mismatch",
    "random_orders",
    "read_findings",
    "resampling_weights",
    "segment",
    "sign_flip_test",
    "simultaneous_band",
    "spearman_brown",
    "spending",
    "spent",
    "split_half",
    "tost",
    "tost_mean",
    "weighted_mean",
]
