"""The hub, as far as loading needs it: is it there, what of it is on this machine, and what its errors mean."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants, try_to_load_from_cache

from brodmann.errors import ModelError
from brodmann.models.early import suggestion

_ABSENT = (
    "is not a local folder",
    "couldn't connect",
    "offline mode",
    "outgoing traffic",
    "cached",
    "not a valid model identifier",
    "not a valid git identifier",
    "404",
)


def hub_reachable() -> bool:
    """Whether it makes sense to ask the hub; False at once where the network is off or forbidden.

    Without this, the hub's own library tries every file for half a minute.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    host = urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((host.hostname, host.port or 443), timeout=5):
            return True
    except OSError:
        return False


def snapshot_folder(name: str, revision: str | None) -> Path | None:
    """Folder of a fetched model in the hub's own cache; its name is the commit."""
    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def absent(name: str, revision: str | None, message: str) -> ModelError | None:
    """What to say where the hub's library did not find a model; None if its message is about something else."""
    if not any(part in message for part in _ABSENT):
        return None
    hint = suggestion(name)
    what = f"model '{name}'" + (f" at revision '{revision}'" if revision else "")
    if constants.HF_HUB_OFFLINE:
        return ModelError(f"{what} is not on this machine, and HF_HUB_OFFLINE forbids the network{hint}")
    return ModelError(f"{what} is neither on this machine nor could it be fetched from the hub{hint}")
