"""Nothing is lost, nothing half-written is taken as done."""

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from brodmann.errors import Incomplete, RecordingError, StoreError
from brodmann.models import Subject, lesion
from brodmann.recordings import (
    MemoryStore,
    Progress,
    ZarrStore,
    load,
    plan_recording,
    read_prompts,
    record,
    run_batch,
)
from brodmann.recordings.prompts import as_prompts
from brodmann.settings import RecordSettings

STEPS = 6


@pytest.fixture
def plan(llama: Subject, texts: list[str]):
    return plan_recording(llama, as_prompts(texts), RecordSettings(new_tokens=STEPS, batch_size=2))


def work(subject: Subject, texts: list[str], out: Path | None) -> tuple[xr.Dataset, list[Progress]]:
    events: list[Progress] = []
    found = record(subject, prompts=texts, new_tokens=STEPS, batch_size=2, out=out, progress=events.append)
    return found, events


def identical(a: xr.Dataset, b: xr.Dataset) -> None:
    xr.testing.assert_identical(a.drop_attrs(), b.drop_attrs())
    for name in a.variables:
        assert a[name].dtype.kind == b[name].dtype.kind
        if a[name].dtype.kind != "U":
            assert a[name].values.tobytes() == b[name].values.tobytes(), name
    assert {k: v for k, v in a.attrs.items() if k != "seconds"} == {k: v for k, v in b.attrs.items() if k != "seconds"}


def test_disk_and_memory_hold_the_same(llama: Subject, texts: list[str], tmp_path: Path):
    memory, _ = work(llama, texts, None)
    disk, _ = work(llama, texts, tmp_path / "a.zarr")
    identical(memory, disk)
    identical(load(tmp_path / "a.zarr"), disk)
    assert disk["prompt_text"].values.tolist() == texts
    assert disk["prompt"].values.tolist() == [f"prompt-{n:03d}" for n in (1, 2, 3, 4)]


def test_xarray_opens_the_store_by_itself(llama: Subject, texts: list[str], tmp_path: Path):
    found, _ = work(llama, texts, tmp_path / "a.zarr")
    with xr.open_zarr(tmp_path / "a.zarr", consolidated=False, chunks=None) as plain:
        plain = plain.load()
    assert plain["activity"].dims == ("prompt", "token", "unit")
    assert {"answer", "category", "layer", "depth"} <= set(plain.coords)
    for name in found["prompt"].values:
        np.testing.assert_array_equal(plain["activity"].sel(prompt=name), found["activity"].sel(prompt=name))
    assert sorted(p.name for p in (tmp_path / "a.zarr" / "activity" / "c").iterdir()) == ["0", "1"]


def test_wide_recordings_are_cut_along_the_units(
    llama: Subject, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    memory = record(llama, prompts=texts, new_tokens=STEPS, batch_size=2, signal="neuron")
    monkeypatch.setattr("brodmann.recordings.store.CHUNK_SAMPLES", 2 * STEPS * 100)
    disk = record(llama, prompts=texts, new_tokens=STEPS, batch_size=2, signal="neuron", out=tmp_path / "a.zarr")
    identical(memory, disk)
    assert sorted(p.name for p in (tmp_path / "a.zarr" / "activity" / "c" / "1" / "0").iterdir()) == ["0", "1", "2"]


def test_the_second_call_computes_nothing(llama: Subject, texts: list[str], tmp_path: Path):
    first, events = work(llama, texts, tmp_path / "a.zarr")
    assert (events[0].done, events[-1].done, events[-1].tasks) == (0, 2, 2)
    assert events[-1].tokens == events[-1].total == 4 * STEPS
    assert [e.tokens for e in events] == sorted(e.tokens for e in events)
    calls: list[int] = []
    handle = llama.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        second, events = work(llama, texts, tmp_path / "a.zarr")
    finally:
        handle.remove()
    assert calls == []
    assert events[-1] == Progress(2, 2, 0, 0, events[-1].seconds)
    identical(first, second)
    assert second.attrs["seconds"] == first.attrs["seconds"]


KILLED = """
import os, signal, sys
import torch
import brodmann as bd
torch.set_num_threads(1)
subject = bd.load("random:llama")
with torch.no_grad():
    for weight in subject.model.parameters():
        if weight.ndim >= 2:
            weight.mul_(6.0)
def fall(event):
    if event.done == 1 and event.tokens > event.total / 2 + 4:
        os.kill(os.getpid(), signal.SIGKILL)
bd.record(subject, prompts=sys.argv[2:], new_tokens=6, batch_size=2, out=sys.argv[1], progress=fall)
"""


def test_a_killed_recording_goes_on_with_the_same_bits(llama: Subject, texts: list[str], tmp_path: Path):
    out = tmp_path / "a.zarr"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), *texts], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(Incomplete, match="1 of 2 batches"):
        load(out)
    chunk = (out / "activity" / "c" / "0" / "0" / "0").stat().st_mtime_ns
    found, events = work(llama, texts, out)
    assert events[-1].total == 2 * STEPS
    assert (out / "activity" / "c" / "0" / "0" / "0").stat().st_mtime_ns == chunk
    memory, _ = work(llama, texts, None)
    identical(found, memory)


def test_a_task_without_its_marker_is_done_again(llama: Subject, texts: list[str], tmp_path: Path):
    out = tmp_path / "a.zarr"
    first, _ = work(llama, texts, out)
    marker = sorted((out / "tasks").glob("*.done"))[0]
    # what a process leaves behind that died between writing its chunks and its marker
    marker.rename(marker.with_suffix(".0123.tmp"))
    index = list(ZarrStore(out)._attributes()["tasks"]).index(marker.stem)
    (out / "activity" / "c" / str(index) / "0" / "0").write_bytes(b"half a chunk")
    second, events = work(llama, texts, out)
    assert events[-1].total == 2 * STEPS
    identical(first, second)


def test_tasks_may_run_anywhere_in_any_order(llama: Subject, texts: list[str], plan, tmp_path: Path):
    memory, _ = work(llama, texts, None)
    store = ZarrStore.create(tmp_path / "a.zarr", plan)
    for task in reversed(plan.tasks):
        report = run_batch(llama, plan, task, ZarrStore(tmp_path / "a.zarr"))
        assert report == run_batch(llama, plan, task, store)
    identical(store.load(), memory)


def test_two_processes_do_not_meet_at_one_task(llama: Subject, texts: list[str], plan, tmp_path: Path):
    out = tmp_path / "a.zarr"
    store = ZarrStore.create(out, plan)
    with store.claim(plan.tasks[0]):
        with pytest.raises(Incomplete, match="another process is recording batch 1"):
            work(llama, texts, out)
        assert set(store.done()) == {plan.tasks[1].key}
    found, events = work(llama, texts, out)
    assert events[-1].total == 2 * STEPS
    assert found.sizes["prompt"] == 4


def test_another_recording_is_not_written_over(llama: Subject, texts: list[str], tmp_path: Path):
    out = tmp_path / "a.zarr"
    work(llama, texts, out)
    with pytest.raises(StoreError, match="holds another recording"):
        work(llama, texts[:2], out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="is not a recording"):
        work(llama, texts, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(StoreError, match="does not exist"):
        load(tmp_path / "gone.zarr")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"attributes": {}}', '{"attributes": {"tasks": "x"}}'])
def test_a_damaged_store_is_refused(tmp_path: Path, content: str):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text(content)
    with pytest.raises(StoreError, match=r"a\.zarr is not a recording, or its zarr\.json is damaged"):
        load(tmp_path / "a.zarr")


def test_a_damaged_marker_and_a_damaged_chunk_are_named(llama: Subject, texts: list[str], tmp_path: Path):
    out = tmp_path / "a.zarr"
    work(llama, texts, out)
    (out / "activity" / "c" / "0" / "0" / "0").write_bytes(b"noise")
    with pytest.raises(StoreError, match=r"a\.zarr cannot be read"):
        load(out)
    marker = sorted((out / "tasks").glob("*.done"))[0]
    marker.write_text("")
    with pytest.raises(StoreError, match=r"\.done is damaged; remove it"):
        load(out)


def test_a_place_that_cannot_be_written(llama: Subject, texts: list[str], tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"a\.zarr cannot be written: .*/file\)"):
        work(llama, texts, tmp_path / "file" / "a.zarr")


@contextmanager
def files_of_at_most(size: int):
    """A full disk: the system itself refuses to write more than `size` bytes to any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_done(llama: Subject, texts: list[str], tmp_path: Path):
    with files_of_at_most(500), pytest.raises(StoreError, match="cannot be written: File too large"):
        work(llama, texts, tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []
    plan = plan_recording(llama, as_prompts(texts), RecordSettings(new_tokens=100, batch_size=2))
    store = ZarrStore.create(tmp_path / "b.zarr", plan)
    with files_of_at_most(5000), pytest.raises(StoreError, match="cannot be written: File too large"):
        run_batch(llama, plan, plan.tasks[0], store)
    assert store.done() == {}
    assert not list((tmp_path / "b.zarr").rglob("*.partial"))
    for task in plan.tasks:
        run_batch(llama, plan, task, store)
    memory = MemoryStore(plan)
    for task in plan.tasks:
        run_batch(llama, plan, task, memory)
    identical(store.load(), memory.load())


def test_the_key_is_the_content(llama: Subject, texts: list[str], sharpened, tmp_path: Path):
    def key(subject=llama, prompts=tuple(texts), **settings):
        return plan_recording(subject, as_prompts(prompts), RecordSettings(new_tokens=STEPS, **settings)).key

    base = key()
    assert key(sharpened("random:llama")) == base
    different = [
        key(sharpened("random:llama", 6.1)),
        key(prompts=tuple(texts[:3])),
        key(prompts=tuple(reversed(texts))),
        key(batch_size=2),
        key(signal="residual"),
        key(stop_at_eos=True, min_tokens=2),
        key(template="question"),
        key(mode="read"),
    ]
    assert len({base, *different}) == 1 + len(different)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(texts))
    a, b = (
        plan_recording(llama, read_prompts(tmp_path / n), RecordSettings(prompts=n, new_tokens=STEPS)).key
        for n in ("a.json", "b.json")
    )
    assert a == b == base


def test_a_plan_refuses_another_subject(llama: Subject, plan, sharpened):
    other = sharpened("random:gpt2")
    with pytest.raises(RecordingError, match="the plan was made for"):
        run_batch(other, plan, plan.tasks[0], MemoryStore(plan))


def test_lesioned_recordings_are_made_in_memory_under_the_same_key(llama: Subject, texts: list[str]):
    # A lesion is a hook: the plan cannot see it, so the numbers must differ while the key does not.
    whole, _ = work(llama, texts, None)
    with lesion(llama, ["L1H2"]):
        cut, _ = work(llama, texts, None)
    assert cut.attrs["recording_key"] == whole.attrs["recording_key"]
    assert not np.array_equal(cut["activity"].values, whole["activity"].values)
