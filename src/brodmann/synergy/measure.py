"""From a recording to the numbers every part of the study starts from, in one pass over its prompts.

Pairs are decomposed prompt by prompt and averaged; what later steps resample is kept per prompt (node means) or per
group of prompts (matrices), so that memory grows with units squared only by a bounded factor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int

from brodmann.errors import RecordingError
from brodmann.settings import SynergySettings
from brodmann.synergy.core import node_means, node_means_of_upper
from brodmann.synergy.lattice import ATOMS
from brodmann.synergy.pairs import PairAtoms, over_prompts, pair_atoms
from brodmann.synergy.sparse import Activity, activity_of, contributions
from brodmann.synergy.surrogates import NodeMeans, artefact, autocorrelation, lagged_information
from brodmann.synergy.windows import NON_FINITE, Windows, trim, windows

GROUPS = 20
_GROUP_BYTES = 2 << 30
_STS, _RTR = ATOMS.index("sts"), ATOMS.index("rtr")


@dataclass(frozen=True, eq=False)
class Measured:
    """A recording, decomposed. Informations in nats; matrices are means over prompts."""

    parts: tuple[Windows, ...]
    layer: Int[np.ndarray, " unit"]
    atoms: Float[np.ndarray, "atom unit unit"]
    nodes: NodeMeans
    """Prompt by prompt; where a prompt says nothing about a unit, see `sparse.contributions`."""
    atom_nodes: Float[np.ndarray, "atom unit"]
    group_sums: Float[np.ndarray, "two group unit unit"]
    group_sizes: Int[np.ndarray, " group"]
    near_singular: Float[np.ndarray, "unit unit"]
    flagged: Int[np.ndarray, " unit"]
    autocorrelation: Float[np.ndarray, " unit"]
    artefact: Float[np.ndarray, " unit"]
    mean_activity: Float[np.ndarray, " unit"]

    @property
    def synergy(self) -> Float[np.ndarray, "unit unit"]:
        """Persistent synergy (sts) of each pair."""
        return np.asarray(self.atoms[_STS])

    @property
    def redundancy(self) -> Float[np.ndarray, "unit unit"]:
        """Persistent redundancy (rtr) of each pair."""
        return np.asarray(self.atoms[_RTR])


def select(recording: xr.Dataset, settings: SynergySettings) -> xr.Dataset:
    """Leave out what the settings leave out and what was active too rarely, and refuse what cannot be analysed.

    Units without enough activity are dropped; of those that stay, prompts that say nothing about them become NaN.

    Raises
    ------
    RecordingError
        If there are fewer than two prompts or three units, or a prompt's series is too short for the lag.
    """
    recording = without_first_layer(recording, settings)
    found = activity(recording, settings)
    if found is not None:
        recording = _masked(recording.isel(unit=found.kept), found.usable[:, found.kept])
    prompts, units = recording.sizes["prompt"], recording.sizes["unit"]
    if prompts < 2:
        raise RecordingError(
            f"the recording has {prompts} prompt: intervals over prompts need at least 2 (60 is usual)"
        )
    if units < 3:
        raise RecordingError(f"the recording has {units} units: synergy is a property of pairs and needs at least 3")
    if "length" in recording:
        lengths = recording["length"].values
        shortest = int(lengths.min())
        least = settings.tau + 5
        if shortest < least:
            name = str(recording["prompt"].values[int(lengths.argmin())])
            raise RecordingError(
                f"prompt '{name}' has a series of {shortest} tokens: lag {settings.tau} needs at least {least}; "
                "raise new_tokens (or min_tokens), or leave the prompt out"
            )
    return recording


def without_first_layer(recording: xr.Dataset, settings: SynergySettings) -> xr.Dataset:
    """The recording without its first layer, if the settings leave it out."""
    if not settings.drop_first_layer:
        return recording
    return recording.isel(unit=recording.layer.values > recording.layer.values.min())


def activity(recording: xr.Dataset, settings: SynergySettings) -> Activity | None:
    """How often each unit was active; None where units are never silent (heads, the residual stream).

    An expert is active where the router chose it, a neuron where its activation is not exactly 0.
    """
    values = recording["activity"].transpose("prompt", "token", "unit").values
    if "selected" in recording:
        active = recording["selected"].transpose("prompt", "token", "unit").values.astype(bool)
    elif recording.attrs.get("signal") == "neuron":
        active = values != 0
    else:
        return None
    return activity_of(values, active, least=settings.min_active, effective=float(settings.min_effective))


def _masked(recording: xr.Dataset, usable: np.ndarray) -> xr.Dataset:
    said = xr.DataArray(usable, dims=("prompt", "unit"))
    return recording.assign(activity=recording["activity"].where(said))


def like(control: xr.Dataset, recording: xr.Dataset, settings: SynergySettings) -> xr.Dataset:
    """A control with the units of a recording that `select` gave.

    Random weights route differently. A unit that no prompt of the control says anything about keeps its series, which
    is zero or nearly so: it shares nothing with others.

    Raises
    ------
    RecordingError
        If the control records other units.
    """
    units = recording["unit"].values
    control = without_first_layer(control, settings)
    if not set(units.tolist()) <= set(control["unit"].values.tolist()):
        raise RecordingError("a control records other units than the recording: it must be the same architecture")
    control = control.sel(unit=units)
    found = activity(control, settings)
    return control if found is None else _masked(control, found.usable | ~found.usable.any(axis=0))


def prompt_windows(recording: xr.Dataset, settings: SynergySettings) -> tuple[Windows, ...]:
    """Windows of each prompt's series, cut at the prompt's own end."""
    values = recording["activity"].transpose("prompt", "unit", "token").values
    return tuple(windows(trim(prompt), tau=settings.tau, estimator=settings.estimator) for prompt in values)


def measure(
    recording: xr.Dataset, settings: SynergySettings, *, progress: Callable[[], None] | None = None
) -> Measured:
    """Decompose a recording; one call of ``progress`` a prompt."""
    parts = prompt_windows(recording, settings)
    prompts, units = len(parts), recording.sizes["unit"]
    groups = int(max(2, min(GROUPS, prompts, _GROUP_BYTES // (16 * units**2))))
    total, sums = np.zeros((len(ATOMS), units, units)), np.zeros((2, groups, units, units))
    usable = np.zeros((units, units))
    near = np.zeros((units, units))
    synergy, redundancy = np.empty((prompts, units)), np.empty((prompts, units))
    spare: SimpleQueue[PairAtoms] = SimpleQueue()  # results that were added up, whose memory the next prompts use

    def decompose(part: Windows) -> PairAtoms:
        try:
            room = spare.get_nowait()
        except Empty:
            room = None
        return pair_atoms(part, redundancy=settings.redundancy, out=room)

    for index, found in enumerate(over_prompts(decompose, parts)):
        finite = np.isfinite(found.values[0])
        synergy[index], redundancy[index] = node_means(found.values[_STS]), node_means(found.values[_RTR])
        values = np.nan_to_num(found.values, copy=False)
        total += values
        usable += finite
        near += found.near_singular
        sums[:, index % groups] += values[[_STS, _RTR]]
        spare.put(found)
        if progress is not None:
            progress()
    atoms = total / np.maximum(usable, 1)  # 0 for pairs that no prompt says anything about
    gapless = bool(usable.all())
    shape_of_groups = np.bincount(np.arange(prompts) % groups, minlength=groups)
    continuous = _continuous(recording, settings, parts)
    return Measured(
        parts=parts,
        layer=recording["layer"].values.astype(int),
        atoms=atoms,
        nodes=NodeMeans(contributions(synergy), contributions(redundancy)),
        atom_nodes=np.stack([node_means(a if gapless else np.where(usable > 0, a, np.nan)) for a in atoms]),
        group_sums=sums,
        group_sizes=shape_of_groups,
        near_singular=near / prompts,
        flagged=np.stack([part.flag != 0 for part in parts]).sum(axis=0),
        autocorrelation=contributions(np.stack([_of_known(part, autocorrelation) for part in continuous])).mean(axis=0),
        artefact=contributions(np.stack([_of_known(part, _memory_artefact) for part in continuous])).mean(axis=0),
        mean_activity=_mean_activity(recording),
    )


def _of_known(part: Windows, measure: Callable[[Windows], np.ndarray]) -> Float[np.ndarray, " unit"]:
    """A measure of the units that are finite in this prompt; NaN for the others."""
    known = part.flag != NON_FINITE
    if known.all():
        return measure(part)
    out = np.full(known.size, np.nan)
    place = torch.from_numpy(np.flatnonzero(known)).to(part.past.device)
    out[known] = measure(Windows(part.past[place], part.future[place], part.flag[known]))
    return out


def _memory_artefact(part: Windows) -> Float[np.ndarray, " unit"]:
    return artefact(lagged_information(part))


def _continuous(recording: xr.Dataset, settings: SynergySettings, parts: tuple[Windows, ...]) -> tuple[Windows, ...]:
    """Windows for memory measures: of the values themselves, also where the estimator works on bits or ranks."""
    if settings.estimator == "gaussian":
        return parts
    values = recording["activity"].transpose("prompt", "unit", "token").values
    return tuple(windows(trim(prompt), tau=settings.tau) for prompt in values)


def _mean_activity(recording: xr.Dataset) -> Float[np.ndarray, " unit"]:
    values = recording["activity"].transpose("unit", "prompt", "token").values.astype(np.float64)
    finite = np.isfinite(values)
    count = finite.sum(axis=(1, 2))
    total = np.where(finite, values, 0.0).sum(axis=(1, 2))
    return np.asarray(total / np.maximum(count, 1))


def measure_nodes(recording: xr.Dataset, settings: SynergySettings) -> NodeMeans:
    """Node synergy and redundancy of each prompt only: what a control recording is compared by."""
    synergy, redundancy = [], []

    def nodes(part: Windows) -> Float[np.ndarray, "two unit"]:
        found = pair_atoms(part, redundancy=settings.redundancy, names=("sts", "rtr"), both=False)
        return node_means_of_upper(found.values)

    for persistent, double in over_prompts(nodes, prompt_windows(recording, settings)):
        synergy.append(persistent)
        redundancy.append(double)
    return NodeMeans(contributions(np.stack(synergy)), contributions(np.stack(redundancy)))


def leave_group_out(measured: Measured) -> Float[np.ndarray, "group two unit unit"]:
    """Mean synergy and redundancy matrices without each group of prompts in turn (delete-group jackknife)."""
    whole = measured.group_sums.sum(axis=1)
    known = np.stack([part.flag != NON_FINITE for part in measured.parts]).astype(np.float64)
    groups = measured.group_sizes.size
    if known.all():
        rest = measured.group_sizes.sum() - measured.group_sizes
        return np.stack([(whole - measured.group_sums[:, g]) / rest[g] for g in range(groups)])
    together = known.T @ known  # prompts that say something about both units of a pair
    left = []
    for g in range(groups):
        of_group = known[g::groups]
        left.append((whole - measured.group_sums[:, g]) / np.maximum(together - of_group.T @ of_group, 1))
    return np.stack(left)
