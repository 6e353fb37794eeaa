"""What can be known to be wrong with a model's name or device before torch is imported: wrong names fail at once."""

import ctypes
import difflib
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from brodmann.errors import ModelError
from brodmann.models.folder import check_folder
from brodmann.models.packaged import PACKAGED
from brodmann.models.rules import families
from brodmann.models.tiny import tiny_values

_DEVICES = ("cpu", "cuda", "mps", "xpu", "npu", "hpu", "mtia", "xla")


def check_name(name: str, *, allow_pickle: bool) -> None:
    """Refuse a name that stands for nothing, or for a folder or package that cannot be opened.

    Hub ids are not looked up here.

    Raises
    ------
    ModelError
        Says what is missing, with close names where there are any.

    Examples
    --------
    >>> check_name("random:llama", allow_pickle=False)
    """
    path = Path(name).expanduser()
    if not name.strip():
        raise ModelError("the model's name is empty")
    if name.startswith("random:"):
        tiny_values(name.removeprefix("random:"))
    elif name in PACKAGED:
        PACKAGED[name].file()
    elif path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"there is no file {path}")
    elif path.is_dir():
        check_folder(path, allow_pickle=allow_pickle)
    elif path.is_file():
        raise ModelError(f"{path} is a file; give the folder that holds it, or a .gguf file")
    elif name.startswith(("/", ".", "~")) or name.count("/") > 1 or "\\" in name:
        raise ModelError(f"there is no folder {path}")


def check_hub(name: str, revision: str | None) -> None:
    """Refuse a hub id that is not on this machine where the hub cannot be asked either, and an unknown checkpoint.

    Raises
    ------
    ModelError
        With a close name of a model that can be opened, where there is one.
    """
    path = Path(name).expanduser()
    if name in PACKAGED:
        PACKAGED[name].chosen(revision)
    if name.startswith("random:") or name in PACKAGED or path.exists():
        return
    from brodmann.models.hub import absent, hub_reachable, snapshot_folder

    try:
        here = snapshot_folder(name, revision) is not None
    except ValueError:  # the hub's library takes no such name; what it says is said when the model is opened
        here = False
    if not here and not hub_reachable():
        raise absent(name, revision, "offline mode") or ModelError(f"model '{name}' is not on this machine")


def suggestion(name: str) -> str:
    """``; did you mean X?`` with the closest name that can be opened, else where to find the names.

    Examples
    --------
    >>> suggestion("glasspt"), suggestion("mixtra"), suggestion("no-such/model")
    ('; did you mean glass-pt?', '; did you mean random:mixtral?', '; `brodmann models` lists names')
    """
    close = difflib.get_close_matches(name.lower(), PACKAGED, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    close = difflib.get_close_matches(name.lower(), families(), n=1, cutoff=0.75)
    return f"; did you mean random:{close[0]}?" if close else "; `brodmann models` lists names"


def check_device_early(device: str) -> None:
    """Refuse a device that this machine's torch cannot have, without importing torch.

    Raises
    ------
    ModelError
        Where it is certain; other devices are checked when the model is opened.
    """
    if device == "auto":
        return
    kind = device.partition(":")[0]
    if kind not in _DEVICES or not re.fullmatch(r"[a-z]+(:\d+)?", device):
        raise ModelError(f"device '{device}' is unknown; choose cpu, cuda, cuda:1, mps or auto")
    if kind == "mps" and sys.platform != "darwin":
        raise ModelError("device 'mps' is not on this machine")
    if kind == "cuda" and not _cuda_possible():
        raise ModelError(f"device '{device}' is not on this machine (0 CUDA devices found)")


def _cuda_possible() -> bool:
    """Whether torch could find a GPU: it is built for one, and on Linux the driver's library is there."""
    spec = find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec is not None and spec.origin else None
    if version is None or not version.is_file():
        return True
    text = version.read_text(encoding="utf-8")
    if not re.search(r"^(cuda|hip)\b.*= '", text, flags=re.MULTILINE):
        return False
    if sys.platform.startswith("linux") and not re.search(r"^hip\b.*= '", text, flags=re.MULTILINE):
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            return False
    return True
