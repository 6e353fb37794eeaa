"""What a study has finished so far is kept whole, bit for bit, or not at all."""

from pathlib import Path

import numpy as np
import pytest

from brodmann.partial import PartialFolder


@pytest.mark.parametrize("key", ["a", "random 3/step 0.05", "../../etc", ".0.5", "ü" * 90, "a" * 300, "a" * 299 + "b"])
def test_gives_back_what_was_put_under_any_key(tmp_path: Path, key: str) -> None:
    parts = PartialFolder(tmp_path / "parts")
    assert parts.get(key) is None
    rng = np.random.default_rng(1)
    put = {
        "kl": rng.normal(size=(3, 2)).astype(np.float32),
        "file": np.array([True, False]),
        "nan/inf": np.array([np.nan, -np.inf, -0.0]),
        "units": np.array(["L0H1", "L10H2"]),
        "one": np.array(3),
        "none": np.zeros((0, 4), np.int64),
    }
    parts.put(key, put)
    got = PartialFolder(tmp_path / "parts").get(key)
    assert got is not None
    assert list(got) == list(put)
    for name, values in put.items():
        assert (got[name].dtype, got[name].shape) == (values.dtype, values.shape)
        assert got[name].tobytes() == values.tobytes()
    assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "parts"]


def test_keys_do_not_meet(tmp_path: Path) -> None:
    parts = PartialFolder(tmp_path)
    keys = ["a", "A.", "a/b", "a b", "a%2Fb", "a" * 300, "a" * 299 + "b"]
    for number, key in enumerate(keys):
        parts.put(key, {"number": np.array(number)})
    assert [int(parts.get(key)["number"]) for key in keys] == list(range(len(keys)))  # type: ignore[index]
    parts.put("a", {"number": np.array(9)})
    assert int(parts.get("a")["number"]) == 9  # type: ignore[index]


def test_a_damaged_part_counts_as_not_finished(tmp_path: Path) -> None:
    parts = PartialFolder(tmp_path)
    parts.put("a", {"x": np.arange(1000.0)})
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole[:500] + bytes(8) + whole[508:]):
        file.write_bytes(broken)
        assert parts.get("a") is None


def test_objects_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    parts = PartialFolder(tmp_path)
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        parts.put("a", {"x": np.array([{}, None])})
    assert list(tmp_path.iterdir()) == []
    assert parts.get("a") is None
