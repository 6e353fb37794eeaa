"""What does recording cost, and which batch is fastest?

Plain `generate` and the recorded loop run in alternation on the same prompts; the ratio is the median over the pairs,
in wall and in CPU time (the second is steadier on a shared machine). Then samples per second by batch size.

    python benchmarks/recording.py [--model smollm2-135m] [--tokens 40] [--pairs 5] [--batches 8 16 20 30 60]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import brodmann as bd
from brodmann.models import Subject
from brodmann.recordings import SeriesReducer, drive, plan_recording, read_prompts
from brodmann.settings import RecordSettings


def plain(subject: Subject, prompts: list[tuple[int, ...]], tokens: int) -> None:
    """Generate as a user of transformers would: same prompts, same padding, same suppressed tokens."""
    ids, mask = drive.padded(prompts, side="left", pad=drive.pad_token(subject))
    with torch.no_grad():
        subject.model.generate(
            ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False,
            suppress_tokens=list(drive.end_tokens(subject)),
        )  # fmt: skip


def recorded(subject: Subject, prompts: list[tuple[int, ...]], tokens: int) -> None:
    """Generate and keep the series of every head."""
    drive.generate(subject, prompts, signal="z_norm", new_tokens=tokens, reducers=[SeriesReducer()])


def timed(work: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(*arguments)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="*", default=[8, 16, 20, 30, 60])
    options = parser.parse_args()
    subject = bd.load(options.model)
    plan = plan_recording(subject, read_prompts("cognitive"), RecordSettings(new_tokens=options.tokens))
    prompts = [passage.ids for passage in plan.passages]
    threads, attention = torch.get_num_threads(), subject.model.config._attn_implementation
    print(
        f"{subject.label}, {len(plan.units)} heads, {threads} threads, {attention} attention, {options.tokens} tokens"
    )
    recorded(subject, prompts[:16], 2)
    pairs = []
    for number in range(options.pairs):
        order = (plain, recorded) if number % 2 == 0 else (recorded, plain)
        times = {work: timed(work, subject, prompts[:16], options.tokens) for work in order}
        pairs.append((times[plain], times[recorded]))
    for index, clock in enumerate(("wall", "CPU")):
        a, b = (statistics.median(pair[side][index] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[1][index] / pair[0][index] for pair in pairs)
        print(
            f"batch 16, {clock:4}: plain {a:6.2f} s, recorded {b:6.2f} s, median ratio {ratio:.3f} ({len(pairs)} pairs)"
        )
    for size in options.batches:
        wall, cpu = timed(recorded, subject, prompts[:size], options.tokens)
        samples = size * options.tokens
        print(f"batch {size:3}: {samples / wall:6.1f} samples per second, {samples / cpu:6.1f} per CPU second")


if __name__ == "__main__":
    main()
