"""Do the prompts fit the model's context? Counted where a tokenizer can be read without opening the model."""

from pathlib import Path

from brodmann.atlas.estimate import shape_of
from brodmann.atlas.source import find
from brodmann.errors import BrodmannError
from brodmann.recordings.prompts import PromptSet, refuse_long
from brodmann.settings import MapSettings

_TEMPLATE = 512  # tokens: more than any chat template adds
_ENDS = {"</s>", "<|endoftext|>", "<eos>", "<|eos|>"}


def fit(model: str, settings: MapSettings, prompts: PromptSet) -> str:
    """Say whether the prompts with their new tokens fit the context.

    Returns
    -------
    str
        One sentence: that they fit, or that it was not checked and why.

    Raises
    ------
    PromptError
        If they do not fit; the message names the number of new tokens at which they do.
    """
    record = settings.record
    shape = shape_of(model, settings)
    if shape.context is None or shape.encoder_layers:
        return ""
    if record.mode == "read" and prompts.corpus:
        return f"Windows of {record.new_tokens} tokens are cut from the text."
    new = 0 if record.mode == "read" or shape.only_reads else record.new_tokens
    # no tokenizer makes more tokens than the text has bytes
    most = max(len(prompt.text.encode()) for prompt in prompts.prompts)
    if most + _TEMPLATE + new <= shape.context:
        return f"All prompts fit the context of {shape.context} tokens."
    try:
        lengths = _lengths(model, settings, prompts)
    except (OSError, ValueError, ImportError, BrodmannError):
        lengths = None
    if lengths is None:
        return f"Not checked: whether the prompts fit the context of {shape.context} tokens."
    refuse_long(lengths, new, shape.context, model=model, prompts=prompts.name)
    longest = max(length for _, length in lengths)
    return f"All prompts fit: the longest has {longest} tokens, the context {shape.context}."


def _lengths(model: str, settings: MapSettings, prompts: PromptSet) -> list[tuple[str, int]] | None:
    """Id and tokens of each prompt; None where only opening the model tells."""
    template = settings.record.template
    texts = [
        f"Question: {prompt.text}\nAnswer:" if template == "question" else prompt.text for prompt in prompts.prompts
    ]
    ids = [prompt.id for prompt in prompts.prompts]
    source = find(model, settings.load)
    if source.kind == "random":
        return [(i, len(text.encode())) for i, text in zip(ids, texts, strict=True)]
    files = {path.name: path for path in source.files}
    npz = next((path for path in source.files if path.suffix == ".npz"), None)
    if npz is not None:
        from brodmann.models.tokenizers_built import glass_tokenizer

        glass = glass_tokenizer(npz.with_suffix("").with_suffix(".tokenizer.json"), 0)
        return [(i, len(glass(text)["input_ids"])) for i, text in zip(ids, texts, strict=True)]
    if "tokenizer.json" not in files or (template in ("auto", "chat") and _has_chat_template(files)):
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokens = [encoding.tokens for encoding in tokenizer.encode_batch(texts)]
    # an end of text behind a prompt is dropped where the model goes on writing
    return [(i, len(each) - (each[-1:] != [] and each[-1] in _ENDS)) for i, each in zip(ids, tokens, strict=True)]


def _has_chat_template(files: dict[str, Path]) -> bool:
    if any("chat_template" in name for name in files):
        return True
    config = files.get("tokenizer_config.json")
    return config is not None and "chat_template" in config.read_text(encoding="utf-8")
