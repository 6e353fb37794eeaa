"""How the package's own models are trained: killed and resumed gives the same bits; what else the scripts promise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, OlmoeConfig, OlmoeForCausalLM

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(ROOT))
    yield
    torch.set_num_threads(threads)


SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}


def _neox():
    config = GPTNeoXConfig(
        **SMALL, tie_word_embeddings=True, max_position_embeddings=16, bos_token_id=0, eos_token_id=0
    )
    return GPTNeoXForCausalLM(config)


def _moe():
    config = OlmoeConfig(
        **SMALL, num_key_value_heads=4, num_experts=4, num_experts_per_tok=2, output_router_logits=True,
        tie_word_embeddings=True, max_position_embeddings=16, pad_token_id=None, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = OlmoeForCausalLM(config)
    model.set_experts_implementation("eager")
    return model


def _streams():
    rng = np.random.default_rng(3)
    return {name: rng.integers(0, 40, size).astype(np.uint16) for name, size in (("a", 400), ("b", 90))}


@pytest.mark.parametrize("make", [_neox, _moe])
def test_a_killed_run_goes_on_to_the_same_bits(make, tmp_path):
    from scripts.series.recipes import Recipe
    from scripts.series.train import run

    recipe = Recipe("small", make, steps=12, batch=3, kept=(0, 1, 2, 4, 8, 12), context=16, warm_up=3)
    logs = {"straight": [], "resumed": []}

    def keeper(name):
        return lambda state: logs[name].append((state.step, list(state.losses)))

    straight = run(recipe, _streams(), tmp_path / "straight", keeper("straight"))
    for stop in (3, 7, 10, None):
        resumed = run(recipe, _streams(), tmp_path / "resumed", keeper("resumed"), stop=stop)
    assert logs["straight"] == logs["resumed"]
    assert [step for step, _ in logs["straight"]] == [0, 1, 2, 4, 8, 12]
    ours, theirs = straight.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    moments = (straight.optimiser.state_dict()["state"], resumed.optimiser.state_dict()["state"])
    assert all(torch.equal(moments[0][i][key], moments[1][i][key]) for i in moments[0] for key in moments[0][i])
    start = make()
    assert not all(torch.equal(ours[name], value) for name, value in start.state_dict().items())


def test_training_lowers_the_loss_of_a_text_that_repeats(tmp_path):
    from scripts.series.losses import held_out_loss
    from scripts.series.recipes import Recipe, fresh
    from scripts.series.train import run

    text = {"only": np.tile(np.arange(1, 21, dtype=np.uint16), 20)}
    recipe = Recipe("small", _neox, steps=60, batch=4, kept=(60,), context=16, warm_up=5)
    rows = {"only": torch.from_numpy(text["only"][:64].astype(np.int64).reshape(4, 16))}
    widths = np.full(40, 2)
    before = held_out_loss(fresh(recipe), rows, widths)
    after = held_out_loss(run(recipe, text, tmp_path, lambda state: None).model, rows, widths)
    assert before["nats"]["only"] == pytest.approx(np.log(40), abs=0.3)
    assert after["nats"]["only"] < 0.5 * before["nats"]["only"]
    # Every token stands for two bytes here.
    assert after["bits_per_byte"]["only"] == pytest.approx(after["nats"]["only"] / np.log(2) / 2, rel=1e-4)


def test_rows_depend_on_seed_and_step_only_and_favour_small_domains():
    from scripts.series.text import draw

    streams = {"large": np.zeros(9_000, np.uint16), "small": np.ones(1_000, np.uint16)}
    how = {"rows": 400, "context": 8, "tempering": 0.5, "seed": 1}
    first = draw(streams, **how, step=5)
    assert torch.equal(first, draw(streams, **how, step=5))
    assert not torch.equal(first, draw(streams, **how, step=6))
    share = np.mean([draw(streams, **how, step=step)[:, 0].double().mean() for step in range(10)])
    assert share == pytest.approx(1 / (1 + 3), abs=0.03)  # sqrt(1000) : sqrt(9000)


def test_the_learning_rate_rises_stays_and_falls():
    from scripts.series.recipes import RECIPES, doubling
    from scripts.series.train import rate

    recipe = RECIPES["nano"]
    rates = [rate(recipe, step) for step in range(recipe.steps)]
    assert rates[0] == pytest.approx(recipe.peak / recipe.warm_up)
    assert set(rates[recipe.warm_up : recipe.steps * 3 // 4 + 1]) == {recipe.peak}
    assert rates[-1] == pytest.approx(0.05 * recipe.peak, rel=0.01)
    assert doubling(16) == (0, 1, 2, 4, 8, 16)


def test_what_ships_is_float16_under_the_libraries_own_names(tmp_path):
    from safetensors.torch import load_file
    from scripts.series.train import shipped, write_weights

    torch.manual_seed(0)
    model = _neox()
    write_weights(model, tmp_path, "step7")
    stored = load_file(tmp_path / "model.step7.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    opened = GPTNeoXForCausalLM.from_pretrained(tmp_path, variant="step7", dtype=torch.float32)
    ours = shipped(model).state_dict()
    assert all(torch.equal(ours[name], value) for name, value in opened.state_dict().items())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_wiki_markup_becomes_prose():
    from scripts.series.corpus import plain_wiki

    text = (
        "{{Infobox|a={{b}}}}'''Anarchism''' is a [[political philosophy|philosophy]]<ref name=x>no</ref> of"
        " [[freedom]].\n\n{| class=wikitable\n| cell\n|}\n== History ==\n[[File:a.jpg|thumb|A [[cat]] here]]"
        "See [http://x.org the site].\n[[Category:Politics]]<!-- hidden -->"
    )
    assert plain_wiki(text) == "Anarchism is a philosophy of freedom.\n\nHistory\nSee the site."


def test_groups_are_held_out_whole(monkeypatch, tmp_path):
    from scripts.series import corpus

    def reader(_folder):
        for number in range(90):
            yield corpus.Document(f"group {number // 2:02d}", f"text {number} " * 20)

    monkeypatch.setattr(corpus, "_unpack", lambda folder: folder)
    for domain in ("code", "law", "wiki", "docs", "maths", "talk", "chat"):
        monkeypatch.setattr(corpus, f"_{domain}", reader)
    built = corpus.build(tmp_path)
    assert list(built.train) == ["code", "law", "wiki", "docs", "maths", "talk", "chat"]
    held = {int(text.split()[1]) for text in built.held_out["law"]}
    assert held == {20, 21, 60, 61}  # groups 10 and 30
    assert len(built.train["law"]) == 86
    assert built.digest == corpus.build(tmp_path).digest
