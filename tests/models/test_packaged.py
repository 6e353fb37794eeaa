"""The real models that ship in packages."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brodmann.models import listen, load, self_test
from brodmann.models.gguf_file import read_weights
from brodmann.models.packaged import PACKAGED

TEXT = {
    "en": "Alice was beginning to get very tired of sitting by her sister on the bank,\nand of having nothing  to do",
    "pt": "Algum tempo hesitei se devia abrir estas memórias pelo princípio ou pelo fim,\nisto é, se poria  primeiro",
}


@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 5e-6), ("float32", 2e-5)])
def test_glass_agrees_with_the_packages_own_code(language, dtype, tolerance):
    glassllm = pytest.importorskip("glassllm")
    weights = Path(glassllm.__file__).parent / "weights"
    theirs = glassllm.GlassLM.load(weights / f"{language}.npz", dtype=np.dtype(dtype))
    tokenizer = glassllm.Tokenizer.load(weights / f"{language}.tokenizer.json")
    subject = load(f"glass-{language}", dtype=dtype)
    ids = tokenizer.encode(TEXT[language])
    assert subject.tokenizer(TEXT[language])["input_ids"] == ids
    assert subject.tokenizer.decode(ids) == TEXT[language]
    with torch.no_grad():
        ours = subject.model(torch.tensor([ids])).logits.numpy()
    # Logits reach 20; the rest is transformers' rotary angles, which are single precision in any case.
    assert np.abs(ours - theirs(ids).data).max() < tolerance
    assert subject.context_length == 128


@pytest.fixture(scope="module")
def smollm():
    if not PACKAGED["smollm2-135m"].installed:
        pytest.skip(PACKAGED["smollm2-135m"].install)
    return load("smollm2-135m")


def test_smollm_writes_sense(smollm):
    ids = smollm.tokenizer("The capital of France is", return_tensors="pt")
    written = smollm.model.generate(**ids, max_new_tokens=3, do_sample=False)
    assert smollm.tokenizer.decode(written[0]) == "The capital of France is Paris.\n"
    assert smollm.tokenizer.tokenize("In 1984") == ["In", "Ġ", "1", "9", "8", "4"]
    assert smollm.has_chat_template
    assert smollm.context_length == 8192


def test_smollm_is_read_exactly(smollm):
    assert (smollm.anatomy.layers, len(smollm.anatomy.units("z_norm"))) == (30, 270)
    assert len(smollm.anatomy.units("neuron")) == 30 * 1536
    table = self_test(smollm)
    assert table.ok
    assert table.rows[1].value < 1e-5
    assert smollm.provenance["parameters"] == 134_515_008
    assert smollm.provenance["quantisation"] == "210 Q4_1, 61 F32, 1 Q8_0"
    ids = smollm.tokenizer("Gravity is a force that pulls", return_tensors="pt")["input_ids"]
    with listen(smollm, "write_norm") as tap, torch.no_grad():
        smollm.model(ids)
    layer = smollm.model.model.layers[17].self_attn
    kept = []
    hook = layer.o_proj.register_forward_pre_hook(lambda m, a: kept.append(a[0]))
    with torch.no_grad():
        smollm.model(ids)
        naive = (kept[0][..., 4 * 64 : 5 * 64] @ layer.o_proj.weight[:, 4 * 64 : 5 * 64].T).norm(dim=-1)
    hook.remove()
    torch.testing.assert_close(tap.take()[..., 17 * 9 + 4], naive, rtol=1e-5, atol=0)


def test_smollm_is_opened_without_loss(smollm):
    weights = read_weights(PACKAGED["smollm2-135m"].file())
    weight = weights["model.layers.3.mlp.up_proj.weight"]
    assert {each.dtype for each in weights.values()} == {torch.float32}
    assert torch.equal(weight, smollm.model.model.layers[3].mlp.up_proj.weight)
    # Four bits with a scale and an offset per block of 32: at most 16 different values in each.
    assert max(len(set(block.tolist())) for block in weight.reshape(-1, 32)[:200]) <= 16


@pytest.mark.slow
def test_smollm_equals_what_transformers_reads_from_the_same_file(smollm):
    from transformers import AutoModelForCausalLM

    from brodmann.models.quiet import quiet

    path = PACKAGED["smollm2-135m"].file()
    with quiet():
        theirs = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        ).state_dict()
    ours = smollm.model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
