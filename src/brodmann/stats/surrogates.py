"""Break the coupling between series and keep what each is on its own.

Circular shift, phase randomisation (Theiler et al. 1992, algorithms 1 and 2) and derangements that pair a series with
one from another prompt. Arrays are (..., time); every leading index gets its own draw. Not here: information measures.
"""

import numpy as np
from jaxtyping import Float, Int


def circular_shift(
    series: Float[np.ndarray, "*units time"], rng: np.random.Generator, *, least: int = 1
) -> Float[np.ndarray, "*units time"]:
    """Roll each series by its own random lag.

    Keeps values, circular autocorrelation and periodogram; adds one jump where end meets start, large under a trend.

    Parameters
    ----------
    series : array (..., time)
        Series; each leading index is shifted independently.
    least : int
        Smallest lag in both directions: lags are uniform on least, ..., time - least.

    Raises
    ------
    ValueError
        If no lag is left, time < 2 * least.
    """
    time = series.shape[-1]
    if least < 0 or time < 2 * max(least, 1):
        raise ValueError(f"a shift of at least {least} needs {2 * max(least, 1)} samples, the series has {time}")
    lags = rng.integers(least, time - least + 1, size=(*series.shape[:-1], 1))
    return np.take_along_axis(series, (np.arange(time) - lags) % time, axis=-1)


def phase_randomise(
    series: Float[np.ndarray, "*units time"], rng: np.random.Generator, *, amplitude_adjusted: bool = False
) -> Float[np.ndarray, "*units time"]:
    """Give each series random Fourier phases.

    Keeps mean and periodogram exactly (to rounding), makes values Gaussian. At even length the phase of the Nyquist
    frequency can only be 0 or pi, so its sign is drawn.

    Parameters
    ----------
    series : array (..., time)
        Series; each leading index gets its own phases.
    amplitude_adjusted : bool
        Keep the values exactly instead and the periodogram nearly: the series' ranks are filled with Gaussian numbers,
        those get random phases, and the series' own values are put in the resulting order.
    """
    if not amplitude_adjusted:
        return _random_phases(np.asarray(series, dtype=float), rng).astype(series.dtype)
    ranks = _ranks(series)
    gaussian = np.sort(rng.standard_normal(series.shape), axis=-1)
    moved = _random_phases(np.take_along_axis(gaussian, ranks, axis=-1), rng)
    return np.take_along_axis(np.sort(series, axis=-1), _ranks(moved), axis=-1)


def derangement(n: int, rng: np.random.Generator, groups: np.ndarray | None = None) -> Int[np.ndarray, " prompt"]:
    """Draw a permutation that leaves no prompt in its place, uniformly among all such.

    Pairing unit i in prompt p with unit j in prompt ``derangement[p]`` breaks their coupling and keeps the drift and
    position effects that all prompts share.

    Parameters
    ----------
    n : int
        Number of prompts.
    groups : array (prompt,), optional
        Exchange prompts within their category only.

    Raises
    ------
    ValueError
        If a group has fewer than two prompts.

    Examples
    --------
    >>> import numpy as np
    >>> bool((derangement(60, np.random.default_rng(0)) != np.arange(60)).all())
    True
    """
    codes = np.zeros(n, dtype=int) if groups is None else np.unique(groups, return_inverse=True)[1]
    result = np.empty(n, dtype=int)
    for code in np.unique(codes):
        places = np.flatnonzero(codes == code)
        if places.size < 2:
            raise ValueError("a group with one prompt has no partner: leave the groups out or add prompts")
        # A random permutation is a derangement with probability about 1/e, so rejection takes three tries on average.
        moved = rng.permutation(places)
        while (moved == places).any():
            moved = rng.permutation(places)
        result[places] = moved
    return result


def prompt_mismatch(
    series: Float[np.ndarray, "prompt *units time"], rng: np.random.Generator, groups: np.ndarray | None = None
) -> Float[np.ndarray, "prompt *units time"]:
    """Partner series of a prompt-mismatched pairing: those of a deranged prompt; see `derangement`."""
    return np.asarray(series[derangement(series.shape[0], rng, groups)])


def _random_phases(series: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    time = series.shape[-1]
    spectrum = np.fft.rfft(series, axis=-1)
    turn = np.exp(2j * np.pi * rng.random(spectrum.shape))
    turn[..., 0] = 1.0
    if time % 2 == 0:
        turn[..., -1] = np.where(turn[..., -1].real < 0, -1.0, 1.0)
    return np.asarray(np.fft.irfft(spectrum * turn, n=time, axis=-1))


def _ranks(series: np.ndarray) -> np.ndarray:
    return np.asarray(np.argsort(np.argsort(series, axis=-1, kind="stable"), axis=-1, kind="stable"))
