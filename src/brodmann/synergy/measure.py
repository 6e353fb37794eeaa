"""From a recording to the numbers every part of the study starts from, in one pass over its prompts.

Pairs are decomposed prompt by prompt and averaged; what later steps resample is kept per prompt (node means) or per
group of prompts (matrices), so that memory grows with units squared only by a bounded factor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from brodmann.errors import RecordingError
from brodmann.settings import SynergySettings
from brodmann.synergy.core import node_means, node_means_of_upper
from brodmann.synergy.lattice import ATOMS
from brodmann.synergy.pairs import PairAtoms, over_prompts, pair_atoms
from brodmann.synergy.surrogates import NodeMeans, artefact, autocorrelation, lagged_information
from brodmann.synergy.windows import Windows, trim, windows

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
    """Leave out what the settings leave out, and refuse what cannot be analysed.

    Raises
    ------
    RecordingError
        If there are fewer than two prompts or three units, or a prompt's series is too short for the lag.
    """
    if settings.drop_first_layer:
        recording = recording.isel(unit=recording.layer.values > recording.layer.values.min())
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
    atoms = total / np.maximum(usable, 1)
    shape_of_groups = np.bincount(np.arange(prompts) % groups, minlength=groups)
    continuous = _continuous(recording, settings, parts)
    return Measured(
        parts=parts,
        layer=recording["layer"].values.astype(int),
        atoms=atoms,
        nodes=NodeMeans(synergy, redundancy),
        atom_nodes=np.stack([node_means(a) for a in atoms]),
        group_sums=sums,
        group_sizes=shape_of_groups,
        near_singular=near / prompts,
        flagged=np.stack([part.flag != 0 for part in parts]).sum(axis=0),
        autocorrelation=np.mean([autocorrelation(part) for part in continuous], axis=0),
        artefact=np.mean([artefact(lagged_information(part)) for part in continuous], axis=0),
        mean_activity=_mean_activity(recording),
    )


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
    return NodeMeans(np.stack(synergy), np.stack(redundancy))


def leave_group_out(measured: Measured) -> Float[np.ndarray, "group two unit unit"]:
    """Mean synergy and redundancy matrices without each group of prompts in turn (delete-group jackknife)."""
    whole = measured.group_sums.sum(axis=1)
    rest = measured.group_sizes.sum() - measured.group_sizes
    return np.stack([(whole - measured.group_sums[:, g]) / rest[g] for g in range(rest.size)])
