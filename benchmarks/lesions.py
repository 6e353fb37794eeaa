"""What does a sweep of lesions cost, against one lesion at a time and against its floor?

The same lesions are run twice on the same recorded text. *One at a time*: for each lesion the intact model again, hooks
set anew, one forward pass with logits at every position, two log-softmaxes. *The sweep*: `lesions.divergences`, many
lesions in a pass, logits at answers only, the intact model once. The floor is what no sweep of this design goes below:
lesions x prompts forward passes, body and head at the answers, with no hook and no divergence. Both in CPU time too,
which is steadier on a shared machine; the two ways must agree.

    python benchmarks/lesions.py [--model smollm2-135m] [--prompts 4] [--tokens 40] [--lesions 6] [--pass-tokens 2048]
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import brodmann as bd
from brodmann.lesions import divergences
from brodmann.models import Subject, lesion
from brodmann.recordings import drive, read_prompts, recorded_text
from brodmann.recordings.likelihood import final_states, head_logits

Text = list[tuple[int, ...]]


def one_at_a_time(subject: Subject, prompts: Text, answers: Text, lesions: np.ndarray) -> np.ndarray:
    """The sweep as a user of transformers would write it."""
    units = subject.anatomy.units("z_norm")["unit"].to_numpy()
    texts = [(*prompt, *answer[:-1]) for prompt, answer in zip(prompts, answers, strict=True)]
    ids, mask = drive.padded(texts, side="right", pad=drive.pad_token(subject))
    found = np.empty((len(lesions), len(prompts)))
    with torch.no_grad():
        for row, chosen in enumerate(lesions):
            intact = subject.model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
            with lesion(subject, units[chosen].tolist()):
                damaged = subject.model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
            nats = (intact.exp() * (intact - damaged)).sum(-1)
            for n, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
                found[row, n] = float(nats[n, len(prompt) - 1 : len(prompt) - 1 + len(answer)].mean())
    return found


def forward_once(subject: Subject, prompts: Text, answers: Text) -> None:
    """Body and head at the answers, once for every prompt."""
    states = final_states(subject, prompts, answers).flatten(0, 1)
    for part in states.split(256):
        head_logits(subject, part)


def timed(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, np.ndarray]:
    """Result, and wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(*arguments, **options)
    return result, np.array([time.perf_counter() - wall, time.process_time() - cpu])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--lesions", type=int, default=6)
    parser.add_argument("--pass-tokens", type=int, default=2048)
    options = parser.parse_args()
    subject = bd.load(options.model)
    texts = [prompt.text for prompt in read_prompts("cognitive").prompts]
    chosen = [texts[k] for k in np.linspace(0, len(texts) - 1, options.prompts).astype(int)]
    text = recorded_text(bd.record(subject, prompts=chosen, new_tokens=options.tokens))
    units = len(subject.anatomy.units("z_norm"))
    rng = np.random.default_rng(0)
    lesions = rng.permuted(np.tile(np.arange(units) < units // 5, (options.lesions, 1)), axis=1)
    print(
        f"{subject.label}, {options.lesions} lesions of {units // 5} of {units} heads, {options.prompts} prompts with"
        f" {options.tokens} tokens, {torch.get_num_threads()} threads"
    )
    forward_once(subject, *text)
    _, floor = timed(forward_once, subject, *text)
    swept, sweep = timed(divergences, subject, *text, lesions, tokens=options.pass_tokens)
    slowly, slow = timed(one_at_a_time, subject, *text, lesions)
    for place, clock in enumerate(("wall", "CPU")):
        needed = floor[place] * options.lesions
        print(
            f"{clock:4}: sweep {sweep[place]:6.2f} s, one at a time {slow[place]:6.2f} s,"
            f" {slow[place] / sweep[place]:.2f} times as long; floor {needed:6.2f} s, the sweep takes"
            f" {sweep[place] / needed:.2f} times that"
        )
    print(f"largest difference of a divergence {np.abs(swept - slowly).max():.1e} nats")


if __name__ == "__main__":
    main()
