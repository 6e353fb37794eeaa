"""Keeping other libraries' progress bars and log lines to themselves while a model is opened."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.utils import logging

from brodmann.errors import ModelError, one_line

__all__ = ["check_device", "one_line", "quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' logging, progress bars and warnings; all is as before at exit."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    # transformers would otherwise ask a service on the network for a safe copy of pickled weights.
    conversion = os.environ.get("DISABLE_SAFETENSORS_CONVERSION")
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if conversion is None:
            del os.environ["DISABLE_SAFETENSORS_CONVERSION"]
        else:
            os.environ["DISABLE_SAFETENSORS_CONVERSION"] = conversion


def check_device(device: str) -> None:
    """Raise ModelError in one line where a device does not exist on this machine."""
    if device == "auto":
        return
    try:
        kind, number = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError:
        raise ModelError(f"device '{device}' is unknown; choose cpu, cuda, cuda:1, mps or auto") from None
    if kind == "cuda" and number >= torch.cuda.device_count():
        raise ModelError(f"device '{device}' is not on this machine ({torch.cuda.device_count()} CUDA devices found)")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ModelError("device 'mps' is not on this machine")
