"""Opening a model: by hub id, from a folder, a GGUF file, a package, or with random weights.

Nothing unsafe is read unless asked for: pickled weights and code that ships with a model are refused. Every mistake is
one line. The opened model is proven to be read exactly (`check.py`) before it is handed out.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
)

from brodmann.errors import AnatomyError, ModelError
from brodmann.models.anatomy import read_anatomy
from brodmann.models.cache import file_sha256, weights_sha256
from brodmann.models.check import self_test
from brodmann.models.early import check_name
from brodmann.models.folder import check_folder
from brodmann.models.gguf_file import convert, read_weights
from brodmann.models.glass import open_glass
from brodmann.models.hub import absent, hub_reachable, snapshot_folder
from brodmann.models.packaged import PACKAGED
from brodmann.models.quiet import check_device, one_line, quiet
from brodmann.models.subject import Provenance, Subject
from brodmann.models.tiny import CONTEXT
from brodmann.models.tokenizers_built import byte_tokenizer
from brodmann.models.untrained import fresh_model, tiny_config
from brodmann.settings import DType

_ENCODERS = {"bert", "roberta", "distilbert", "modernbert"}


@dataclass(frozen=True)
class _Request:
    name: str
    revision: str | None
    device: str
    dtype: torch.dtype
    trust_remote_code: bool
    allow_pickle: bool
    seed: int


@dataclass(frozen=True)
class _Opened:
    model: PreTrainedModel
    tokenizer: Any
    provenance: Provenance


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: DType = "float32",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    seed: int = 0,
    spec: str | Path | dict[str, Any] | None = None,
    check: bool = True,
) -> Subject:
    """Open a model.

    Parameters
    ----------
    name
        A hub id, a local folder, a ``.gguf`` file, a model that ships in a package (``smollm2-135m``, ``glass-en``,
        ``glass-pt``, ``minilm``, ``nano``, ``nano-moe``; see `available`), or ``random:FAMILY``, a tiny model with
        random weights (see `families`).
    revision
        Branch, tag or commit of a hub model; training step of ``nano`` (``step0`` to ``step4096``, the last one where
        none is given).
    device
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` to spread over all GPUs.
    dtype
        Number type of the weights.
    trust_remote_code, allow_pickle
        Run code that ships with the model; read weights that are stored as pickle. Both can run anything: off.
    seed
        Decides the weights of ``random:FAMILY``.
    spec
        Where the units are, for an architecture that is not known: a dictionary or a YAML or JSON file (`read_spec`).
    check
        Prove that the units are read exactly, and refuse the model otherwise.

    Raises
    ------
    ModelError
        If the model cannot be found, read or trusted.
    AnatomyError
        If its units cannot be reached exactly; the modules are named.

    Examples
    --------
    >>> from brodmann.models import load
    >>> load("random:gpt2")
    Subject(random:gpt2 (randomly initialised): gpt2, 4 layers, 16 heads, 512 neurons, 4 residuals)
    """
    name = str(name)
    check_device(device)
    if dtype not in get_args(DType):
        raise ModelError(f"dtype '{dtype}' is unknown; choose one of {', '.join(get_args(DType))}")
    request = _Request(name, revision, device, getattr(torch, dtype), trust_remote_code, allow_pickle, seed)
    with quiet():
        opened = _open(request)
        anatomy = read_anatomy(opened.model, spec)
        if dtype == "float64" and any(site.kind == "expert" for site in anatomy.sites):
            opened.model.set_experts_implementation("eager")  # the fused kernel knows no double precision
        provenance: Provenance = {
            "name": name,
            "revision": revision,
            "model_type": opened.model.config.model_type,
            "family": anatomy.family,
            "parameters": sum(parameter.numel() for parameter in opened.model.parameters()),
            "dtype": dtype,
            "device": device,
            "randomly_initialised": False,
            "seed": None,
            "quantisation": _quantisation(opened.model.config),
            "note": anatomy.note or None,
            **opened.provenance,
        }
        subject = Subject(name, opened.model, opened.tokenizer, anatomy, provenance)
        if check:
            try:
                table = self_test(subject)
            except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
                raise AnatomyError(f"{name} does not run on a short text: {one_line(error)}") from None
            table.refuse(name)
    return subject


def _quantisation(config: Any) -> str | None:
    stored = getattr(config, "quantization_config", None)
    method = stored.get("quant_method") if isinstance(stored, dict) else getattr(stored, "quant_method", None)
    return None if method is None else str(getattr(method, "value", method))


def _open(request: _Request) -> _Opened:
    name = request.name
    path = Path(name).expanduser()
    check_name(name, allow_pickle=request.allow_pickle)
    if name.startswith("random:"):
        return _open_random(request)
    if name in PACKAGED:
        return _open_packaged(request)
    if path.suffix.lower() == ".gguf":
        return _open_gguf(request, path)
    if path.is_dir():
        provenance: Provenance = {"source": f"folder {path.resolve().name}", "weights_hash": weights_sha256(path)}
        return _open_pretrained(request, str(path), provenance)
    return _open_hub(request)


def _open_random(request: _Request) -> _Opened:
    config = tiny_config(request.name.removeprefix("random:"))
    model = fresh_model(_auto_class(config)._model_mapping[type(config)], config, request.seed, request.dtype)
    if request.device != "cpu":
        model = model.to(
            "cuda"
            if request.device == "auto" and torch.cuda.is_available()
            else "cpu"
            if request.device == "auto"
            else request.device
        )
    provenance: Provenance = {
        "source": "random weights",
        "weights_hash": "none",
        "randomly_initialised": True,
        "seed": request.seed,
        "note": "tiny model with random weights: it has learned nothing",
    }
    return _Opened(model, byte_tokenizer(CONTEXT), provenance)


def _open_packaged(request: _Request) -> _Opened:
    packaged = PACKAGED[request.name]
    path = packaged.file()
    step = packaged.chosen(request.revision)
    provenance: Provenance = {
        "source": f"package {packaged.package} {packaged.version}",
        "revision": step or packaged.version,
    }
    if path.suffix == ".gguf":
        opened = _open_gguf(request, path)
    elif path.suffix == ".npz":
        glass = open_glass(path, request.dtype)
        model = glass.model if request.device in ("cpu", "auto") else glass.model.to(request.device)
        opened = _Opened(model, glass.tokenizer, {"weights_hash": f"sha256:{file_sha256(path)}"})
    else:
        check_folder(path.parent, allow_pickle=False)
        (weights,) = (each for each in packaged.files(step) if each.suffix == ".safetensors")
        opened = _open_pretrained(
            request, str(path.parent), {"weights_hash": f"sha256:{file_sha256(weights)}"}, variant=step
        )
        if step == "step0":  # the state before training knows nothing, and must say so
            provenance |= {"randomly_initialised": True, "note": "the model before its first training step"}
    return _Opened(opened.model, opened.tokenizer, {**opened.provenance, **provenance})


def _open_gguf(request: _Request, path: Path) -> _Opened:
    folder = convert(path)
    about = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    provenance: Provenance = {
        "source": f"file {path.name}",
        "weights_hash": f"sha256:{about['sha256']}",
        "quantisation": about["quantisation"],
    }
    whole = (folder / "model.safetensors").exists()
    return _open_pretrained(request, str(folder), provenance, weights=None if whole else partial(read_weights, path))


def _open_hub(request: _Request) -> _Opened:
    opened = _open_pretrained(request, request.name, {"source": "hub"})
    folder = snapshot_folder(request.name, request.revision)
    commit = getattr(opened.model.config, "_commit_hash", None)
    if commit is None and folder is not None and folder.parent.name == "snapshots":
        commit = folder.name
    provenance: Provenance = {
        **opened.provenance,
        "revision": commit or request.revision,
        "weights_hash": weights_sha256(folder) if folder else f"commit:{commit}",
    }
    return _Opened(opened.model, opened.tokenizer, provenance)


def _open_pretrained(
    request: _Request,
    where: str,
    provenance: Provenance,
    *,
    variant: str | None = None,
    weights: Callable[[], dict[str, torch.Tensor]] | None = None,
) -> _Opened:
    """Open a folder or a hub model; ``weights`` gives those that are not in the folder."""
    common: dict[str, Any] = {"trust_remote_code": request.trust_remote_code}
    if not Path(where).is_dir():
        common |= {"revision": request.revision, "local_files_only": not hub_reachable()}
    placed: dict[str, Any] = (
        {} if request.device == "cpu" else {"device_map": "auto" if request.device == "auto" else {"": request.device}}
    )
    state = None if weights is None else weights()
    try:
        config = AutoConfig.from_pretrained(where, **common)
        opener = _auto_class(config)
        if state is not None:
            opener = opener._model_mapping[type(config)]
        model, report = opener.from_pretrained(
            where if state is None else None,
            config=config,
            state_dict=state,
            dtype=request.dtype,
            output_loading_info=True,
            use_safetensors=None if request.allow_pickle else True,
            variant=variant,
            **common,
            **placed,
        )
        tokenizer = AutoTokenizer.from_pretrained(where, **common)
    except Exception as error:  # noqa: BLE001  safetensors and tokenizers raise classes of their own
        raise _explained(request, error) from None
    # A pooler is no part of the anatomy, and checkpoints often lack it.
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise ModelError(
            f"{request.name}: the weights lack {len(missing)} tensors that the config asks for ({missing[0]})"
        )
    return _Opened(model.eval(), tokenizer, provenance)


def _auto_class(config: Any) -> Any:
    """Class that opens a config: with a language-model head where the architecture has one."""
    named = " ".join(getattr(config, "architectures", None) or ())
    if config.is_encoder_decoder:
        return AutoModelForSeq2SeqLM
    if getattr(config, "text_config", None) is not None:
        return AutoModelForImageTextToText
    if config.model_type in _ENCODERS:
        return AutoModelForMaskedLM if "MaskedLM" in named or not named else AutoModel
    return AutoModelForCausalLM


def _explained(request: _Request, error: BaseException) -> ModelError:
    name, text = request.name, str(error)
    if "backend tokenizer" in text or "load tokenizer" in text:
        return ModelError(f"{name}: no tokenizer that can be read; save it as tokenizer.json too (save_pretrained)")
    if "trust_remote_code" in text:
        return ModelError(f"{name} needs code that ships with it; trust_remote_code runs it, if you trust its authors")
    if "does not appear to have a file named model.safetensors" in text or ("safetensors" in text and ".bin" in text):
        return ModelError(f"{name} has no safetensors weights; pickle can run code and is read only with allow_pickle")
    if not Path(name).expanduser().exists() and name not in PACKAGED:
        missing = absent(name, request.revision, text)
        if missing is not None:
            return missing
    return ModelError(f"{name} cannot be opened: {one_line(error)}")
