"""What does watching for a core cost in training?

A small GPT-NeoX is trained with and without `EmergenceCallback`, in alternation, from the same seed. Printed, as
medians: what a look costs in training steps, and whether the steps between looks are as fast as without them.

    python benchmarks/callback.py [--steps 12] [--every 6] [--pairs 3]
"""

import argparse
import statistics
import tempfile
import time

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, Trainer, TrainerCallback, TrainingArguments

from brodmann.synergy.callback import EmergenceCallback

LAYERS, HEADS, WIDTH, VOCABULARY, LENGTH, BATCH = 8, 8, 128, 2048, 128, 8


class Tokens(torch.utils.data.Dataset):
    """Random tokens: their content does not change what a step costs."""

    def __init__(self) -> None:
        self.rows = torch.randint(5, VOCABULARY, (512, LENGTH), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        """Rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """One row."""
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


class Clock(TrainerCallback):
    """CPU and wall seconds of each step, looks left out."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []
        self._began = (0.0, 0.0)

    def on_step_begin(self, *_: object, **__: object) -> None:
        """Start."""
        self._began = (time.perf_counter(), time.process_time())

    def on_step_end(self, *_: object, **__: object) -> None:
        """Stop; registered before the callback that looks, so that its time is not in the step."""
        self.steps.append((time.perf_counter() - self._began[0], time.process_time() - self._began[1]))


def train(steps: int, callback: EmergenceCallback | None) -> tuple[float, float]:
    """Median wall and CPU seconds of a training step."""
    torch.manual_seed(0)
    clock = Clock()
    config = GPTNeoXConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=4 * WIDTH,
        vocab_size=VOCABULARY, max_position_embeddings=256,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=BATCH, use_cpu=True, report_to=[],
            disable_tqdm=True, dataloader_pin_memory=False, save_strategy="no", logging_strategy="no",
        )  # fmt: skip
        Trainer(
            model=GPTNeoXForCausalLM(config), args=arguments, train_dataset=Tokens(),
            callbacks=[clock] if callback is None else [clock, callback],
        ).train()  # fmt: skip
    return statistics.median(wall for wall, _ in clock.steps), statistics.median(cpu for _, cpu in clock.steps)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    panel = torch.randint(5, VOCABULARY, (12, 96), generator=torch.Generator().manual_seed(1)).tolist()
    train(2, EmergenceCallback(panel, every=1))  # compiles the kernels
    ratios, looks, first = [], [], []
    for _ in range(options.pairs):
        callback = EmergenceCallback(panel, every=options.every)
        plain, watched = train(options.steps, None), train(options.steps, callback)
        ratios.append([w / p for w, p in zip(watched, plain, strict=True)])
        first.append(callback.looks[0].seconds / plain[0])
        looks += [one.seconds / plain[0] for one in callback.looks[1:]]
    wall, cpu = (statistics.median(pair[clock] for pair in ratios) for clock in (0, 1))
    look = statistics.median(looks)
    print(
        f"steps of {BATCH} x {LENGTH} tokens, 12 texts of 96 tokens: a look costs {look:.2f} steps, the first, "
        f"with its random models, {statistics.median(first):.1f}; a step between looks takes {wall:.2f} "
        f"(wall) and {cpu:.2f} (CPU) of a plain one; a look every {look / 0.03:.0f} steps costs 3 %"
    )


if __name__ == "__main__":
    main()
