"""Is this model read exactly? A short proof, run whenever a model is opened.

1. Logits with taps on are bit-equal to logits with taps off.
2. For every layer, the heads' writes plus the projection's bias sum to the attention module's output.
3. Silencing one head changes the logits.

A wrong rule, a class that works around its projection or an unknown layout fails here, and the model is refused
with the names of the modules instead of giving wrong numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from brodmann.errors import AnatomyError
from brodmann.models.anatomy import Site, submodule
from brodmann.models.silence import lesion
from brodmann.models.subject import Subject
from brodmann.models.taps import first_tensor, head_slices, listen

SUM_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""Largest relative error of the sum over heads; half precision rounds the module's own output."""


@dataclass(frozen=True)
class CheckRow:
    """One check."""

    check: str
    ok: bool
    value: float
    tolerance: float
    detail: str


@dataclass(frozen=True)
class CheckTable:
    """All checks of a model."""

    rows: tuple[CheckRow, ...]

    @property
    def ok(self) -> bool:
        """Whether all checks hold."""
        return all(row.ok for row in self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Table with columns check, ok, value, tolerance, detail."""
        return pd.DataFrame([vars(row) for row in self.rows])

    def refuse(self, name: str) -> None:
        """Raise AnatomyError that names what failed and where; nothing if all checks hold."""
        failed = [
            f"{row.check}: {row.detail} ({row.value:.2g}, limit {row.tolerance:.2g})" for row in self.rows if not row.ok
        ]
        if failed:
            raise AnatomyError(f"{name} cannot be read exactly; " + "; ".join(failed))


def run_short(subject: Subject, tokens: int = 8) -> Tensor:
    """Output of one forward call on a few fixed token ids: logits, or hidden states where there is no head."""
    device = subject.model.get_input_embeddings().weight.device
    device = torch.device("cpu") if device.type == "meta" else device  # weights that wait outside the device
    text = getattr(subject.model.config, "text_config", None) or subject.model.config
    # Spread over the vocabulary, clear of the special ids at its ends.
    ids = (torch.arange(1, tokens + 1, device=device) * (int(text.vocab_size) // (tokens + 2))).unsqueeze(0)
    arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if subject.is_encoder_decoder:
        arguments["decoder_input_ids"] = ids
    with torch.inference_mode():
        output = subject.model(**arguments)
    result: Tensor = output.logits if "logits" in output else output.last_hidden_state
    return result


def self_test(subject: Subject) -> CheckTable:
    """Prove on a short text that the subject's units are read exactly.

    Returns
    -------
    CheckTable
        Rows ``taps`` (largest change of a logit by the taps; must be 0), ``heads_sum`` (largest error of the sum over
        heads, relative to the largest output) and ``lesion`` (largest change by silencing a head; must not be 0).
    """
    silent = run_short(subject)
    if not torch.isfinite(silent).all():
        return CheckTable((CheckRow("taps", False, float("nan"), 0.0, "the model's own output is not finite"),))
    with _projections(subject) as errors, listen(subject, "z_norm"), _experts_too(subject):
        heard = run_short(subject)
    change = float((heard.float() - silent.float()).abs().max())
    same = bool(torch.equal(heard, silent))
    words = "equal" if same else "differ from"
    rows = [CheckRow("taps", same, change, 0.0, f"logits with taps on {words} logits with taps off")]
    tolerance = SUM_TOLERANCE.get(subject.model.dtype, 1e-5)
    sites = [site for site in subject.anatomy.sites if site.kind == "head"]
    silent_sites = [site.module for site in sites if site not in errors]
    wrong = [site for site in sites if site in errors and not errors[site] <= tolerance]
    worst = max(errors.values(), default=float("nan"))
    named = ", ".join(site.total for site in wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    detail = f"the heads do not sum to the output of {named}" if wrong else "sum over heads equals the module's output"
    if silent_sites:
        detail = f"the model never ran through {', '.join(silent_sites[:3])}"
    rows.append(CheckRow("heads_sum", not wrong and not silent_sites, worst, tolerance, detail))
    rows.append(_lesion_row(subject, sites, silent))
    return CheckTable(tuple(rows))


def _lesion_row(subject: Subject, sites: list[Site], silent: Tensor) -> CheckRow:
    smallest, where = float("inf"), sites[0].module
    for stack in dict.fromkeys(site.stack for site in sites):
        site = next(site for site in sites if site.stack == stack)
        with lesion(subject, [f"{site.prefix}L{site.layer}H0"]):
            change = float((run_short(subject).float() - silent.float()).abs().max())
        if change < smallest:
            smallest, where = change, site.module
    changed = smallest > 0
    words = "silencing a head changes the logits" if changed else f"silencing a head at {where} changes nothing"
    return CheckRow("lesion", changed, smallest, 0.0, words)


@contextmanager
def _experts_too(subject: Subject) -> Iterator[None]:
    if any(site.kind == "expert" for site in subject.anatomy.sites):
        with listen(subject, "expert_norm", stack="decoder"):
            yield
    else:
        yield


@contextmanager
def _projections(subject: Subject) -> Iterator[dict[Site, float]]:
    """Relative error of the sum over heads, at each attention, while the context lasts."""
    errors: dict[Site, float] = {}
    inputs: dict[Site, Tensor] = {}
    handles = []

    def before(site: Site) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
            inputs[site] = args[0].detach()

        return hook

    def after(site: Site, projection: nn.Module) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            if site in inputs:
                errors[site] = _sum_error(inputs.pop(site), first_tensor(output).detach(), site, projection)

        return hook

    try:
        for site in subject.anatomy.sites:
            if site.kind != "head":
                continue
            projection, total = submodule(subject.model, site.module), submodule(subject.model, site.total)
            if projection is None or total is None:
                raise AnatomyError(f"{subject.name}: there is no module {site.module}")
            handles.append(projection.register_forward_pre_hook(before(site)))
            handles.append(total.register_forward_hook(after(site, projection)))
        yield errors
    finally:
        for handle in handles:
            handle.remove()


def _sum_error(heads: Tensor, output: Tensor, site: Site, projection: nn.Module) -> float:
    weight = getattr(projection, "weight", None)
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        return 0.0  # quantised: the weights are no numbers to sum over; the other two checks stand
    x = heads.reshape(-1, site.count, site.width).to(torch.float32)
    slices = head_slices(projection, site)
    if slices.shape[1] != output.shape[-1]:
        return float("inf")
    written = torch.zeros(x.shape[0], slices.shape[1], device=x.device)
    for head in range(site.count):
        written += x[:, head] @ slices[head].T
    bias = getattr(projection, "bias", None)
    if isinstance(bias, Tensor):
        written += bias.detach().to(torch.float32)
    truth = output.reshape(-1, output.shape[-1]).to(torch.float32)
    if truth.shape != written.shape:
        return float("inf")
    return float((written - truth).abs().max() / truth.abs().max().clamp_min(1e-30))
