"""A second process for tasks that open no model, while the first one lets the model read.

Generation and reading leave parts of the cores idle, and compiling, graphs and surrogates hold the interpreter's lock:
in a process of their own they fill the gaps. The numbers are the same as without it. The second process ends when the
first one does, however that ends.
"""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from brodmann.atlas.plan import Task
from brodmann.atlas.store import Folder
from brodmann.atlas.studying import run_ground
from brodmann.plain import from_dict, to_dict
from brodmann.settings import MapSettings

_NICER = 5
"""The model's own process comes first where both want a core."""


class Beside:
    """A task at work in a second process.

    Parameters
    ----------
    root
        The atlas.
    task
        A task of kind "ground".
    settings
        All settings.
    recording
        Path of the finished recording inside the atlas.
    threads
        Threads of arithmetic, as many as this process uses: their number decides the last bits of matrix products.
    """

    def __init__(self, root: Path, task: Task, settings: MapSettings, recording: str, *, threads: int) -> None:
        job = {
            "root": str(root.absolute()), "task": dataclasses.asdict(task), "settings": to_dict(settings),
            "recording": recording, "threads": threads,
        }  # fmt: skip
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "brodmann.atlas.beside"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()  # left open: its end tells the other process that we are gone

    @property
    def done(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def result(self) -> dict[str, Any] | None:
        """Wait for the task's facts; None if it failed, which the caller finds out by doing it here."""
        assert self._process.stdout is not None
        text = self._process.stdout.read()
        self._close()
        try:
            facts = json.loads(text.splitlines()[-1])
        except (ValueError, IndexError):
            return None
        return facts if self._process.returncode == 0 and isinstance(facts, dict) else None

    def stop(self) -> None:
        """End the process, whatever it was doing; a half-written result has a temporary name."""
        self._process.kill()
        self._close()

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


def _serve() -> None:
    job = json.loads(sys.stdin.readline())

    def leave_with_parent() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(_NICER)
    import torch

    from brodmann.recordings import load

    torch.set_num_threads(job["threads"])
    root = Path(job["root"])
    task = Task(**{**job["task"], "after": tuple(job["task"]["after"])})
    settings = from_dict(MapSettings, job["settings"])
    facts = run_ground(Folder(root), task, settings, lambda: load(root / job["recording"]), lambda *_: None)
    print(json.dumps(facts), flush=True)  # noqa: T201 (the answer)
    os._exit(0)  # the thread that waits for our parent would keep the interpreter from ending


if __name__ == "__main__":
    _serve()
