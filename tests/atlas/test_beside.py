"""The second process: it ends with its parent, and says nothing rather than something wrong."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from brodmann.atlas.beside import Beside
from brodmann.atlas.meanwhile import Meanwhile
from brodmann.atlas.plan import Task
from brodmann.models import load
from brodmann.settings import MapSettings

TASK = Task("k", "ground", "t", "results/k.ground.zarr", name="synergy")


def test_failure_gives_nothing(tmp_path: Path) -> None:
    process = Beside(tmp_path, TASK, MapSettings(), "recordings/missing.zarr", threads=1)
    assert process.result() is None
    assert process.done
    assert list(tmp_path.iterdir()) == []


def test_stop_ends_it(tmp_path: Path) -> None:
    process = Beside(tmp_path, TASK, MapSettings(), "recordings/missing.zarr", threads=1)
    process.stop()
    assert process.done


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the table of processes")
def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    # the parent never reads an answer; it is killed while the child waits for a lock of ours on the recording (a pipe)
    code = f"""
import sys, time
from pathlib import Path
from brodmann.atlas.beside import Beside
from brodmann.atlas.plan import Task
from brodmann.settings import MapSettings
process = Beside(Path({str(tmp_path)!r}), Task("k", "ground", "t", "o", name="synergy"), MapSettings(), "r", threads=1)
print(process._process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    deadline = time.monotonic() + 30
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_things_are_made_once_and_in_another_thread() -> None:
    meanwhile, made = Meanwhile(), []

    def make() -> int:
        made.append(threading.current_thread().name)
        return 7

    meanwhile.make("a", make)
    meanwhile.make("b", make)  # one at a time
    assert meanwhile.take("b") is None
    assert meanwhile.take("a") == 7
    assert meanwhile.take("a") is None
    assert len(made) == 1
    assert made[0].startswith("brodmann-meanwhile")
    meanwhile.close()


def test_only_models_of_some_size_are_drawn_ahead() -> None:
    assert not Meanwhile.suits(load("random:llama").model)  # a thread would cost more than it saves


def test_random_weights_are_the_same_from_a_thread() -> None:
    from brodmann.models import randomise
    from brodmann.recordings.plan import fingerprint

    subject, meanwhile = load("random:gpt2"), Meanwhile()
    meanwhile.make("r", lambda: randomise(subject, 5))
    assert fingerprint(meanwhile.take("r")) == fingerprint(randomise(subject, 5)) != fingerprint(randomise(subject, 6))
    meanwhile.close()
