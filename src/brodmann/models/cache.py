"""Where converted models and file hashes are kept, so that work on big files is done once.

A folder in the cache is either whole or not there: it is built under a temporary name and renamed. Two
processes that build the same folder at once both succeed; the second one's copy is thrown away.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from brodmann.errors import ModelError
from brodmann.plain import digest

WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth")


def cache_folder() -> Path:
    """Brodmann's cache: the environment variable BRODMANN_CACHE, or the platform's place for caches."""
    given = os.environ.get("BRODMANN_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "brodmann" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "brodmann"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "brodmann"


def file_key(path: Path, version: str = "") -> str:
    """Address of a file as it is now (place, size, time of change); cheap, so that big files are not read again."""
    state = path.stat()
    return digest([str(path.resolve()), state.st_size, state.st_mtime_ns, version])


def build_once(path: Path, version: str, build: Callable[[Path], None]) -> Path:
    """Folder in the cache made from a file by ``build(folder)``; built only where it is not there yet.

    Raises
    ------
    ModelError
        If the cache cannot be written. Nothing is left behind when ``build`` fails.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", path.stem)
    target = cache_folder() / "models" / f"{name}-{file_key(path, version)}"
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ModelError(f"the cache {cache_folder()} cannot be written: {error.strerror or error}") from None
    try:
        build(temporary)
        temporary.chmod(0o755)  # mkdtemp keeps others out
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    except OSError as error:
        raise ModelError(f"the cache {cache_folder()} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _sweep(target: Path) -> None:
    # What a killed process left behind; an hour is longer than any conversion takes.
    for left in target.parent.glob(f".{target.name}-*"):
        if time.time() - left.stat().st_mtime > 3600:
            shutil.rmtree(left, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Files of the hub's cache are named by it already; other files are read once and remembered by place, size and time.
    """
    blob = path.resolve().name
    if path.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", blob):
        return blob
    note = cache_folder() / "hashes" / f"{file_key(path)}.json"
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError):
        pass  # not noted yet, or the note is damaged: the file is read below
    with path.open("rb") as stream:
        value = hashlib.file_digest(stream, "sha256").hexdigest()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"file": path.name, "sha256": value})
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False, encoding="utf-8") as draft:
            draft.write(text)
        Path(draft.name).replace(note)
    except OSError:
        pass  # only a convenience: the next run reads the file again
    return value


def weights_sha256(folder: Path) -> str:
    """SHA-256 of a folder's weights: of the file where there is one, else of the sorted list of names and hashes."""
    files: list[Path] = []
    for pattern in WEIGHT_FILES:
        files = sorted(folder.glob(pattern))
        if files:
            break
    if len(files) == 1:
        return f"sha256:{file_sha256(files[0])}"
    listed = "\n".join(f"{path.name}:{file_sha256(path)}" for path in files)
    return f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}"
