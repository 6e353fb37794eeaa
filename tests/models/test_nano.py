"""The package's own models: the checkpoint series `nano` and the mixture of experts `nano-moe`."""

import json
from importlib import resources

import numpy as np
import pytest
import torch

from brodmann.atlas.source import find, identity, read_header
from brodmann.errors import ModelError
from brodmann.models import listen, load, self_test
from brodmann.models.early import check_hub
from brodmann.models.packaged import PACKAGED, checkpoints, held_out, training_log
from brodmann.settings import LoadSettings

DOMAINS = ["code", "law", "wiki", "docs", "maths", "talk", "chat"]
STEPS = [0, *(2**power for power in range(13))]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def sample_loss(subject, domain):
    """Nats per token on a held-out passage that ships."""
    tokens = torch.tensor([held_out(subject.name)[domain]["tokens"]])
    with torch.no_grad():
        logits = subject.model(tokens).logits[0, :-1].double()
    return float(torch.nn.functional.cross_entropy(logits, tokens[0, 1:]))


def test_all_steps_ship_and_stay_small():
    assert checkpoints("nano") == tuple((step, f"step{step}") for step in STEPS)
    folder = PACKAGED["nano"].file().parent
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
    assert set(weights) == {f"model.step{step}.safetensors" for step in STEPS}
    assert max(sizes.values()) < 4e6
    assert sum(sizes.values()) < 30e6
    assert sum(sizes.values()) / 1e6 == pytest.approx(PACKAGED["nano"].megabytes, abs=0.5)
    moe = PACKAGED["nano-moe"].file().parent
    assert sum(path.stat().st_size for path in moe.iterdir()) < 4e6
    assert (folder / "NOTICE.md").exists()
    assert (moe / "NOTICE.md").exists()


def test_the_data_are_part_of_the_package():
    inside = resources.files("brodmann.models").joinpath("nano")
    assert json.loads(inside.joinpath("config.json").read_text())["model_type"] == "gpt_neox"


@pytest.mark.parametrize(("revision", "step"), [("step0", 0), ("step64", 64), ("step512", 512), (None, 4096)])
def test_the_recorded_loss_is_what_the_shipped_weights_give(revision, step):
    subject = load("nano", revision=revision, check=False)
    assert subject.provenance["revision"] == f"step{step}"
    assert subject.provenance["parameters"] == training_log("nano")["parameters"] == 993_216
    assert subject.randomly_initialised == (step == 0)
    assert {parameter.dtype for parameter in subject.model.parameters()} == {torch.float32}
    (entry,) = (each for each in training_log("nano")["checkpoints"] if each["step"] == step)
    for domain in DOMAINS:
        # The log was written by the script that trained; here the weights come back through the library's own door.
        assert sample_loss(subject, domain) == pytest.approx(entry["domains"]["sample"][domain], abs=1e-4)


def test_the_mixture_of_experts_gives_its_recorded_loss():
    subject = load("nano-moe", check=False)
    entry = training_log("nano-moe")["checkpoints"][-1]
    for domain in DOMAINS:
        assert sample_loss(subject, domain) == pytest.approx(entry["domains"]["sample"][domain], abs=1e-4)


def test_held_out_loss_falls_with_training():
    log = training_log("nano")["checkpoints"]
    assert [entry["step"] for entry in log] == STEPS
    loss = np.array([entry["validation_loss"] for entry in log])
    assert loss[0] == pytest.approx(np.log(1024), abs=0.05)  # before training every token is as likely as any other
    assert (np.diff(loss) < 0).all()
    per_domain = np.array([[entry["domains"]["nats"][domain] for domain in DOMAINS] for entry in log])
    assert (per_domain[-1] < 0.6 * per_domain[0]).all()
    assert [entry["tokens"] for entry in log] == [step * 12 * 256 for step in STEPS]
    moe = training_log("nano-moe")["checkpoints"][-1]
    assert moe["validation_loss"] < 0.6 * np.log(1024)


def test_the_passages_are_the_tokenizers_own():
    subject = load("nano", check=False)
    for name in ("nano", "nano-moe"):
        passages = held_out(name)
        assert list(passages) == DOMAINS
        for passage in passages.values():
            assert len(passage["tokens"]) == 256
            assert subject.tokenizer.decode(passage["tokens"]) == passage["text"]
            # A passage may begin inside a word or hold the end of a document; the bytes come back in any case.
            text = "naïve 1984 — Δx\n\tπ"
            assert subject.tokenizer.decode(subject.tokenizer(text)["input_ids"]) == text
    assert subject.tokenizer.tokenize("In 1984") == ["In", "Ġ", "1", "9", "8", "4"]
    assert len(subject.tokenizer) == subject.model.config.vocab_size == 1024


def test_nano_is_read_exactly():
    subject = load("nano", revision="step1024")
    assert self_test(subject).ok
    assert (subject.anatomy.layers, len(subject.anatomy.units("z_norm"))) == (8, 64)
    assert subject.context_length == 256
    assert subject.provenance["source"].startswith("package brodmann ")


def test_nano_moe_routes_every_token_to_two_of_eight_experts():
    subject = load("nano-moe")
    assert self_test(subject).ok
    assert (subject.anatomy.layers, len(subject.anatomy.units("z_norm"))) == (6, 48)
    assert len(subject.anatomy.units("expert_norm")) == 48
    tokens = torch.tensor([passage["tokens"] for passage in held_out("nano-moe").values()])
    with listen(subject, "expert_norm") as tap, torch.no_grad():
        subject.model(tokens)
    active = (tap.take() > 0).reshape(-1, 6, 8).double()
    assert active.sum(-1).unique().tolist() == [2.0]
    noted = np.array(training_log("nano-moe")["checkpoints"][-1]["expert_use"])
    np.testing.assert_allclose(active.mean(0), noted, atol=0.2)  # seven passages here, the whole held-out text there
    np.testing.assert_allclose(noted.sum(1), 2.0, atol=1e-3)
    # The balancing loss of the library pools the layers: over them the experts share the work, within one not quite.
    assert noted.sum(0).min() > 0.7 * 12 / 8
    assert (noted > 0.02).sum() >= 36


def test_states_of_the_series_are_told_apart_before_they_are_opened():
    seen = [identity("nano", LoadSettings(revision=revision)) for revision in ("step1", "step2", "step4096", None)]
    assert seen[0] != seen[1]
    assert seen[2] == seen[3]
    assert read_header(find("nano", LoadSettings(revision="step8"))).parameters == 993_216
    hashes = {load("nano", revision=step, check=False).provenance["weights_hash"] for step in ("step1", "step2")}
    assert len(hashes) == 2


def test_an_unknown_revision_gets_one_clear_line():
    line = "^nano has no revision 'step7'; it has step0, step1, .*, step4096$"
    with pytest.raises(ModelError, match=line):
        load("nano", revision="step7")
    with pytest.raises(ModelError, match=line):
        check_hub("nano", "step7")
    with pytest.raises(ModelError, match="nano-moe ships in one state only, so it has no revision 'step7'"):
        load("nano-moe", revision="step7")
    with pytest.raises(ModelError, match="glass-en ships without training checkpoints; with them: nano"):
        checkpoints("glass-en")
    with pytest.raises(ModelError, match=r"glass-en ships without log\.json; with it: nano, nano-moe"):
        training_log("glass-en")
