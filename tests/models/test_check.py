import numpy as np
import pytest
import torch

from brodmann.errors import AnatomyError
from brodmann.models import families, lesion, load, self_test
from brodmann.models.rules import RULES


@pytest.mark.parametrize("family", families())
def test_every_family_is_read_exactly(tiny, family):
    table = self_test(tiny(family))
    taps, heads, silenced = table.rows
    assert table.ok
    assert (taps.check, taps.value) == ("taps", 0.0)
    assert heads.check == "heads_sum"
    assert heads.value < 1e-5
    assert silenced.value > 1e-5
    assert table.to_frame()["ok"].all()
    assert [row.detail for row in table.rows] == [
        "logits with taps on equal logits with taps off",
        "sum over heads equals the module's output",
        "silencing a head changes the logits",
    ]


def test_there_are_at_least_28_families():
    assert len(families()) >= 28


def test_the_sum_over_heads_proves_something():
    # Where the total is the projection itself, the sum holds trivially. BLOOM and BERT add the residual stream inside
    # the module around their projection, so nothing else can be compared; for them only the lesion stands.
    trivial = {name for name, rule in RULES.items() for stack in rule.stacks if stack.total == stack.projection}
    assert trivial == {"bloom", "bert", "roberta"}
    for name, rule in RULES.items():
        for stack in rule.stacks:
            assert name in trivial or not stack.total.startswith(stack.projection)


def test_only_the_text_stack_of_a_multimodal_model_is_read(tmp_path, tiny):
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {"vocab_size": 261, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "head_dim": 8,
            "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 16}  # fmt: skip
    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    config = Gemma3Config(text_config=text, vision_config=vision, image_token_index=4, mm_tokens_per_image=4)
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path / "both")
    tiny("llama").tokenizer.save_pretrained(tmp_path / "both")
    subject = load(tmp_path / "both")
    assert subject.anatomy.family == "gemma3 (gemma3_text)"
    assert {site.module for site in subject.anatomy.sites if site.kind == "head"} == {
        f"model.language_model.layers.{layer}.self_attn.o_proj" for layer in range(4)
    }
    assert "post-norm" in subject.provenance["note"]
    assert subject.generates


def _break(subject, layer, factor):
    attention = subject.model.model.layers[layer].self_attn
    original = attention.forward

    def forward(*args, **kwargs):
        output, *rest = original(*args, **kwargs)
        return (output * factor, *rest)

    attention.forward = forward


def test_heads_that_do_not_sum_are_refused_by_name():
    subject = load("random:llama")
    _break(subject, 2, 1.001)
    table = self_test(subject)
    row = table.rows[1]
    assert not row.ok
    assert row.value == pytest.approx(1e-3, rel=0.01)
    with pytest.raises(AnatomyError, match=r"model\.layers\.2\.self_attn"):
        table.refuse("mine")


def test_a_module_that_changes_under_a_tap_is_refused():
    subject = load("random:gpt2")
    projection = subject.model.transformer.h[1].attn.c_proj
    original = projection.forward

    def forward(x):
        return original(x) + len(projection._forward_pre_hooks)

    projection.forward = forward
    with pytest.raises(AnatomyError, match="logits with taps on differ"):
        self_test(subject).refuse("mine")


def test_a_projection_that_is_never_run_is_refused():
    # BLOOM trained on several devices can work around its projection module.
    subject = load("random:bloom")
    attention = subject.model.transformer.h[0].self_attention
    attention.pretraining_tp, attention.slow_but_exact = 2, True
    with pytest.raises(AnatomyError, match=r"never ran through transformer\.h\.0\.self_attention\.dense"):
        self_test(subject).refuse("mine")


def test_a_head_without_effect_is_refused():
    subject = load("random:llama")
    with torch.no_grad():
        subject.model.model.layers[0].self_attn.o_proj.weight.zero_()
    with pytest.raises(AnatomyError, match=r"silencing a head at model\.layers\.0\.self_attn\.o_proj changes nothing"):
        self_test(subject).refuse("mine")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"projection": "mlp.down_proj"}, r"no rule covers model\.layers\.0\.self_attn \(LlamaAttention\)"),
        ({"projection": "self_attn.q_proj"}, r"do not sum to the output of model\.layers\.0\.self_attn"),
        ({"projection": "self_attn.nothing"}, r"model\.layers\.0: no attention projection.*LlamaAttention"),
        ({"neurons": "mlp.nothing"}, r"llama, stack 'decoder': no layer has a module at 'mlp\.nothing'.*neurons"),
        ({"experts": "mlp.nothing"}, r"no layer has a module at 'mlp\.nothing'.*experts"),
        ({"layers": "blocks"}, "no list of layers at 'blocks'"),
        ({"like": "gpt2"}, "no list of layers at 'h'"),
        ({"like": "lama"}, "not a known family"),
        ({"projektion": "x"}, "unknown field 'projektion'"),
    ],
)
def test_a_wrong_spec_is_refused(spec, message):
    with pytest.raises(AnatomyError, match=message) as caught:
        load("random:llama", spec=spec)
    assert "\n" not in str(caught.value)


def test_a_model_that_computes_nonsense_is_refused():
    subject = load("random:llama")
    with torch.no_grad():
        subject.model.model.norm.weight[0] = float("nan")
    with pytest.raises(AnatomyError, match="output is not finite"):
        self_test(subject).refuse("mine")


def test_lesion_equals_zeroed_weights(tiny, ids, run):
    # All weight layouts: (out, in), GPT-2's (in, out), fused projections, MLA.
    for family in ("llama", "gpt2", "gpt_neox", "deepseek_v3", "bert", "phi3"):
        subject, damaged = tiny(family), load(f"random:{family}")
        site = [site for site in subject.anatomy.sites if site.kind == "head"][2]
        weight = damaged.model.get_submodule(site.module).weight
        columns = slice(site.width, 2 * site.width)
        with torch.no_grad():
            (weight[columns] if family == "gpt2" else weight[:, columns]).zero_()
        with lesion(subject, ["L2H1"]):
            silenced = run(subject, ids)
        assert torch.equal(silenced, run(damaged, ids))
        assert not torch.equal(silenced, run(subject, ids))


def test_lesion_of_experts_removes_only_them(tiny, ids, run):
    subject = tiny("deepseek_v3")
    model = subject.model
    block = model.model.layers[1].mlp
    outputs = {}
    hook = block.experts.register_forward_hook(lambda m, a, o: outputs.setdefault("routed", []).append(o))
    shared = block.shared_experts.register_forward_hook(lambda m, a, o: outputs.setdefault("shared", []).append(o))
    every = [f"L1E{index}" for index in range(6)]
    with lesion(subject, every):
        run(subject, ids)
    hook.remove()
    shared.remove()
    assert outputs["routed"][0].abs().max() == 0
    assert outputs["shared"][0].abs().min() > 0
    with lesion(subject, ["L1E6"]):
        without_shared = run(subject, ids)
    assert np.abs((without_shared - run(subject, ids)).numpy()).max() > 1e-4


def test_lesion_names_a_unit_that_does_not_exist(tiny):
    with pytest.raises(AnatomyError, match="no head or expert 'L9H0'"), lesion(tiny("llama"), ["L9H0"]):
        pass
    with pytest.raises(AnatomyError, match="not the one string"), lesion(tiny("llama"), "L0H0"):
        pass
