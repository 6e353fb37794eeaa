import re

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM

from brodmann.errors import WeightsError
from brodmann.fractal.grids import whole
from brodmann.fractal.one_hop import Matrix, count_edges
from brodmann.models import families, load
from brodmann.models.chains import INPUTS, chain
from brodmann.models.heads import KEY, QUERY, VALUE, arranged, undivided
from brodmann.models.packaged import PACKAGED
from brodmann.models.rules import FAMILIES, RULES
from brodmann.models.shards import Checkpoint, Entry, from_model, open_checkpoint
from brodmann.models.untrained import tiny_config
from brodmann.models.weights import head_weights

KINDS = ("official", "architectural")
BLOCK = re.compile(r"\.(h|layers|layer|blocks|block)\.\d+\.")
LEFT_OUT = re.compile(
    r"vision_tower|bias$|norm|mlp\.gate\.weight|mlp\.router\.weight|relative_attention_bias"  # routers are no edges
)


def matrices(model):
    """Attention and MLP matrices of the blocks, told by their names alone."""
    return {
        name: value
        for name, value in model.state_dict().items()
        if BLOCK.search(f".{name}") and value.ndim in (2, 3) and not LEFT_OUT.search(name)
    }


def read(checkpoint, piece):
    raw = piece.read(checkpoint).raw
    return raw.T if piece.transposed else raw


@pytest.mark.parametrize("family", families())
def test_chains_cover_each_matrix_once_and_folders_equal_opened_models(tiny, family, tmp_path):
    model = tiny(family).model
    model.save_pretrained(tmp_path)
    expected = sum(value.numel() for value in matrices(model).values())
    ours, folder = from_model(model), open_checkpoint(tmp_path)
    for kind in KINDS:
        steps, saved = chain(ours, kind), chain(folder, kind)
        assert len(steps) == len(saved)
        total = 0
        for one, other in zip(steps, saved, strict=True):
            assert (one.source, one.target, one.start) == (other.source, other.target, other.start)
            for mine, theirs in zip(one.tensors, other.tensors, strict=True):
                values = read(ours, mine)
                assert values.shape == (one.targets, one.sources)
                np.testing.assert_array_equal(values, read(folder, theirs))
                total += values.size
        assert total == expected


def test_every_rule_has_a_line():
    assert set(INPUTS) == set(RULES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", families())
def test_layers_fit_each_other(tiny, family, kind):
    steps = chain(from_model(tiny(family).model), kind)
    reached = {}
    for step in steps:
        reached.setdefault(step.target, set()).update(range(step.start, step.start + step.targets))
    for step in steps:
        if step.source in reached:  # the first stream of a stack is reached by nothing
            assert reached[step.source] == set(range(step.sources)), step.source
        else:
            assert step.source in ("L0.input", "encoder.L0.input", "decoder.L0.input")
        if step.kind == "attention":
            neurons, outputs = np.arange(step.sources), np.arange(step.targets)
            assert step.heads.reaches(neurons, outputs).any(0).all()
            assert step.heads.reaches(neurons, outputs).any(1).all()
    inputs = [name for name in reached if name.endswith(".input")]
    blocks = max(step.block for step in steps) + 1
    assert len(inputs) == blocks * (2 if family == "t5" else 1)


@pytest.mark.parametrize("family", families())
def test_roles_are_those_of_the_heads_that_the_lesions_know(tiny, family):
    subject = tiny(family)
    prefix = "decoder." if family == "t5" else ""
    steps = chain(from_model(subject.model), "architectural")
    block = [step for step in steps if step.source.startswith(f"{prefix}L2.") and step.kind == "attention"]
    (heads,) = (step.heads for step in block)
    plain = ((piece, step) for step in steps if step.kind == "qkv" for piece in step.tensors if not piece.rows)
    starts = {piece.name: step.start for piece, step in plain}
    for head in (0, 3):
        found = head_weights(subject, f"{prefix}L2H{head}")
        group = head * heads.groups // heads.heads
        for part, role, at in ((found.query, QUERY, head), (found.key, KEY, group), (found.value, VALUE, group)):
            mine = np.flatnonzero((heads.role == role) & (heads.head == at))
            assert mine.tolist() == (part.index.numpy() + starts[part.parameter_name]).tolist()
        outputs = found.output.index.numpy()
        queries = np.flatnonzero((heads.role == QUERY) & (heads.head == head))
        assert set(np.flatnonzero(heads.reaches(queries, np.arange(heads.outputs)).any(0))) == set(outputs)


def test_parallel_blocks_share_the_stream(tiny):
    parallel = {"falcon", "gpt_neox", "gptj", "phi"}
    for family in families():
        checkpoint = from_model(tiny(family).model)
        ends = {kind: {step.target for step in chain(checkpoint, kind)} for kind in KINDS}
        assert any(name.endswith(".middle") for name in ends["official"])
        assert any(name.endswith(".middle") for name in ends["architectural"]) == (family not in parallel)
    steps = chain(from_model(tiny("gpt_neox").model), "architectural")
    assert [(step.source, step.target) for step in steps[-4:]] == [
        ("L3.qkv", "L3.attention"), ("L3.attention", "L4.input"), ("L3.input", "L3.hidden"), ("L3.hidden", "L4.input")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "changes"),
    [*((family, {}) for family in families() if family not in ("llava", "t5")),
     ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
     ("falcon", {"multi_query": False, "parallel_attn": False}),
     ("gpt_neox", {"use_parallel_residual": False}), ("stablelm", {"use_parallel_residual": True})],
)  # fmt: skip
def test_the_chain_is_parallel_where_the_model_is(family, changes):
    """What the attention of a block writes reaches the neurons of the same block, or it does not."""
    torch.manual_seed(0)
    model = AutoModel.from_config(tiny_config(family, **changes)).eval()
    steps = chain(from_model(model), "architectural")
    rule = RULES[FAMILIES[family][1]].stacks[0]
    block = model.get_submodule(rule.layers)[1]
    mlp, heard = block.get_submodule(rule.experts or rule.neurons), []
    mlp.register_forward_pre_hook(lambda _, args: heard.append(args[0].clone()))
    ids = torch.arange(5, 16)[None]
    with torch.no_grad():
        model(input_ids=ids)
        block.get_submodule(rule.projection).weight *= 2
        model(input_ids=ids)
    sequential = not torch.equal(*heard)
    assert any(step.target.endswith("L1.middle") for step in steps) == sequential


def test_a_sequential_neox_is_sequential(tiny):
    checkpoint = from_model(tiny("gpt_neox").model)
    other = Checkpoint("x", {**checkpoint.config, "use_parallel_residual": False}, checkpoint.tensors, checkpoint.fetch)
    assert "L0.middle" in {step.target for step in chain(other, "architectural")}


def test_the_official_chain_of_neox_is_that_of_the_released_code(tiny):
    # specs: block input -> 3d queries, keys, values -> d -> d -> 4d -> next input; a query reaches its own index only.
    steps = chain(from_model(tiny("gpt_neox").model))
    assert [step.kind for step in steps[:5]] == ["qkv", "attention", "attention_out", "mlp_in", "mlp_out"]
    assert [(step.sources, step.targets) for step in steps[:5]] == [(32, 96), (96, 32), (32, 32), (32, 64), (64, 32)]
    edges = steps[1].heads.reaches(np.arange(96), np.arange(32))
    np.testing.assert_array_equal(edges[:32], np.eye(32, dtype=bool))
    assert edges[32:].all()
    assert edges.sum() == 2 * 32**2 + 32


def test_gates_and_inputs_are_told_apart(tiny):
    def pieces(family, kind="mlp_in", block=1):
        model = tiny(family).model
        checkpoint = from_model(model)
        step = next(step for step in chain(checkpoint) if step.kind == kind and step.block == block)
        return dict(model.state_dict()), [read(checkpoint, piece) for piece in step.tensors]

    state, (gate, up) = pieces("llama")
    np.testing.assert_array_equal(gate, state["model.layers.1.mlp.gate_proj.weight"])
    np.testing.assert_array_equal(up, state["model.layers.1.mlp.up_proj.weight"])
    state, (gate, up) = pieces("phi3")
    np.testing.assert_array_equal(gate, state["model.layers.1.mlp.gate_up_proj.weight"][:64])
    np.testing.assert_array_equal(up, state["model.layers.1.mlp.gate_up_proj.weight"][64:])
    state, (gate, up) = pieces("gpt_oss")
    np.testing.assert_array_equal(gate, state["model.layers.1.mlp.experts.gate_up_proj"][0, :, ::2].T)
    np.testing.assert_array_equal(up, state["model.layers.1.mlp.experts.gate_up_proj"][0, :, 1::2].T)
    state, (only,) = pieces("gpt2")
    np.testing.assert_array_equal(only, state["transformer.h.1.mlp.c_fc.weight"].T)


def test_experts_are_parallel_layers_and_the_shared_ones_come_last(tiny):
    model = tiny("deepseek_v3").model
    checkpoint = from_model(model)
    steps = [step for step in chain(checkpoint) if step.block == 1 and step.kind == "mlp_out"]
    assert [step.source for step in steps] == [f"L1E{expert}.hidden" for expert in range(7)]
    assert {step.target for step in steps} == {"L2.input"}
    state = model.state_dict()
    np.testing.assert_array_equal(
        read(checkpoint, steps[5].tensors[0]), state["model.layers.1.mlp.experts.down_proj"][5]
    )
    np.testing.assert_array_equal(
        read(checkpoint, steps[6].tensors[0]), state["model.layers.1.mlp.shared_experts.down_proj.weight"]
    )
    dense = [step.source for step in chain(checkpoint) if step.block == 0 and step.kind == "mlp_out"]
    assert dense == ["L0.hidden"]


def test_latents_are_layers_and_rotated_keys_are_everybodys(tiny):
    steps = chain(from_model(tiny("deepseek_v3").model), "architectural")
    found = [(step.source, step.target, step.sources, step.targets, step.start) for step in steps[:5]]
    assert found == [
        ("L0.input", "L0.query_latent", 32, 16, 0),
        ("L0.input", "L0.kv_latent", 32, 16, 0),
        ("L0.query_latent", "L0.qkv", 16, 48, 0),
        ("L0.kv_latent", "L0.qkv", 16, 80, 48),
        ("L0.input", "L0.qkv", 32, 4, 128),
    ]
    heads = steps[5].heads
    assert heads.reaches(np.arange(128, 132), np.arange(48)).all()
    assert heads.reaches(np.arange(48, 68), np.arange(48)).sum() == 20 * 12  # keys and values of the first head


def test_cross_attention_reads_the_encoders_last_stream(tiny):
    steps = [step for step in chain(from_model(tiny("t5").model), "architectural") if step.stack == "cross"]
    found = [(step.source, step.target) for step in steps[:5]]
    memory = ("encoder.L4.input", "cross.L0.qkv")
    assert found[:3] == [("decoder.L0.middle", "cross.L0.qkv"), memory, memory]
    assert found[3:] == [("cross.L0.qkv", "cross.L0.attention"), ("cross.L0.attention", "cross.L0.middle")]


def test_heads_of_a_known_arrangement():
    heads = arranged("separate", heads=4, groups=2, query_width=2, width=2)
    assert (heads.neurons, heads.outputs) == (16, 8)
    assert heads.output_groups.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    edges = heads.reaches(np.arange(16), np.arange(8))
    np.testing.assert_array_equal(edges[:8], np.eye(8, dtype=bool))
    assert edges[8:10, :4].all()
    assert not edges[8:10, 4:].any()
    assert edges[14:, 4:].all()
    grouped = arranged("grouped", heads=4, groups=2, query_width=2, width=2)
    same = np.concatenate([grouped.ordered(role) for role in (QUERY, KEY, VALUE)])
    np.testing.assert_array_equal(grouped.reaches(same, np.arange(8)), edges)
    assert undivided(4, 2, 2).reaches(np.arange(8), np.arange(4)).sum() == 4 + 4 * 4
    with pytest.raises(WeightsError, match="3 heads do not share 2 groups"):
        arranged("separate", heads=3, groups=2, query_width=2, width=2)


def changed(checkpoint, drop=(), add=None, **config):
    tensors = {name: entry for name, entry in checkpoint.tensors.items() if name not in drop}
    return Checkpoint("mine", {**checkpoint.config, **config}, {**tensors, **(add or {})}, checkpoint.fetch)


def test_what_cannot_be_a_chain_is_refused_in_one_line(tiny):
    llama = from_model(tiny("llama").model)
    layer = "model.layers.2.self_attn."
    down = "model.layers.2.mlp.down_proj.weight"
    matrix = Entry("F32", (32, 32), "float32")
    cases = [
        (changed(llama, model_type="mamba"), "the architecture 'mamba' is unknown; it needs a line in RULES"),
        (changed(llama, [f"{layer}o_proj.weight"]), f"mine lacks {layer}o_proj.weight"),
        (changed(llama, [f"{layer}k_proj.weight"]), f"mine lacks {layer}k_proj.weight"),
        (changed(llama, ["model.layers.3.mlp.up_proj.weight"]), "mine lacks model.layers.3.mlp.up_proj.weight"),
        (changed(llama, add={f"{layer}extra.weight": matrix}), f"{layer}extra.weight is a matrix of a block"),
        (changed(llama, num_hidden_layers=6), "mine lacks model.layers.4.self_attn.o_proj.weight"),
        (changed(llama, num_attention_heads=None), "does not say num_attention_heads"),
        (changed(llama, num_attention_heads=5), "mine: 64 queries, keys and values of model.layers.0"),
        (changed(llama, add={f"{layer}q_proj.weight": Entry("I8", (32, 32), None)}), "is stored as I8"),
        (changed(llama, add={f"{layer}o_proj.weight": Entry("F32", (32, 24), "float32")}), "into 4 heads of 6"),
        (changed(llama, add={down: Entry("F32", (32, 48), "float32")}), "begins at 48 neurons, but L2.hidden has 64"),
        (changed(llama, add={down: Entry("F32", (24, 64), "float32")}), "begins at 32 neurons, but L3.input has 24"),
        (changed(llama, add={f"{layer}o_proj.weight": Entry("F32", (1024,), "float32")}), "which is no matrix"),
    ]
    for checkpoint, message in cases:
        with pytest.raises(WeightsError, match=re.escape(message)) as caught:
            chain(checkpoint, "architectural")
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match=r"o_proj.weight begins at 24 neurons, but L2.attention has 32"):
        chain(changed(llama, add={f"{layer}o_proj.weight": Entry("F32", (32, 24), "float32")}))
    quantised = {f"model.layers.{block}.self_attn.o_proj.weight" for block in range(4)}
    packed = {name.replace("weight", "qweight"): Entry("I32", (4, 32), None) for name in quantised}
    with pytest.raises(WeightsError, match="dequantise the model first"):
        chain(changed(llama, quantised, packed))


def test_blocks_beyond_the_config_are_left_out(tiny):
    # DeepSeek-V3 ships a block for multi-token prediction after those that it counts.
    assert max(step.block for step in chain(changed(from_model(tiny("llama").model), num_hidden_layers=3))) == 2


def test_a_missing_expert_is_noticed(tiny, tmp_path):
    tiny("mixtral").model.save_pretrained(tmp_path)
    whole = open_checkpoint(tmp_path)
    path = "model.layers.0.block_sparse_moe.experts.5."
    with pytest.raises(WeightsError, match=r"lacks model.layers.0.mlp.experts.5.down_proj.weight"):
        chain(changed(whole, [f"{path}{name}.weight" for name in ("w1", "w2", "w3")]))


def test_gated_t5_and_prefixless_names(tiny):
    gated = load("random:t5", check=False).model.config
    gated.feed_forward_proj, gated.is_gated_act, gated.dense_act_fn = "gated-gelu", True, "gelu_new"
    model = type(tiny("t5").model)(gated)
    steps = chain(from_model(model))
    assert {len(step.tensors) for step in steps if step.kind == "mlp_in"} == {2}
    gpt2 = from_model(tiny("gpt2").model)
    bare = {name.removeprefix("transformer."): entry for name, entry in gpt2.tensors.items()}
    assert len(chain(Checkpoint("bare", gpt2.config, bare, gpt2.fetch))) == len(chain(gpt2))


def test_smollm_has_the_shapes_of_its_config():
    if not PACKAGED["smollm2-135m"].installed:
        pytest.skip("the package with the model is not installed")
    steps = chain(open_checkpoint("smollm2-135m"), "architectural")
    # per block: q and o 576 x 576, k and v 192 x 576, three of 1536 x 576
    assert sum(step.sources * step.targets * len(step.tensors) for step in steps) == 30 * 576 * (2 * 768 + 3 * 1536)
    heads = steps[3].heads
    assert (heads.heads, heads.groups, heads.width) == (9, 3, 64)


def test_our_own_models_have_the_shapes_of_their_configs():
    assert sum(step.kind == "mlp_out" for step in chain(open_checkpoint("nano-moe"))) == 6 * 8
    first, last = (chain(open_checkpoint("nano", step)) for step in ("step0", None))
    assert [step.tensors for step in first] == [step.tensors for step in last]
    assert sum(step.sources * step.targets * len(step.tensors) for step in last) == 8 * 12 * 96**2


@pytest.mark.parametrize(
    ("family", "changes", "matrices_of_a_block"),
    [
        ("deepseek_v2", {"q_lora_rank": None}, 5 + 2),  # queries without a latent
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}, 4),
        ("falcon", {"multi_query": False, "parallel_attn": False}, 4),
        ("phi3", {"num_key_value_heads": 2}, 4),
        ("opt", {"do_layer_norm_before": False}, 6),
        ("stablelm", {"use_parallel_residual": True}, 6),
        ("stablelm", {"qk_layernorm": True}, 6),
    ],
)
def test_variants_of_a_family(family, changes, matrices_of_a_block):
    config = tiny_config(family, **changes)
    model = AutoModelForCausalLM.from_config(config)
    steps = chain(from_model(model), "architectural")
    assert sum(step.sources * step.targets * len(step.tensors) for step in steps) == sum(
        value.numel() for value in matrices(model).values()
    )
    assert sum(bool(step.tensors) for step in steps if step.block == 0) == matrices_of_a_block
    (heads,) = (step.heads for step in steps if step.kind == "attention" and step.block == 0)
    groups = {"phi3": 2, "stablelm": 2, "falcon": 2 if "num_kv_heads" in changes else 4}.get(family, 4)
    assert (heads.heads, heads.groups) == (4, groups)
    sequential = (
        family in ("deepseek_v2", "phi3", "opt")
        or changes.get("parallel_attn") is False
        or (family == "stablelm" and not changes.get("use_parallel_residual"))
    )
    assert any(step.target.endswith(".middle") for step in steps) == sequential


def test_counting_edges_takes_the_pieces_as_they_are(tiny):
    # An edge counts where 1 < 1/|w| <= 150: counted neuron by neuron from the model's own matrices.
    for family in ("gpt2", "gpt_oss", "llama"):
        checkpoint = from_model(tiny(family).model)
        step = next(step for step in chain(checkpoint) if step.kind == "mlp_in")
        found = [piece.read(checkpoint) for piece in step.tensors]
        pairs = zip(step.tensors, found, strict=True)
        ours = [Matrix(piece.name, each.raw, each.storage, piece.transposed) for piece, each in pairs]
        assert {(each.sources, each.targets) for each in ours} == {(step.sources, step.targets)}
        counts = count_edges(ours, whole(), [1.0] * len(ours))
        largest = np.max([np.abs(read(checkpoint, piece)) for piece in step.tensors], axis=0)
        distance = 1 / largest.astype(np.float64)
        np.testing.assert_array_equal(counts[:, 1:-1].sum(1), ((distance > 1) & (distance <= 150)).sum(0))
