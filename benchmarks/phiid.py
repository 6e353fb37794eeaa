"""ΦID of all pairs against a plain pair-by-pair version, measured in the same run.

The plain version does for one pair what a reader of the paper would write: fifteen multivariate normal densities for
the local entropies and one 16 x 16 linear solve for the atoms. One core: threads are limited before numpy loads.

    python benchmarks/phiid.py [--time 100] [--units 64 256 1024 4096]
"""

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import time

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import torch
from scipy.stats import multivariate_normal

from brodmann.synergy.lattice import ATOMS
from brodmann.synergy.pairs import pair_atoms
from brodmann.synergy.windows import windows

FLOOR = 0.15e-6  # seconds a pair: nine logarithms and 128 written bytes, on paper


def plain(x: np.ndarray, y: np.ndarray, redundancy: str) -> dict[str, float]:
    """Sixteen atoms of one pair, lag 1, the long way."""
    past, future = np.stack([x[:-1], y[:-1]]), np.stack([x[1:], y[1:]])
    values = np.concatenate([past, future])
    values = values / values.std(axis=1, ddof=1, keepdims=True)
    mean, covariance = values.mean(axis=1), np.cov(values)
    entropy = {}
    for size in range(1, 5):
        for index in itertools.combinations(range(4), size):
            index = list(index)
            density = multivariate_normal.pdf(values[index].T, mean[index], covariance[np.ix_(index, index)])
            entropy[tuple(index)] = -np.log(density)

    def information(one: tuple[int, ...], other: tuple[int, ...]) -> np.ndarray:
        return entropy[one] + entropy[other] - entropy[tuple(sorted(one + other))]

    sides = {"x": (0,), "y": (1,), "xy": (0, 1)}
    targets = {"a": (2,), "b": (3,), "ab": (2, 3)}
    i = {(s, t): information(sides[s], targets[t]) for s in sides for t in targets}

    def shared(one: np.ndarray, other: np.ndarray, joint: np.ndarray) -> np.ndarray:
        if redundancy == "mmi":
            return one if one.mean() < other.mean() else other
        change = one + other - joint
        same = (np.sign(one) == np.sign(other)) & (np.sign(one) == np.sign(joint)) & (np.sign(one) == np.sign(change))
        return change * same

    r = {t: shared(i["x", t], i["y", t], i["xy", t]) for t in targets}
    q = {s: shared(i[s, "a"], i[s, "b"], i[s, "ab"]) for s in sides}
    singles = [i[s, t] for s in "xy" for t in "ab"]
    if redundancy == "mmi":
        double = min(singles, key=np.mean)
    else:
        change = (
            -sum(singles) + i["x", "ab"] + i["y", "ab"] + i["xy", "a"] + i["xy", "b"] - i["xy", "ab"]
            + r["a"] + r["b"] - r["ab"] + q["x"] + q["y"] - q["xy"]
        )  # fmt: skip
        double = change * np.logical_and.reduce([np.sign(s) == np.sign(change) for s in singles])
    # Each known quantity is the sum of the atoms below it; solve for the atoms.
    below = {"r": {"r"}, "x": {"r", "x"}, "y": {"r", "y"}, "xy": {"r", "x", "y", "s"}}
    after = {"r": {"r"}, "a": {"r", "x"}, "b": {"r", "y"}, "ab": {"r", "x", "y", "s"}}
    known = {("r", "r"): double}
    known |= {("r", t): r[t] for t in targets} | {(s, "r"): q[s] for s in sides} | i
    matrix = np.array([[float(a[0] in below[s] and a[2] in after[t]) for a in ATOMS] for s, t in known])
    solved = np.linalg.solve(matrix, np.stack(list(known.values())))
    return dict(zip(ATOMS, solved.mean(axis=1), strict=True))


def series(units: int, length: int) -> np.ndarray:
    rng = np.random.default_rng(units)
    noise = rng.standard_normal((units, length + 50))
    for t in range(1, length + 50):
        noise[:, t] += 0.4 * noise[:, t - 1] + 0.2 * np.roll(noise[:, t - 1], 1)
    return noise[:, 50:]


def one_size(units: int, length: int, redundancy: str, repeats: int, both: bool) -> tuple[float, float]:
    """Seconds a pair of our version (windows, all pairs, all sixteen atoms): first prompt, median of later ones.

    The first prompt fetches its result's memory from the system; later ones write over it, as a study's prompts do.
    """
    data = series(units, length)
    pair_atoms(windows(data[:8]), redundancy=redundancy, both=both)  # compile outside the clock
    seconds, found = [], None
    for _ in range(1 + repeats):
        start = time.perf_counter()
        found = pair_atoms(windows(data), redundancy=redundancy, both=both, out=found)
        seconds.append(time.perf_counter() - start)
    pairs = units * (units - 1) / 2
    return seconds[0] / pairs, statistics.median(seconds[1:]) / pairs


def in_fresh_process(redundancy: str, units: int, length: int, both: bool) -> tuple[float, float, float]:
    """Seconds a pair (first and later prompts) and peak gigabytes, measured in a process of its own."""
    command = [sys.executable, __file__, "--only", redundancy, "--time", str(length), "--units", str(units)]
    command += ["--both"] if both else []
    first, later, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(first), float(later), float(memory)


def time_plain(data: np.ndarray, redundancy: str) -> tuple[float, float]:
    """Median seconds a pair of the plain version, and its largest difference from ours."""
    ours = pair_atoms(windows(data), redundancy=redundancy).values
    differences, seconds = [], []
    for i, j in list(itertools.combinations(range(len(data)), 2))[:60]:
        start = time.perf_counter()
        slow = plain(data[i], data[j], redundancy)
        seconds.append(time.perf_counter() - start)
        differences += [abs(slow[name] - ours[k, i, j]) for k, name in enumerate(ATOMS)]
    return statistics.median(seconds), max(differences)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time", type=int, default=100)
    parser.add_argument("--units", type=int, nargs="+", default=[64, 256, 1024, 4096])
    parser.add_argument("--only", choices=["mmi", "ccs"], help="print seconds a pair and peak memory of one size")
    parser.add_argument("--both", action="store_true", help="with --only: fill both triangles")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.only:
        repeats = 5 if arguments.units[0] > 1024 else 15
        print(
            *one_size(arguments.units[0], arguments.time, arguments.only, repeats, arguments.both),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        )
        return
    data = series(24, arguments.time)
    print("redundancy  matrices   units   us/pair   first  s/prompt  plain ms     ratio  x floor   peak GB")
    for redundancy in ("mmi", "ccs"):
        for both, units in itertools.product((False, True), arguments.units):
            if redundancy == "ccs" and (units > 1024 or both):
                continue
            reference, error = time_plain(data, redundancy)  # again beside each row: the machine's speed drifts
            first, each, memory = in_fresh_process(redundancy, units, arguments.time, both)
            total = each * units * (units - 1) / 2
            row = f"{redundancy:<12}{'full' if both else 'upper':<9}{units:>7}{each * 1e6:>10.3f}{first * 1e6:>8.3f}"
            row += f"{total:>10.3f}{reference * 1e3:>10.2f}{reference / each:>10,.0f}"
            print(f"{row}{each / FLOOR:>9.2f}{memory:>10.2f}")
        print(f"  largest difference to the plain version: {error:.1e} nats")


if __name__ == "__main__":
    main()
