"""The weight graph: counting, paths and spectrum against plain peers of the same run; peak memory of a large walk.

Counting is timed as a user meets it: a process of its own, imports included, over safetensors shards of random bfloat16
weights in the page cache; one core. A second process counts nothing and shows what starting alone costs. The plain
version takes 1/|w|, rounds and counts neuron by neuron with numpy. `--large` writes random shards in the shape of a 7B
model (13 GB of disk), walks them, and measures them whole, nulls included, as the command does (some minutes).

    python benchmarks/fractal.py [--billions 1.0] [--large]
"""

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

Shapes = dict[str, tuple[int, ...]]


def llama(hidden: int, inner: int, blocks: int) -> list[Shapes]:
    """Shapes of the matrices of each block."""
    square = (hidden, hidden)
    return [
        {
            f"model.layers.{block}.{name}.weight": shape
            for name, shape in {
                **{f"self_attn.{each}_proj": square for each in "qkvo"},
                "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner),
            }.items()
        }
        for block in range(blocks)
    ]  # fmt: skip


def write(folder: Path, blocks: list[Shapes]) -> int:
    """Write shards of four blocks each, normal bfloat16 numbers; gives the number of weights."""
    rng, weights, index = np.random.default_rng(0), 0, {}
    for first in range(0, len(blocks), 4):
        shapes = {name: shape for block in blocks[first : first + 4] for name, shape in block.items()}
        header, at = {}, 0
        for name, shape in shapes.items():
            size = int(np.prod(shape)) * 2
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        file = f"model-{first:05d}.safetensors"
        with (folder / file).open("wb") as shard:
            shard.write(struct.pack("<Q", len(text)) + text)
            for name, shape in shapes.items():
                index[name] = file
                values = rng.standard_normal(shape, np.float32) * np.float32(0.02)
                shard.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
                weights += int(np.prod(shape))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    config = {"model_type": "llama", "num_hidden_layers": len(blocks), "num_attention_heads": 32}
    (folder / "config.json").write_text(json.dumps(config))
    return weights


def walk_only(folder: str, grids: str) -> None:
    """The timed process: count a checkpoint and take the spectrum's inputs; prints peak gigabytes."""
    from brodmann.fractal import walk
    from brodmann.fractal.grids import geometric, whole
    from brodmann.models.chains import chain
    from brodmann.models.shards import open_checkpoint

    if grids == "study":
        from brodmann.fractal.study import study

        study([open_checkpoint(folder)])
    elif grids != "none":
        checkpoint = open_checkpoint(folder)
        chosen = [whole()] if grids == "official" else [whole(), geometric()]
        walk.count(checkpoint, chain(checkpoint), chosen, workers=1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def process(folder: Path, grids: str) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak gigabytes of a process of its own."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, __file__, "--only", str(folder), "--grids", grids]
    memory = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, memory


def cpu(work: Callable[[], object], repeats: int = 3) -> float:
    """Least CPU seconds of some runs."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def plain_counts(weights: np.ndarray) -> np.ndarray:
    """Counts (source, radius) as a reader of the released code would write them."""
    found = np.empty((weights.shape[1], 151), np.int64)
    for neuron, column in enumerate(weights.T):
        with np.errstate(divide="ignore"):
            distance = 1 / np.abs(column.astype(np.float64))
        kept = distance[(distance > 1) & (distance <= 150)]
        found[neuron] = np.bincount(np.rint(kept).astype(np.int64), minlength=151)
    return found


def counting(billions: float) -> None:
    """Weights per second per core, and the plain version."""
    from brodmann.fractal.grids import whole
    from brodmann.fractal.one_hop import Matrix, count_edges

    print("one hop, whole processes, one core", flush=True)
    blocks = max(1, round(billions * 1e9 / (4 * 2048**2 + 3 * 2048 * 5632)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = write(folder, llama(2048, 5632, blocks))
        process(folder, "official")  # compiled and in the page cache
        for grids in ("none", "official", "both"):
            wall, used, memory = min(process(folder, grids) for _ in range(3))
            rate = "" if grids == "none" else f"{weights / used / 1e6:>8.0f} M weights per CPU second"
            rate += "" if grids == "none" else f", {weights / wall / 1e6:.0f} M per second of wall"
            print(f"  {blocks} blocks, grids {grids:<9}{wall:>7.2f} s wall{used:>7.2f} s CPU{memory:>6.2f} GB{rate}")
    matrix = np.random.default_rng(1).normal(0, 0.02, (2048, 1024)).astype(np.float32)
    ours = count_edges([Matrix("w", matrix, "float32")], whole(), [1.0])
    assert np.array_equal(ours[:, 1:151], plain_counts(matrix)[:, 1:])
    fast = cpu(lambda: count_edges([Matrix("w", matrix, "float32")], whole(), [1.0]), 7)
    slow = cpu(lambda: plain_counts(matrix))
    print(
        f"  kernel, float32: {matrix.size / fast / 1e6:.0f} M per second; plain numpy {matrix.size / slow / 1e6:.1f} M;"
        f" ratio {slow / fast:.0f}"
    )


def shortest_paths(layers: int = 32, width: int = 128) -> None:
    """All pairs of a line of layers, against Dijkstra's algorithm of scipy and networkx."""
    from scipy.sparse.csgraph import dijkstra

    from brodmann.fractal import paths
    from brodmann.fractal.grids import whole

    rng = np.random.default_rng(0)
    lengths = [paths.edge_lengths(rng.normal(0, 0.05, (width, width))) for _ in range(layers - 1)]
    paths.path_counts(lengths[:2], whole())
    found = paths.layered_distances(lengths)
    ours = cpu(lambda: paths.layered_distances(lengths))
    counted = cpu(lambda: paths.path_counts(lengths, whole()))
    edges = paths._sparse(lengths)
    sources = np.arange(0, layers * width, layers * width // 64)
    assert np.array_equal(found[sources], dijkstra(edges, indices=sources))
    slow = cpu(lambda: dijkstra(edges, indices=sources), 1) * found.shape[0] / len(sources)
    print(f"paths, {layers} layers x {width} neurons, all pairs, CPU seconds")
    print(f"  ours {ours:.2f}; counted up to 150 {counted:.2f}")
    print(f"  scipy {slow:.2f} (from {len(sources)} sources spread over the layers): ratio {slow / ours:.1f}")
    try:
        import networkx
    except ImportError:
        print("  networkx is not installed, so it was not timed")
        return
    graph = networkx.DiGraph()
    i, j = edges.nonzero()
    graph.add_weighted_edges_from(zip(i.tolist(), j.tolist(), edges.data.tolist(), strict=True))
    few = np.linspace(0, layers * width - 1, 9).astype(int)[:-1] + width // 2
    theirs = cpu(lambda: [networkx.single_source_dijkstra_path_length(graph, int(each)) for each in few], 1)
    every = theirs * found.shape[0] / len(few)
    print(f"  networkx {every:.0f} (from {len(few)} sources, extrapolated): ratio {every / ours:.0f}")


def spectrum(neurons: int = 4096, radii: int = 150) -> None:
    """Sums of powers for 61 orders, against a log-sum-exp for each order."""
    from scipy.special import logsumexp

    from brodmann.fractal.spectrum import Q_GRID
    from brodmann.fractal.sums import power_sums

    counts = np.random.default_rng(0).integers(0, 9, (neurons, radii)).cumsum(axis=1) + 1
    log_mu = np.log(counts) - np.log(counts[:, -1:])

    def plain() -> np.ndarray:
        every = []
        for q in Q_GRID:
            log_z = logsumexp(q * log_mu, axis=0)
            every.append((log_z, (np.exp(q * log_mu - log_z) * log_mu).sum(axis=0)))
        return np.array(every)

    ours = power_sums(log_mu, Q_GRID)
    error = np.abs(plain() - np.stack([ours.log_z, ours.mean], axis=1)).max()
    fast, slow = cpu(lambda: power_sums(log_mu, Q_GRID)), cpu(plain, 1)
    print(f"spectrum sums, {neurons} neurons x {radii} radii x {len(Q_GRID)} orders, CPU seconds")
    print(f"  ours {fast:.3f}, log-sum-exp {slow:.2f}: ratio {slow / fast:.0f}, largest difference {error:.0e}")


def large() -> None:
    """Peak memory of 32 blocks of width 4096: of the walk alone, and of the study with all its nulls."""
    with tempfile.TemporaryDirectory() as name:
        weights = write(Path(name), llama(4096, 11008, 32))
        print(f"{weights / 1e9:.2f} billion random weights, {len(list(Path(name).iterdir())) - 2} shards", flush=True)
        for grids, what in (("none", "imports alone"), ("both", "walk, both grids, one thread"),
                            ("study", "study with its nulls, all cores")):  # fmt: skip
            wall, used, memory = process(Path(name), grids)
            print(f"  {what:<32}peak {memory:.2f} GB; {wall:.0f} s wall, {used:.0f} s CPU", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--billions", type=float, default=1.0, help="weights that are counted, in billions")
    parser.add_argument("--large", action="store_true", help="measure the memory of a 7B walk as well")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--grids", default="official", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        walk_only(arguments.only, arguments.grids)
        return
    counting(arguments.billions)
    shortest_paths()
    spectrum()
    if arguments.large:
        large()


if __name__ == "__main__":
    main()
