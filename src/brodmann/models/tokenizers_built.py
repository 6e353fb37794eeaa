"""Tokenizers that are built in code: raw bytes for random models, and the package glassllm's own encoding."""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

BYTE_SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>", "<mask>")
GLASS_SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")
UNKNOWN = "<unk>"


def byte_tokenizer(context: int) -> PreTrainedTokenizerFast:
    """One token per byte (ids 5 to 260), five special tokens before them: any text can be written and read back."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*BYTE_SPECIALS, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{token[1:-1]}_token": token for token in BYTE_SPECIALS},
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def glass_tokenizer(path: Path, context: int) -> PreTrainedTokenizerFast:
    """The character-pair encoding of the package glassllm, as a tokenizer of the tokenizers library.

    Text is NFC-normalised, spaces become ``▁``, and merges never cross the chunks of the package's own pattern.
    """
    stored = json.loads(path.read_text(encoding="utf-8"))
    merges = [(left, right) for left, right in stored["merges"]]
    tokens = [*GLASS_SPECIALS, *stored["alphabet"], *(left + right for left, right in merges)]
    tokenizer = Tokenizer(
        models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges, unk_token=UNKNOWN)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("\n|▁*[^▁\n]+|▁+"), behavior="isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{token[1:-1]}_token": token for token in GLASS_SPECIALS},
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
