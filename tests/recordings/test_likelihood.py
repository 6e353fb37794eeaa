"""Scores against the model's full logits, one row at a time, over families; forms of answers; what is refused."""

import numpy as np
import pytest
import torch

import brodmann as bd
from brodmann.errors import RecordingError
from brodmann.models import Subject, families
from brodmann.recordings import likelihood, record
from brodmann.recordings.likelihood import answer_log_likelihood, final_states, head_logits, recorded_text, score

PROMPTS = [(5, 60, 7), (9, 8, 70, 61, 12, 13, 14), (30,)]
ANSWERS = [(11, 90, 17, 4), (50, 51), (7, 99, 101, 3, 12)]
ENCODERS = {"bert", "roberta", "distilbert", "modernbert"}


def naive_logits(subject: Subject, prompt, answer) -> torch.Tensor:
    """Full logits of one row without padding, cut to the positions that produce the answer."""
    with torch.no_grad():
        if subject.is_encoder_decoder:
            start = subject.model.generation_config.decoder_start_token_id
            start = subject.model.config.decoder_start_token_id if start is None else start
            decoder = torch.tensor([[start, *answer[:-1]]])
            return subject.model(input_ids=torch.tensor([prompt]), decoder_input_ids=decoder).logits[0].float()
        logits = subject.model(input_ids=torch.tensor([[*prompt, *answer[:-1]]])).logits[0].float()
    return logits[len(prompt) - 1 :]


@pytest.mark.parametrize("family", [family for family in families() if family not in ENCODERS])
def test_scores_equal_the_models_own_logits(family: str, sharpened):
    subject = sharpened(f"random:{family}")
    for rows in (None, 1):
        blocks = list(score(subject, PROMPTS, ANSWERS, rows=rows))
        for number, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
            block = next(each for each in blocks if each.row.start <= number < each.row.stop)
            row = number - block.row.start
            expected = naive_logits(subject, prompt, answer)
            found = block.logits[row, : len(answer)]
            assert block.valid[row].tolist() == [step < len(answer) for step in range(5)]
            assert block.target[row, : len(answer)].tolist() == list(answer)
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_a_capped_and_a_scaled_head_are_the_models_own():
    capped = bd.load("random:gemma2")
    cap = capped.model.config.final_logit_softcapping
    with torch.no_grad():
        capped.model.lm_head.weight.mul_(2000)
    states = final_states(capped, PROMPTS, ANSWERS)[0]
    raw = capped.model.lm_head(states)
    assert raw.abs().max() > cap  # the cap is at work
    torch.testing.assert_close(head_logits(capped, states), cap * torch.tanh(raw / cap))


def test_the_body_is_the_models_own_again(llama: Subject):
    states = final_states(llama, PROMPTS, ANSWERS)[0]
    before = dict(vars(llama.model.base_model))
    head_logits(llama, states)
    assert vars(llama.model.base_model).keys() == before.keys()
    with pytest.raises(RuntimeError):
        head_logits(llama, states[:, :3])
    assert "forward" not in vars(llama.model.base_model)


def test_log_likelihoods_are_those_of_a_naive_softmax(llama: Subject, monkeypatch):
    expected = np.full((3, 5), np.nan)
    for row, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        nats = naive_logits(llama, prompt, answer).double().log_softmax(-1)
        expected[row, : len(answer)] = [nats[step, token] for step, token in enumerate(answer)]
    np.testing.assert_allclose(answer_log_likelihood(llama, PROMPTS, ANSWERS), expected, atol=1e-4)
    # one step and one row at a time
    monkeypatch.setattr(likelihood, "LOGITS_BYTES", 1)
    monkeypatch.setattr(likelihood, "TOKENS_TOGETHER", 1)
    blocks = list(score(llama, PROMPTS, ANSWERS))
    assert len(blocks) == 15
    assert {block.logits.shape[:2] for block in blocks} == {(1, 1)}
    np.testing.assert_allclose(answer_log_likelihood(llama, PROMPTS, ANSWERS), expected, atol=1e-4)


def test_gradients_pass_where_they_are_asked_for(llama: Subject):
    with torch.enable_grad():
        states = final_states(llama, PROMPTS, ANSWERS, gradient=True)
        head_logits(llama, states.flatten(0, 1)).sum().backward()
    assert llama.model.model.layers[0].self_attn.o_proj.weight.grad is not None
    llama.model.zero_grad(set_to_none=True)
    assert not final_states(llama, PROMPTS, ANSWERS).requires_grad


def test_recorded_text_is_what_the_model_said(glass: Subject):
    told = record(glass, prompts=["Once upon a time", "A dog"], new_tokens=6)
    prompts, answers = recorded_text(told)
    assert [len(answer) for answer in answers] == [6, 6]
    # greedy: every token that no rule suppressed is the most likely one
    top = next(block.logits.argmax(-1) for block in score(glass, prompts, answers))
    assert (top == torch.tensor(answers)).float().mean() > 0.8
    read = record(glass, prompts=["Once upon a time there was a dog"], mode="read")
    prompts, answers = recorded_text(read)
    assert len(prompts[0]) == 1
    assert [*prompts[0], *answers[0]] == read["token_id"].values[0].tolist()


@pytest.mark.parametrize(
    ("prompts", "answers", "words"),
    [
        ([[1, 2]], [[]], "nothing to score"),
        ([[1], []], [[1], [2]], "prompt 2 is empty"),
        ([[1]], [[1], [2]], "1 prompts do not go with 2 answers"),
        ([[1]], [[10**6]], "vocabulary ends before token 1000000"),
        ([[1] * 5000], [[1]], "reads at most"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(llama: Subject, prompts, answers, words):
    with pytest.raises(RecordingError, match=words):
        answer_log_likelihood(llama, prompts, answers)


def test_an_encoder_has_no_likelihood():
    with pytest.raises(RecordingError, match="no language-model head"):
        answer_log_likelihood(bd.load("random:bert"), [[1, 2]], [[3]])
