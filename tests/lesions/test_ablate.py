"""Removing and replacing units, against slow references that edit weights or substitute vectors one by one."""

from functools import cache

import numpy as np
import pytest
import torch

from brodmann.errors import AnatomyError, RecordingError, SettingsError
from brodmann.lesions import gated, lesion, references, stand_in
from brodmann.lesions.places import noted_places
from brodmann.models import families, load
from brodmann.models.silence import gates_without
from brodmann.recordings.drive import generate, padded

MOE = ("deepseek_v2", "deepseek_v3", "gpt_oss", "mixtral", "olmoe", "qwen3_moe")
PROMPTS = [[5, 6, 7, 8], [9, 10, 11], [12, 13, 14, 15, 16, 17], [18, 19]]
ANSWERS = [[20, 21, 22], [23, 24], [25, 26, 27], [28, 29, 30, 31]]


@cache
def tiny(family):
    return load(f"random:{family}", check=False)


@pytest.fixture
def ids():
    return torch.randint(5, 261, (1, 7), generator=torch.Generator().manual_seed(3)).repeat(4, 1)


def run(subject, ids, **more):
    if subject.is_encoder_decoder:
        more["decoder_input_ids"] = ids.flip(1)
    with torch.no_grad():
        output = subject.model(input_ids=ids, **more)
    return output.logits if "logits" in output else output.last_hidden_state


def hooks_on(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in vars(m)) for m in model.modules())


def heads_of(subject, **where):
    table = subject.anatomy.units("z_norm", "all")
    for name, value in where.items():
        table = table[table[name] == value]
    return list(table["unit"])


@pytest.mark.parametrize("family", families())
def test_lesions_of_nothing_change_no_bit(ids, family):
    subject = tiny(family)
    silent = run(subject, ids)
    usual = references(subject, PROMPTS, ANSWERS, vectors=True)
    for kind, more in (
        ("zero", {}), ("mean", {"references": usual}), ("resample", {"references": usual}), ("noise", {"alpha": 1.0}),
    ):  # fmt: skip
        with lesion(subject, [], kind, **more):
            assert torch.equal(run(subject, ids), silent)
    with gated(subject, torch.ones(4, len(subject.anatomy.units("z_norm")))) as handle:
        assert torch.equal(run(subject, ids), silent)
        handle.set(None)
        assert torch.equal(run(subject, ids), silent)


@pytest.mark.parametrize("family", families())
def test_all_heads_of_a_layer_are_its_output_projection(ids, family):
    subject = tiny(family)
    silent = run(subject, ids)
    for stack in subject.anatomy.stacks:
        site = next(s for s in subject.anatomy.sites if s.kind == "head" and s.stack == stack and s.layer == 2)
        weight = subject.model.get_submodule(site.module).weight
        kept = weight.detach().clone()
        weight.data.zero_()
        edited = run(subject, ids)
        weight.data.copy_(kept)
        with lesion(subject, heads_of(subject, stack=stack, layer=2)):
            silenced = run(subject, ids)
        torch.testing.assert_close(silenced, edited, rtol=1e-5, atol=1e-6)
        assert (silenced - silent).abs().max() > 1e-6


@pytest.mark.parametrize("family", families())
def test_gates_per_row_are_lesions_one_at_a_time(ids, family):
    """The slow reference zeroes columns of the output projections by hand, without the table of layouts."""
    subject = tiny(family)
    table = subject.anatomy.units("z_norm")
    gates = torch.ones(4, len(table))
    for row in (1, 2, 3):
        gates[row, row::5] = 0
    with gated(subject, gates):
        together = run(subject, ids)
    sites = subject.anatomy.select("z_norm")
    for row in range(4):
        kept, start = [], 0
        for site in sites:
            module = subject.model.get_submodule(site.module)
            kept.append((module.weight, module.weight.detach().clone()))
            columns = (gates[row, start : start + site.count] == 0).repeat_interleave(site.width)
            weight = module.weight.data.T if hasattr(module, "nf") else module.weight.data
            weight[:, columns] = 0
            start += site.count
        edited = run(subject, ids)[row]
        for weight, before in kept:
            weight.data.copy_(before)
        torch.testing.assert_close(together[row], edited, rtol=1e-5, atol=1e-6)
        with lesion(subject, list(table["unit"][gates[row].numpy() == 0])):
            torch.testing.assert_close(run(subject, ids)[row], edited, rtol=1e-5, atol=1e-6)


def test_gates_between_scale_and_have_a_gradient(ids):
    subject = tiny("llama")
    gates = torch.ones(4, 16)
    gates[:, 5] = torch.tensor([1.0, 0.5, 0.0, -1.0])
    with gated(subject, gates):
        output = run(subject, ids)
    weight = subject.model.model.layers[1].self_attn.o_proj.weight
    kept = weight.detach().clone()
    for row in range(4):
        weight.data[:, 8:16] = kept[:, 8:16] * gates[row, 5]
        torch.testing.assert_close(output[row], run(subject, ids)[row], rtol=1e-5, atol=1e-6)
    weight.data.copy_(kept)
    whole = torch.ones(4, 16, requires_grad=True)
    with gated(subject, whole):
        subject.model(ids).logits[:, -1, 7].sum().backward()
    step = 1e-2
    with gated(subject, None) as handle:
        for unit in (0, 5, 15):
            ends = []
            for size in (1 - step, 1 + step):
                moved = torch.ones(1, 16)
                moved[0, unit] = size
                handle.set(moved)
                ends.append(float(run(subject, ids)[0, -1, 7]))
            slope = (ends[1] - ends[0]) / (2 * step)
            assert float(whole.grad[0, unit]) == pytest.approx(slope, rel=2e-2, abs=1e-5)
    subject.model.zero_grad()


def test_a_handle_changes_gates_without_new_hooks_and_keeps_its_own_copy(ids):
    subject = tiny("gpt2")
    silent = run(subject, ids)
    gates = gates_without(subject, ["L1H2"], "z_norm")
    with gated(subject) as handle:
        hooked = hooks_on(subject.model)
        assert torch.equal(run(subject, ids), silent)
        handle.set(gates)
        gates.fill_(1.0)
        assert handle.units["unit"].iloc[6] == "L1H2"
        changed = run(subject, ids)
        assert hooks_on(subject.model) == hooked
    with lesion(subject, ["L1H2"]):
        assert torch.equal(run(subject, ids), changed)
    assert not torch.equal(changed, silent)


@pytest.mark.parametrize(
    ("family", "kind"), [("llama", "zero"), ("t5", "zero"), ("mixtral", "zero"), ("llama", "mean")]
)
def test_everything_is_as_before_after_an_exception(ids, family, kind):
    subject = tiny(family)
    before, silent = hooks_on(subject.model), run(subject, ids)
    usual = references(subject, PROMPTS, ANSWERS, vectors=True)
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), lesion(subject, heads_of(subject)[:2], kind, references=usual):
            raise error
        if family in MOE:
            with pytest.raises(error), lesion(subject, ["L0E1"], reroute=True):
                raise error
    assert hooks_on(subject.model) == before
    assert torch.equal(run(subject, ids), silent)


def test_steps_from_a_cache_are_gated_like_the_whole_text(ids):
    subject = tiny("qwen3")
    gates = torch.ones(4, 16)
    gates[1, 3] = gates[2, 9] = gates[3, 15] = 0
    with gated(subject, gates), torch.no_grad():
        whole = subject.model(ids).logits
        begun = subject.model(ids[:, :4], use_cache=True)
        rest = subject.model(ids[:, 4:], past_key_values=begun.past_key_values).logits
    torch.testing.assert_close(torch.cat([begun.logits, rest], 1), whole, rtol=1e-4, atol=1e-5)


# Experts


def routed(subject, unit_gates, ids, **options):
    """What the experts of layer 2 are given: ids chosen and gate values, before and after."""
    site = next(s for s in subject.anatomy.sites if s.kind == "expert" and s.layer == 2)
    kept = []
    module = subject.model.get_submodule(site.module)
    with gated(subject, unit_gates, signal="expert_norm", **options):
        handle = module.register_forward_pre_hook(lambda m, a: kept.append((a[1].clone(), a[2].clone())))
        output = run(subject, ids)
        handle.remove()
    return *kept[0], output


def of_layer(subject, layer, experts):
    """Gates, a row each, without one expert of a layer."""
    table = subject.anatomy.units("expert_norm")
    gates = torch.ones(len(experts), len(table))
    for row, expert in enumerate(experts):
        if expert is not None:
            gates[row, ((table["layer"] == layer) & (table["index"] == expert)).to_numpy(copy=True)] = 0
    return gates


@pytest.mark.parametrize("family", MOE)
def test_an_expert_removed_is_one_whose_output_is_zero(ids, family):
    subject = tiny(family)
    site = next(s for s in subject.anatomy.sites if s.kind == "expert" and s.layer == 2)
    experts = [None, 1, 4, site.count - 1]  # the last are the shared experts, where there are such
    _, _, output = routed(subject, of_layer(subject, 2, experts), ids)
    for row, expert in enumerate(experts):
        edited = contextless_without(subject, site, expert, ids)
        torch.testing.assert_close(output[row], edited[row], rtol=1e-4, atol=1e-6)
        with lesion(subject, [] if expert is None else [f"L2E{expert}"]):
            torch.testing.assert_close(run(subject, ids)[row], edited[row], rtol=1e-4, atol=1e-6)


def contextless_without(subject, site, expert, ids):
    """Slow reference: what an expert writes is multiplied by zero in its weights."""
    module = subject.model.get_submodule(site.module)
    if expert is None:
        return run(subject, ids)
    if site.shared and expert == site.count - 1:
        weights = [(subject.model.get_submodule(site.shared).down_proj.weight, slice(None))]
    else:
        names = [name for name, _ in module.named_parameters() if name.startswith("down_proj")]
        weights = [(getattr(module, name), slice(expert, expert + 1)) for name in names]
    kept = [weight.detach().clone() for weight, _ in weights]
    for weight, where in weights:
        weight.data[where] = 0
    output = run(subject, ids)
    for (weight, _), before in zip(weights, kept, strict=True):
        weight.data.copy_(before)
    return output


@pytest.mark.parametrize("family", MOE)
def test_renormalising_keeps_the_sum_of_gate_values(ids, family):
    subject = tiny(family)
    chosen, intact, _ = routed(subject, None, ids)
    gates = of_layer(subject, 2, [None, 0, 2, 5])
    again, weight, output = routed(subject, gates, ids, renormalise=True)
    assert torch.equal(again, chosen)
    rows = torch.arange(4).repeat_interleave(7)
    gone = gates[rows][:, of_layer(subject, 2, [0])[0].argmin() + torch.arange(6)].gather(1, chosen) == 0
    assert gone.any()
    assert (weight[gone] == 0).all()
    torch.testing.assert_close(weight.sum(-1), intact.sum(-1), rtol=1e-5, atol=1e-7)
    hit = gone.any(-1)
    assert torch.equal(weight[~hit], intact[~hit])
    torch.testing.assert_close(weight[hit].sum(-1), intact[hit].sum(-1), rtol=1e-5, atol=1e-7)
    assert (output[1:] - run(subject, ids)[1:]).abs().amax((1, 2)).max() > 1e-5
    everyone = torch.zeros_like(gates)
    _, nothing, _ = routed(subject, everyone, ids, renormalise=True)
    assert (nothing == 0).all()


@pytest.mark.parametrize("family", MOE)
def test_rerouting_is_choosing_without_them(ids, family):
    subject = tiny(family)
    site = next(s for s in subject.anatomy.sites if s.kind == "expert" and s.layer == 2)
    removed = [None, 0, 2, 5]
    block = subject.model.get_submodule(site.module.rpartition(".")[0])
    router = next(module for name, module in block.named_children() if name in ("gate", "router"))
    kept = []
    handle = router.register_forward_hook(lambda m, a, o: kept.append(o[0].clone()))
    _, _, silent = routed(subject, None, ids)
    chosen, weight, output = routed(subject, of_layer(subject, 2, removed), ids, reroute=True)
    handle.remove()
    logits = kept[0]
    for token in range(len(chosen)):
        gone = removed[token // 7]
        order = expected_choice(family, router, logits[token], gone)
        assert sorted(chosen[token].tolist()) == sorted(order.tolist())
        values = expected_values(family, router, logits[token], chosen[token])
        torch.testing.assert_close(weight[token], values, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(output[0], silent[0], rtol=1e-5, atol=1e-6)
    assert (output[1:] - silent[1:]).abs().max() > 1e-5


def scores_of(family, logits):
    return logits.float().sigmoid() if family == "deepseek_v3" else logits.float().softmax(-1)


def expected_choice(family, router, logits, gone):
    """Two best of the experts that are left; DeepSeek V3 first takes the better of its two groups of three."""
    scores = scores_of(family, logits)
    if family == "deepseek_v3":
        scores = scores + router.e_score_correction_bias
    scores = [(-1.0 if index == gone else float(score), index) for index, score in enumerate(scores)]
    if family == "deepseek_v3":
        scores = max((scores[:3], scores[3:]), key=lambda group: sum(sorted(score for score, _ in group)[-2:]))
    return np.array([index for _, index in sorted(scores)[-2:]])


def expected_values(family, router, logits, chosen):
    values = scores_of(family, logits)[chosen]
    if family == "gpt_oss":
        return logits[chosen].softmax(-1)
    if family == "mixtral" or getattr(router, "norm_topk_prob", False):
        values = values / values.sum()
    return values * getattr(router, "routed_scaling_factor", 1.0)


def test_a_router_that_cannot_be_reached_or_has_too_few_left_is_named(ids, monkeypatch):
    subject = tiny("mixtral")
    with (
        lesion(subject, [f"L1E{index}" for index in range(5)], reroute=True),
        pytest.raises(AnatomyError, match=r"layers\.1\.mlp\.experts: 1 experts are left, but the router chooses 2"),
    ):
        run(subject, ids)
    router = subject.model.get_submodule("model.layers.1.mlp.gate")
    monkeypatch.setattr(router, "forward", lambda x: (None, torch.ones(28, 2) / 2, torch.tensor([[0, 1]] * 28)))
    with lesion(subject, ["L1E0"], reroute=True), pytest.raises(AnatomyError, match="choice could not be reached"):
        run(subject, ids)


# Stand-ins


def slow_vectors(subject, texts, **more):
    """Heads (token, head, width) of every layer, one text at a time, without padding."""
    found = []
    for number, text in enumerate(texts):
        kept, handles = {}, []

        def keep(site, kept=kept):
            return lambda m, a: kept.update({site: a[0][0].unflatten(-1, (site.count, site.width)).clone()})

        handles.extend(
            subject.model.get_submodule(site.module).register_forward_pre_hook(keep(site))
            for site in subject.anatomy.select("z_norm")
        )
        with torch.no_grad():
            subject.model(torch.tensor([text]), **{name: torch.tensor([rows[number]]) for name, rows in more.items()})
        for handle in handles:
            handle.remove()
        found.append(kept)
    return found


TEXTS = [prompt + answer[:-1] for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "deepseek_v2", "bert", "t5"])
def test_references_are_the_plain_means_and_vectors(family):
    subject = tiny(family)
    more = {"decoder_input_ids": [[0, *answer[:-1]] for answer in ANSWERS]} if family == "t5" else {}
    slow = slow_vectors(subject, PROMPTS if family == "t5" else TEXTS, **more)
    usual = references(subject, PROMPTS, ANSWERS, vectors=True, batch_size=3)
    for site in subject.anatomy.select("z_norm"):
        every = torch.cat([each[site] for each in slow])
        torch.testing.assert_close(usual.vectors[site], every, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(usual.means[site], every.double().mean(0), rtol=1e-4, atol=1e-6)
    assert references(subject, PROMPTS, ANSWERS).vectors is None
    if family == "t5":
        encoder = references(subject, PROMPTS, units=["encoder.L1H0"])
        assert [site.module for site in encoder.means] == ["encoder.block.1.layer.0.SelfAttention.o"]
        both = references(subject, PROMPTS, ANSWERS, units=["encoder.L1H0", "cross.L0H0"], vectors=True)
        lengths = {site.stack: len(each) for site, each in both.vectors.items()}
        assert lengths == {"encoder": sum(map(len, PROMPTS)), "cross": sum(map(len, ANSWERS))}


def substituted(subject, text, site, head, values):
    """Logits with one head's vectors put in by hand."""

    def hook(_module, args):
        heads = args[0].unflatten(-1, (site.count, site.width)).clone()
        heads[:, :, head] = values
        return (heads.flatten(-2),)

    handle = subject.model.get_submodule(site.module).register_forward_pre_hook(hook)
    with torch.no_grad():
        output = subject.model(torch.tensor([text])).logits
    handle.remove()
    return output[0]


def test_a_mean_lesion_puts_the_mean_in():
    subject = tiny("llama")
    usual = references(subject, PROMPTS, ANSWERS)
    site = subject.anatomy.select("z_norm")[2]
    mean = torch.cat([each[site] for each in slow_vectors(subject, TEXTS)]).mean(0)
    slow = substituted(subject, [40, 41, 42], site, 1, mean[1])
    with lesion(subject, ["L2H1"], "mean", references=usual):
        torch.testing.assert_close(run(subject, torch.tensor([[40, 41, 42]]))[0], slow, rtol=1e-5, atol=1e-6)
    assert (slow - run(subject, torch.tensor([[40, 41, 42]]))[0]).abs().max() > 1e-5
    gates = torch.cat([torch.ones(1, 16), gates_without(subject, ["L2H1"], "z_norm")])
    with stand_in(subject, "mean", usual) as fill, gated(subject, gates, fill=fill):
        rows = run(subject, torch.tensor([[40, 41, 42]] * 2))
    torch.testing.assert_close(rows[1], slow, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(rows[0], run(subject, torch.tensor([[40, 41, 42]] * 2))[0], rtol=0, atol=0)


def donors(subject, usual, texts, seed=0):
    """Token of the reference texts that stands in, for each text in one right-padded batch."""
    site = subject.anatomy.select("z_norm")[0]
    fakes = {site: torch.arange(sum(map(len, TEXTS)), dtype=torch.float32)[:, None, None].expand(-1, 4, 8)}
    numbered = type(usual)(usual.means, fakes, usual.texts, usual.prompts)
    kept = []
    ids, mask = padded(texts, side="right", pad=0)
    with stand_in(subject, "resample", numbered, seed=seed) as fill:
        module = subject.model.get_submodule(site.module)
        handle = module.register_forward_pre_hook(
            lambda m, a: kept.append(fill(site, a[0].unflatten(-1, (4, 8)))[..., 0, 0].long())
        )
        run(subject, ids, attention_mask=mask)
        handle.remove()
    return [row[: len(text)].tolist() for row, text in zip(kept[0], texts, strict=True)]


def test_resampling_takes_another_prompts_token_at_the_same_position():
    subject = tiny("llama")
    usual = references(subject, PROMPTS, ANSWERS, vectors=True)
    starts = np.cumsum([0, *map(len, TEXTS)])
    seen = set()
    for seed in range(12):
        found = donors(subject, usual, TEXTS, seed)
        assert found == [donors(subject, usual, [text], seed)[0] for text in TEXTS]  # whatever the batch
        assert donors(subject, usual, [*TEXTS, *TEXTS], seed) == found + found
        for row, tokens in enumerate(found):
            source = np.searchsorted(starts, tokens, side="right") - 1
            place = np.array(tokens) - starts[source]
            assert row not in source
            # everywhere the same position, except beyond the end of all others
            others = max(len(text) for number, text in enumerate(TEXTS) if number != row)
            assert place.tolist() == [min(position, others - 1) for position in range(len(tokens))]
            seen.add((row, int(source[0])))
        # a prompt is itself also when only its beginning is read, or when its answer is another
        assert donors(subject, usual, [TEXTS[0][:4], [*PROMPTS[2], 99, 99]], seed) == [found[0][:4], found[2][:8]]
    assert seen == {(row, source) for row in range(4) for source in range(4) if row != source}


def test_a_resample_lesion_puts_those_vectors_in():
    subject = tiny("llama")
    usual = references(subject, PROMPTS, ANSWERS, vectors=True)
    site = subject.anatomy.select("z_norm")[1]
    every = torch.cat([each[site] for each in slow_vectors(subject, TEXTS)])
    slow = substituted(subject, TEXTS[3], site, 2, every[donors(subject, usual, TEXTS, 5)[3], 2])
    ids, mask = padded(TEXTS, side="right", pad=0)
    with lesion(subject, ["L1H2"], "resample", references=usual, seed=5):
        right = run(subject, ids, attention_mask=mask)
    torch.testing.assert_close(right[3, : len(TEXTS[3])], slow, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_resampling_while_generating_is_resampling_the_text(family):
    """Left padding and a cache change positions in the batch, not positions in the text."""
    subject = tiny(family)
    usual = references(subject, PROMPTS, ANSWERS, vectors=True)
    units = ["decoder.L1H2", "cross.L0H1", "cross.L3H0"] if family == "t5" else ["L0H1", "L1H2", "L3H0"]
    with lesion(subject, units, "resample", references=usual, seed=2):
        said = generate(subject, PROMPTS, signal="z_norm", new_tokens=4, reducers=()).token_id
        for prompt, answer in zip(PROMPTS, said.tolist(), strict=True):
            more = {"decoder_input_ids": torch.tensor([[0, *answer[:-1]]])} if family == "t5" else {}
            text = prompt if family == "t5" else prompt + answer[:-1]
            with torch.no_grad():
                logits = subject.model(torch.tensor([text]), **more).logits[0]
            logits[:, 2] = -torch.inf  # the end of sequence is suppressed
            assert logits[-4:].argmax(-1).tolist() == answer


def test_places_count_from_the_first_token_that_is_no_padding():
    subject = tiny("gpt2")
    ids, mask = padded([[5, 6, 7], [8]], side="left", pad=0)
    with noted_places(subject) as places, torch.no_grad():
        cache = subject.model(ids, attention_mask=mask, use_cache=True).past_key_values
        assert places["main"].position.tolist() == [[0, 1, 2], [-2, -1, 0]]
        assert places["main"].valid.tolist() == [[True] * 3, [False, False, True]]
        assert places["main"].begins
        one = torch.ones(2, 1, dtype=torch.int64)
        subject.model(one, attention_mask=torch.cat([mask, one], 1), past_key_values=cache)
        assert places["main"].position.tolist() == [[3], [1]]
        assert not places["main"].begins


# What cannot be


def test_what_cannot_be_lesioned_is_named(ids):
    subject, routed_model = tiny("llama"), tiny("mixtral")
    usual = references(subject, PROMPTS, ANSWERS, units=["L1H0"])
    vectors = references(subject, [[5, 6], [5, 6]], vectors=True)
    for units, kind, more, error, message in (
        (["L9H0"], "zero", {}, AnatomyError, "no head or expert 'L9H0': it has layers 0 to 3, heads 0 to 3"),
        (["L0E0"], "zero", {}, AnatomyError, "no head or expert 'L0E0': the model has no experts"),
        ("L1H0", "zero", {}, AnatomyError, "a list of ids, not the one string"),
        (["L1N3"], "zero", {}, AnatomyError, "no head or expert 'L1N3'"),
        (["L1H0"], "melt", {}, SettingsError, "kind 'melt' is unknown; choose one of zero, mean, resample, noise"),
        (["L1H0"], "mean", {}, SettingsError, r"kind 'mean' needs references, .*lesions.references\(model, rec\)"),
        (["L1H0"], "resample", {}, SettingsError, r"references\(model, rec, vectors=True\)"),
        (["L1H0"], "resample", {"references": usual}, SettingsError, "vectors=True"),
        (["L1H0"], "noise", {}, SettingsError, "needs alpha, its strength; bd.lesions.find_alpha"),
        (["L1H0"], "zero", {"alpha": 1.0}, SettingsError, "of kind 'noise'; 'zero' has none"),
        (["L1H0"], "zero", {"reroute": True}, AnatomyError, "are for experts"),
        (["L1H0"], "mean", {"references": usual, "renormalise": True}, SettingsError, "belong to the kind 'zero'"),
    ):
        with pytest.raises(error, match=message), lesion(subject, units, kind, **more):
            raise AssertionError("the lesion was let in")
    with lesion(subject, ["L2H0"], "mean", references=usual), pytest.raises(AnatomyError, match="not taken at model"):
        run(subject, ids)
    with lesion(subject, ["L2H0"], "resample", references=vectors), pytest.raises(SettingsError, match="no other text"):
        run(subject, torch.tensor([[5, 6]]))
    moe = references(routed_model, PROMPTS)
    with pytest.raises(AnatomyError, match="no stand-in"), lesion(routed_model, ["L0E0"], "mean", references=moe):
        pass
    with pytest.raises(AnatomyError, match="references are of heads"):
        references(routed_model, PROMPTS, units=["L0E0"])


def test_gates_that_do_not_fit_are_refused(ids):
    subject = tiny("llama")
    for gates, message in (
        (torch.ones(4, 15), r"shape \(4, 15\); they must be \(rows, 16\), a column per unit from L0H0 to L3H3"),
        (torch.ones(16), r"shape \(16,\)"),
        (torch.ones(0, 16), r"shape \(0, 16\)"),
        (torch.ones(1, 16, dtype=torch.bool), "finite floating-point"),
        (torch.full((1, 16), torch.nan), "finite floating-point"),
    ):
        with pytest.raises(AnatomyError, match=message), gated(subject, gates):
            pass
    with (
        gated(subject, torch.zeros(3, 16)),
        pytest.raises(AnatomyError, match="gates have 3 rows, but the model runs 4"),
    ):
        run(subject, ids)
    with pytest.raises(AnatomyError, match="neuron units cannot be gated"), gated(subject, None, signal="neuron"):
        pass
    with pytest.raises(AnatomyError, match="has no expert units"), gated(subject, None, signal="expert_norm"):
        pass


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "deepseek_v2", "mixtral"])
def test_a_gpu_gives_the_same(ids, family):
    here, there = tiny(family), load(f"random:{family}", device="cuda", check=False)
    units = heads_of(here)[1::5]
    for kind in ("zero", "mean", "resample", "noise"):
        found = []
        for subject in (here, there):
            usual = None
            if kind in ("mean", "resample"):
                usual = references(subject, PROMPTS, ANSWERS, units=units, vectors=True)
            where = subject.model.device
            with lesion(subject, units, kind, references=usual, alpha=1.0 if kind == "noise" else None):
                found.append(run(subject, ids.to(where)).cpu())
        torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)
    if family in MOE:
        gates = of_layer(here, 2, [None, 0, 2, 5])
        for options in ({}, {"renormalise": True}, {"reroute": True}):
            first, second = (
                routed(subject, gates.to(subject.model.device), ids.to(subject.model.device), **options)[2].cpu()
                for subject in (here, there)
            )
            torch.testing.assert_close(second, first, rtol=1e-3, atol=1e-4)


def test_reference_texts_that_cannot_be_are_refused(monkeypatch):
    subject = tiny("llama")
    with pytest.raises(RecordingError, match="at least one prompt"):
        references(subject, [])
    with pytest.raises(RecordingError, match="4 prompts do not go with 1 answers"):
        references(subject, PROMPTS, [[5]])
    with pytest.raises(RecordingError, match="references of its decoder need answers"):
        references(tiny("t5"), PROMPTS)
    monkeypatch.setattr("brodmann.lesions.stand_ins.VECTORS_BYTES", 1000)
    with pytest.raises(RecordingError, match="GiB, more than"):
        references(subject, PROMPTS, vectors=True)
