"""Plans: keys depend on what they should and on nothing else."""

import dataclasses
import json

import pytest

from brodmann.atlas.plan import Basis, Plan, Task, build, check_lengths, choose, null_seeds
from brodmann.atlas.registry import Needs, Study
from brodmann.errors import SettingsError
from brodmann.settings import MapSettings, RecordSettings, SynergySettings

BASIS = Basis("abcd", batches=3, label="m", layers=6, units=24, prompts=40, tokens=50, provenance={"name": "m"})


def plan(settings: MapSettings | None = None, basis: Basis = BASIS) -> Plan:
    return build(basis, settings or MapSettings(), choose(None))


def keys(made: Plan, kind: str) -> list[str]:
    return [task.key for task in made.tasks if task.kind == kind]


def test_counts_and_order() -> None:
    made = plan()
    kinds = ("record", "ground", "replay", "study", "tables", "report")
    assert [len(keys(made, kind)) for kind in kinds] == [3, 1, 9, 1, 1, 1]
    done: set[str] = set()
    for task in made.tasks:
        assert set(task.after) <= done
        done.add(task.key)
    assert len(done) == len(made.tasks) == 16
    study = next(task for task in made.tasks if task.kind == "study")
    assert set(study.after) == {*keys(made, "record"), *keys(made, "replay"), *keys(made, "ground")}


def test_settings_of_a_study_leave_recordings_alone() -> None:
    before, after = plan(), plan(MapSettings(synergy=SynergySettings(surrogates=7)))
    assert keys(before, "record") == keys(after, "record")
    assert keys(before, "replay") == keys(after, "replay")
    assert keys(before, "study") != keys(after, "study")
    assert keys(before, "report") != keys(after, "report")


def test_more_null_models_keep_the_earlier_ones() -> None:
    few = plan(MapSettings(synergy=SynergySettings(null_models=2)))
    many = plan(MapSettings(synergy=SynergySettings(null_models=4)))
    assert keys(many, "ground") == keys(few, "ground")
    assert list(many.controls.items())[:2] == list(few.controls.items())
    assert keys(many, "replay")[:6] == keys(few, "replay")
    assert keys(plan(MapSettings(synergy=SynergySettings(null_models=0))), "replay") == []


def test_another_version_computes_anew_with_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    study = choose(("synergy",))
    old, new = (build(BASIS, MapSettings(), (dataclasses.replace(study[0], version=v),)) for v in ("1", "2"))
    monkeypatch.setattr("brodmann.__version__", "99.0")
    later = plan()
    for kind in ("ground", "study"):
        drawn = [next(task for task in made.tasks if task.kind == kind) for made in (old, new, later)]
        assert len({task.key for task in drawn}) == 3
        assert len({task.seed for task in drawn}) == 1


def test_seed_changes_nulls_and_study_but_not_the_recording() -> None:
    one, two = plan(MapSettings(seed=1)), plan(MapSettings(seed=2))
    assert keys(one, "record") == keys(two, "record")
    assert not set(one.controls) & set(two.controls)
    assert keys(one, "study") != keys(two, "study")
    assert null_seeds(0, 3) == null_seeds(0, 5)[:3]


def test_the_same_settings_give_the_same_plan() -> None:
    assert plan().tasks == plan().tasks
    assert plan(basis=Basis.from_dict(json.loads(json.dumps(BASIS.to_dict())))).tasks == plan().tasks


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"layers": 3}, "it needs at least 4 layers; m has 3"),
        ({"units": 7}, "it needs at least 8 units; m has 7"),
        ({"prompts": 1}, "it needs at least 2 prompts; this recording has 1"),
        ({"tokens": 8}, "it needs at least 9 tokens in each series (lag 1); this recording has 8"),
    ],
)
def test_studies_that_do_not_apply_are_skipped_with_a_reason(change: dict[str, int], reason: str) -> None:
    made = plan(basis=dataclasses.replace(BASIS, **change))
    assert dict(made.skipped) == {"synergy": reason}
    assert keys(made, "study") == keys(made, "replay") == []
    assert len(keys(made, "report")) == 1


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        (MapSettings(record=RecordSettings(new_tokens=3)), "new_tokens = 3 .* lag 1: .* is 9"),
        (MapSettings(record=RecordSettings(new_tokens=11), synergy=SynergySettings(tau=4)), "new_tokens = 11 .* is 12"),
        (MapSettings(record=RecordSettings(stop_at_eos=True, min_tokens=5)), "min_tokens = 5 .* is 9"),
    ],
)
def test_short_series_are_refused_with_the_least_length(settings: MapSettings, least: str) -> None:
    with pytest.raises(SettingsError, match=least):
        check_lengths(settings, choose(None))


def test_the_least_length_works() -> None:
    check_lengths(MapSettings(record=RecordSettings(new_tokens=9)), choose(None))
    check_lengths(MapSettings(record=RecordSettings(new_tokens=3)), ())
    check_lengths(MapSettings(record=RecordSettings(new_tokens=3, mode="read")), choose(None))


def test_optional_studies_come_when_asked_for_with_what_they_come_after() -> None:
    assert [study.name for study in choose(None)] == ["synergy"]
    assert [study.name for study in choose(["allocation", "synergy", "lesions"])] == [
        "synergy",
        "allocation",
        "lesions",
    ]
    assert choose(["lesions"]) == choose(["synergy", "lesions"])


def test_a_study_after_another_waits_for_it_and_shares_its_fate() -> None:
    def study_task(settings: MapSettings, name: str) -> Task:
        made = build(BASIS, settings, choose(["lesions"]))
        return next(task for task in made.tasks if task.kind == "study" and task.name == name)

    usual, other = MapSettings(), MapSettings(synergy=SynergySettings(surrogates=7))
    synergy, lesions = (study_task(usual, name) for name in ("synergy", "lesions"))
    assert synergy.key in lesions.after
    assert (synergy.subject, lesions.subject) == (None, "subject")
    assert synergy.key == keys(plan(), "study")[0]
    assert study_task(other, "synergy").key != synergy.key
    assert study_task(other, "lesions").key != lesions.key
    small = build(dataclasses.replace(BASIS, layers=3), usual, choose(["lesions"]))
    assert small.results == {}
    assert small.skipped["lesions"] == (
        "it comes after the study 'synergy', which was skipped: it needs at least 4 layers; m has 3"
    )
    alone = build(BASIS, usual, choose(["lesions"])[1:])
    assert alone.skipped["lesions"] == "it comes after the study 'synergy', which was not asked for"


def test_a_study_of_weights_waits_for_no_recording() -> None:
    made = build(dataclasses.replace(BASIS, units=1, prompts=1), MapSettings(), choose(("fractal",)))
    task = next(each for each in made.tasks if each.name == "fractal")
    assert not made.skipped
    assert (task.after, task.subject) == ((), None)
    pages = {each.kind: each.after for each in made.tasks if each.kind in ("tables", "report")}
    assert task.key in pages["tables"]


def test_unknown_study() -> None:
    with pytest.raises(SettingsError, match="there is no study 'phrenology'; known are synergy"):
        choose(["phrenology"])


def test_a_study_without_controls_asks_for_no_random_models() -> None:
    study = Study("plain", "Plain", "m:f", "m:c", Needs())
    made = build(BASIS, MapSettings(), [study], page=False)
    assert [task.kind for task in made.tasks] == ["record"] * 3 + ["study"]
