"""What a long study is given: where to say how far it is, and where to keep what it has finished.

A study that names ``partial`` in its signature is given a `Partial`, so that a killed study goes on instead of
beginning again; the atlas keeps it until the study's result is there. Arrays are written as npz without pickle, each
file whole or not at all. Nothing here knows what they mean.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import quote

import numpy as np

Progress = Callable[..., None]
"""Called with what is being done and, while it goes on, the share that is done."""
_LONGEST = 120


@runtime_checkable
class Partial(Protocol):
    """A place for finished parts, by key."""

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """Arrays of a finished part, with the bits that were put; None where it is not finished."""

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a finished part."""


@dataclass(frozen=True)
class PartialFolder:
    """Parts as files of a folder, one npz file each.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     parts = PartialFolder(Path(folder))
    ...     parts.put("random, step 3", {"kl": np.array([0.5, 1.0])})
    ...     parts.get("random, step 3")["kl"].tolist(), parts.get("random, step 4")
    ([0.5, 1.0], None)
    """

    path: Path

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """Arrays of a part; None where it is not finished, or was damaged since (it is then worked out again)."""
        try:
            with zipfile.ZipFile(self._file(key)) as archive:
                return {name: _read(archive, name) for name in archive.namelist()}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a part to a temporary name, bring it to the disk, rename.

        Raises
        ------
        ValueError
            If an array holds Python objects: reading them back would run code.
        OSError
            If the disk is full or refuses.
        """
        file = self._file(key)
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as stream:
                with zipfile.ZipFile(stream, "w") as archive:
                    for name, values in arrays.items():
                        with archive.open(name, "w", force_zip64=True) as member:
                            np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        name = quote(key, safe=" ,=+")
        name = f"%2E{name[1:]}" if name.startswith(".") else name  # names that start with a dot are temporary
        if len(name) > _LONGEST:
            name = name[:_LONGEST] + hashlib.sha256(key.encode()).hexdigest()[:16]
        return self.path / f"{name}.npz"


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
