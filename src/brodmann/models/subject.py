"""An opened model: the unmodified Hugging Face model, its tokenizer, its anatomy and where it came from."""

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from brodmann.models.anatomy import Anatomy

Provenance = dict[str, str | int | bool | None]


@dataclass(frozen=True)
class Subject:
    """What `load` returns.

    ``provenance`` holds name, source, revision, weights_hash (sha256 of the weight files, ``none`` for random
    weights), model_type, family, parameters, dtype, device, randomly_initialised, seed, quantisation, note.
    """

    name: str
    model: PreTrainedModel
    tokenizer: Any
    anatomy: Anatomy
    provenance: Provenance

    @property
    def randomly_initialised(self) -> bool:
        """Whether the weights are random, so that nothing was learned."""
        return bool(self.provenance.get("randomly_initialised"))

    @property
    def label(self) -> str:
        """Name for people, with a warning where the weights are random."""
        if self.randomly_initialised and "randomly initialised" not in self.name:
            return f"{self.name} (randomly initialised)"
        return self.name

    @property
    def context_length(self) -> int | None:
        """Most tokens the model can read at once; None where its positions have no end."""
        config: Any = self.model.config
        config = getattr(config, "text_config", None) or config
        for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
            length = getattr(config, name, None)
            if isinstance(length, int):
                # RoBERTa counts positions from after the padding id.
                return length - config.pad_token_id - 1 if config.model_type == "roberta" else length
        return None

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer says how a conversation is written."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether the model reads with one stack and writes with another."""
        return bool(self.model.config.is_encoder_decoder)

    @property
    def generates(self) -> bool:
        """Whether the model has a language-model head to write text with; encoders have none."""
        return bool(self.model.can_generate()) and "decoder" in self.anatomy.stacks

    def __repr__(self) -> str:
        kinds = ", ".join(
            f"{sum(s.count for s in self.anatomy.sites if s.kind == kind)} {kind}s"
            for kind in dict.fromkeys(site.kind for site in self.anatomy.sites)
        )
        return f"Subject({self.label}: {self.anatomy.family}, {self.anatomy.layers} layers, {kinds})"
