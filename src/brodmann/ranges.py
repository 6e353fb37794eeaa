"""Which numbers settings may hold: one table, read before anything is loaded, and where a study is called directly.

Only numbers stand here; whether a task or a model exists is said where it is looked up.
"""

import math
from typing import Any, NamedTuple

from brodmann.errors import SettingsError
from brodmann.settings import (
    AccuracySettings,
    AllocationSettings,
    FractalSettings,
    LesionSettings,
    MapSettings,
    RecordSettings,
    SynergySettings,
    TrackSettings,
)


class _Range(NamedTuple):
    name: str
    least: float
    most: float = math.inf
    words: str = ""


_TINY = 1e-6
_SHARE = (_TINY, 1 - _TINY, "between 0 and 1")
_HALF = (_TINY, 0.5, "above 0 and at most 0.5")
_RANGES: dict[type, tuple[_Range, ...]] = {
    MapSettings: (_Range("seed", 0),),
    RecordSettings: (_Range("new_tokens", 1), _Range("batch_size", 1), _Range("min_tokens", 1)),
    SynergySettings: (
        _Range("tau", 1), _Range("core_fraction", *_SHARE), _Range("bootstraps", 1), _Range("surrogates", 1),
        _Range("null_models", 0), _Range("graph_nulls", 1),
    ),
    LesionSettings: (_Range("layer_draws", 3), _Range("random_draws", 3), _Range("lesion_tokens", 1)),
    AllocationSettings: (
        _Range("rungs", 1), _Range("task_texts", 2), _Range("neutral_texts", 4), _Range("text_context", 4),
        _Range("text_steps", 2), _Range("answer_tokens", 0), _Range("active_quantile", *_SHARE),
        _Range("ratio_bootstraps", 1), _Range("random_sets", 1), _Range("perplexity_loss", 0),
    ),
    AccuracySettings: (
        _Range("questions", 5), _Range("shots", 0), _Range("accuracy_share", *_HALF), _Range("control_sets", 3),
        _Range("random_unit_sets", 1), _Range("noise_loss", *_SHARE),
    ),
    TrackSettings: (
        _Range("growth_null_models", 0), _Range("growth_surrogates", 2), _Range("growth_bootstraps", 1),
        _Range("growth_subsets", 1), _Range("induction_sequences", 2), _Range("induction_tokens", 4),
    ),
    FractalSettings: (
        _Range("r_max", 5, 60_000), _Range("min_degree", 1), _Range("fractal_nulls", 2), _Range("initialisations", 2),
        _Range("initial_deviation", 1e-6, 100.0),
        _Range("fractal_bootstraps", 1), _Range("tails_up_to", 1), _Range("sampled", 0), _Range("samples", 2),
    ),
}  # fmt: skip


def check_ranges(settings: Any) -> None:
    """Refuse numbers that cannot work.

    Parameters
    ----------
    settings
        Settings of one room, or those of a whole run.

    Raises
    ------
    SettingsError
        Names the setting and its limits.

    Examples
    --------
    >>> check_ranges(MapSettings())
    >>> check_ranges(LesionSettings(layer_draws=1))
    Traceback (most recent call last):
    ...
    brodmann.errors.SettingsError: layer_draws = 1; it must be at least 3
    """
    if isinstance(settings, MapSettings):
        for section in vars(settings).values():
            check_ranges(section)
    for each in _RANGES.get(type(settings), ()):
        value = getattr(settings, each.name)
        if value is not None and not each.least <= value <= each.most:  # not a number is refused too
            words = each.words or f"at least {each.least:g}"
            raise SettingsError(f"{each.name} = {value}; it must be {words}")
    if isinstance(settings, LesionSettings):
        _check_fractions(settings.fractions)


def _check_fractions(steps: tuple[float, ...]) -> None:
    """Shares that are removed one after the other."""
    if not steps or list(steps) != sorted(set(steps)) or not all(0 < step <= 0.5 for step in steps):
        raise SettingsError(
            f"fractions = {', '.join(map(str, steps)) or 'none'}; they must ascend, above 0 and at most 0.5"
        )
