"""What is trained and how: two architectures, one set of optimiser settings (AdamW, Loshchilov and Hutter 2019)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, OlmoeConfig, OlmoeForCausalLM

CONTEXT = 256


@dataclass(frozen=True)
class Recipe:
    """One training run."""

    name: str
    make: Callable[[], Any]
    """Fresh model; torch's seed is set before."""
    steps: int
    batch: int
    """Rows of `CONTEXT` tokens per step."""
    kept: tuple[int, ...]
    """Steps whose weights are kept, in order."""
    seed: int = 1
    context: int = CONTEXT
    peak: float = 3e-3
    """Largest learning rate, reached after `warm_up` steps."""
    warm_up: int = 64
    decay: float = 0.1
    """Weight decay of matrices; biases and norms have none."""
    clip: float = 1.0
    tempering: float = 0.7
    """A domain is drawn in proportion to its number of tokens to this power: small domains are seen more often."""


def doubling(last: int) -> tuple[int, ...]:
    """Steps 0, 1, 2, 4, ... up to a power of two."""
    return (0, *(2**power for power in range(last.bit_length())))


def nano() -> GPTNeoXForCausalLM:
    """GPT-NeoX (Black et al. 2022): 8 layers of 8 heads of 12 dimensions, 0.99 million weights."""
    config = GPTNeoXConfig(
        vocab_size=1_024,
        hidden_size=96,
        num_hidden_layers=8,
        num_attention_heads=8,
        intermediate_size=384,
        hidden_act="gelu_pytorch_tanh",
        rotary_pct=1.0,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPTNeoXForCausalLM(config)


def nano_moe() -> OlmoeForCausalLM:
    """OLMoE (Muennighoff et al. 2024): 6 layers of 8 heads and 8 experts, two of them at work, 1.65 million weights."""
    config = OlmoeConfig(
        vocab_size=1_024,
        hidden_size=96,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        intermediate_size=96,
        num_experts=8,
        num_experts_per_tok=2,
        norm_topk_prob=True,
        # Without these the library adds no load-balancing loss. It pools the layers: the experts are evenly used over
        # all layers together, and some of a single layer starve.
        output_router_logits=True,
        router_aux_loss_coef=0.01,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=None,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = OlmoeForCausalLM(config)
    model.set_experts_implementation("eager")  # the fastest on a CPU
    return model


def fresh(recipe: Recipe) -> Any:
    """The recipe's model before the first step."""
    torch.manual_seed(recipe.seed)
    return recipe.make()


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("nano", nano, steps=4_096, batch=12, kept=doubling(4_096)),
        Recipe("nano-moe", nano_moe, steps=1_024, batch=12, kept=(1_024,)),
    )
}
