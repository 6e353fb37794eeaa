"""What does watching for a core cost in training?

A small GPT-NeoX is trained with and without `EmergenceCallback`, in alternation, from the same seed. Printed: the
share of training time that the looks take, and the ratio of both wall and CPU times (median over pairs).

    python benchmarks/callback.py [--steps 60] [--every 20] [--pairs 2]
"""

import argparse
import statistics
import tempfile
import time

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, Trainer, TrainingArguments

from brodmann.synergy.callback import EmergenceCallback

LAYERS, HEADS, WIDTH, VOCABULARY, LENGTH, BATCH = 8, 8, 128, 2048, 128, 32


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


def train(steps: int, callback: EmergenceCallback | None) -> tuple[float, float]:
    """Wall and CPU seconds of a training run."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=4 * WIDTH,
        vocab_size=VOCABULARY, max_position_embeddings=256,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=BATCH, use_cpu=True, report_to=[],
            disable_tqdm=True, dataloader_pin_memory=False, save_strategy="no", logging_strategy="no",
        )  # fmt: skip
        trainer = Trainer(
            model=GPTNeoXForCausalLM(config), args=arguments, train_dataset=Tokens(),
            callbacks=[] if callback is None else [callback],
        )  # fmt: skip
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.train()
        return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=2)
    options = parser.parse_args()
    panel = torch.randint(5, VOCABULARY, (12, 96), generator=torch.Generator().manual_seed(1)).tolist()
    train(2, EmergenceCallback(panel, every=1))  # compiles the kernels
    ratios, shares, look = [], [], []
    for _ in range(options.pairs):
        callback = EmergenceCallback(panel, every=options.every)
        plain, watched = train(options.steps, None), train(options.steps, callback)
        ratios.append([w / p for w, p in zip(watched, plain, strict=True)])
        shares.append(callback.overhead)
        step = plain[0] / options.steps
        look += [one.seconds / step for one in callback.looks[1:]]
    wall, cpu = (statistics.median(pair[clock] for pair in ratios) for clock in (0, 1))
    print(
        f"{options.steps} steps of {BATCH} x {LENGTH} tokens, a look every {options.every}: looks take "
        f"{statistics.median(shares):.1%} of the time, ratio {wall:.3f} (wall), {cpu:.3f} (CPU); one look costs "
        f"{statistics.median(look):.1f} steps, so a look every {statistics.median(look) / 0.03:.0f} steps costs 3 %"
    )


if __name__ == "__main__":
    main()
