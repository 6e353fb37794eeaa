"""Settings: one frozen dataclass per room, the single source of keyword arguments, CLI options and YAML.

The command line (tyro) reads the fields and the text under them; `brodmann.plain` writes what a run really
used as YAML and reads it back. Nothing here imports torch.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from brodmann.errors import SettingsError
from brodmann.removal import REMOVALS

Signal = Literal["z_norm", "write_norm", "expert_norm", "neuron", "residual"]
Kind = Literal["head", "expert", "neuron", "residual"]
DType = Literal["float32", "bfloat16", "float16", "float64"]
Template = Literal["auto", "chat", "question", "raw"]


@dataclass(frozen=True)
class Reading:
    """What a signal is: the kind of units that have it, and its values in words."""

    kind: Kind
    long_name: str


SIGNALS: dict[Signal, Reading] = {
    "z_norm": Reading("head", "L2 norm of the head's attention output before the output projection"),
    "write_norm": Reading("head", "L2 norm of what the head adds to the residual stream"),
    "expert_norm": Reading("expert", "L2 norm of the expert's gated output; 0 where it was not selected"),
    "neuron": Reading("neuron", "activation of the neuron before the MLP's output projection"),
    "residual": Reading("residual", "L2 norm of the residual stream after the layer"),
}
"""The one table of signals; how each is heard stands in `brodmann.models.taps`."""

Units = Literal["heads", "experts", "neurons"]
UNITS: dict[Units, Signal] = {"heads": "z_norm", "experts": "expert_norm", "neurons": "neuron"}
"""Kinds of units by their plain names, with the signal that is read from them unless another is asked for."""


@dataclass(frozen=True)
class LoadSettings:
    """How a model is opened."""

    revision: str | None = None
    """Revision of a hub model (a branch, a tag or a commit), or training step of a packaged one (step512)."""
    device: str = "cpu"
    """Where it runs: cpu, cuda, cuda:1, mps, or auto (spread over all GPUs)."""
    dtype: DType = "float32"
    """Number type of the weights; norms are always taken in float32."""
    trust_remote_code: bool = False
    """Run code that ships with the model. Off: such models are refused."""
    spec: str | None = None
    """Where the units are, for architectures Brodmann does not know: a YAML or JSON file (see CONTRIBUTING)."""
    allow_pickle: bool = False
    """Read weights stored as pickle, which can run code. Off: such files are refused."""


@dataclass(frozen=True)
class RecordSettings:
    """What is recorded while the model works."""

    prompts: str = "cognitive"
    """Built-in prompt set, or a file:
    .json: a list of strings, or of objects with prompt,
    category and id; .jsonl: one such entry a line;
    .csv: a column prompt, perhaps category and id;
    .txt: passages split at blank lines.
    """
    signal: Signal = "z_norm"
    """What is read from each unit:
    z_norm: a head's output before its projection
    write_norm: what a head adds to the residual stream
    expert_norm: an expert's gated output
    neuron: an MLP neuron's activation
    residual: the residual stream after a layer
    """
    mode: Literal["auto", "generate", "read"] = "auto"
    """generate: greedy text of the model; read: the given text, teacher-forced. auto: read for encoders."""
    new_tokens: int = 100
    """Tokens generated per prompt: the length of each unit's series.
    In read mode: length of the windows that a .txt file
    is cut into; other prompts are read whole.
    """
    batch_size: int = 30
    """Prompts that run through the model together. Part of the task's key: it changes the last bits."""
    stop_at_eos: bool = False
    """Let the model stop early. Off: the end-of-sequence token is suppressed and all series are equally long."""
    min_tokens: int = 32
    """With stop_at_eos, the shortest series that is kept."""
    template: Template = "auto"
    """How a prompt is wrapped. auto: the chat template where the model has one, the raw prompt elsewhere."""


@dataclass(frozen=True)
class SynergySettings:
    """How the synergistic core is estimated and tested."""

    tau: int = 1
    """Lag between past and future, in tokens."""
    estimator: Literal["gaussian", "copula", "binary"] = "gaussian"
    """How information is estimated."""
    redundancy: Literal["mmi", "ccs", "i_min"] = "mmi"
    """Redundancy function of the decomposition."""
    rank: Literal["rank_of_difference", "difference_of_ranks"] = "rank_of_difference"
    """Which definition of the synergy-redundancy rank defines the core; both are always reported."""
    core_fraction: float = 0.25
    """Share of units that make up the core."""
    bootstraps: int = 2000
    """Bootstrap samples over prompts."""
    surrogates: int = 10
    """Surrogates of each prompt and kind (circular shift, prompt mismatch)."""
    null_models: int = 3
    """Randomly initialised models of the same config that serve as null; 0 leaves them out."""
    graph_nulls: int = 25
    """Null graphs per network and kind."""
    drop_first_layer: bool = False
    """Leave layer 0 out of the profile."""
    min_active: int = 5
    """Tokens at which an expert (or a neuron that can be silent) must be active before a prompt says anything of it."""
    min_effective: int = 30
    """Effective samples over all prompts that such a unit needs to be ranked."""


@dataclass(frozen=True)
class LesionSettings:
    """How units are removed, and against which other orders."""

    fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4)
    """Shares of the units that are removed, one after the other; at most 0.5."""
    layer_draws: int = 10
    """Random orders with as many units of each layer as the core has: the control that the main finding rests on."""
    random_draws: int = 5
    """Random orders without regard to layers."""
    lesion_tokens: int = 2048
    """Tokens of one forward pass, padding included. Several lesions share a pass where there is room; it changes the
    last bits.
    """

    def conditions(self) -> int:
        """Lesions at most, each run on every prompt: every order of `removal.REMOVALS`, or every draw of it."""
        return len(self.fractions) * sum(getattr(self, each.draws) if each.draws else 1 for each in REMOVALS.values())

    def forward_tokens(self, prompts: int, tokens: int) -> float:
        """Tokens that pass through the model, when a recording has so many prompts of so many tokens.

        One pass for the intact model, and three for the gradient (a backward pass costs two).
        """
        return float(prompts * tokens * (self.conditions() + 4))


@dataclass(frozen=True)
class AllocationSettings:
    """How it is measured whether units are more active on harder tasks."""

    hard_tasks: tuple[str, ...] = ("addition", "modular", "sorting", "assignments", "brackets")
    """Families of tasks whose difficulty is turned up."""
    simple_tasks: tuple[str, ...] = ("repeat", "copy", "count")
    """Families of simple repetition."""
    rungs: int = 3
    """Levels of each family, from its easiest to its hardest; the hardest are the hard and the simple condition."""
    task_texts: int = 10
    """Texts of each family and level."""
    neutral_texts: int = 40
    """Ordinary texts that are the reference; as many more set each unit's threshold."""
    text_context: int = 32
    """Tokens of each text that are given before listening begins."""
    text_steps: int = 40
    """Tokens of each text that are listened to; all texts are equally long."""
    answer_tokens: int = 20
    """Tokens that the model writes to answer each task; 0 leaves out the part in which it writes."""
    active_quantile: float = 0.75
    """A unit counts as active above this quantile of its own activity on neutral text."""
    ratio_bootstraps: int = 2000
    """Bootstrap samples over prompts."""
    random_sets: int = 999
    """Random sets of units with as many of each layer as the core has."""
    neurons: bool = True
    """Measure the density of MLP neurons too (CETT); --no-neurons leaves it out."""
    perplexity_loss: float = 0.01
    """Share of perplexity that leaving out the weakest neurons may cost."""

    def texts(self) -> int:
        """Texts in all."""
        families = len(self.hard_tasks) + len(self.simple_tasks)
        return families * self.rungs * self.task_texts + 2 * self.neutral_texts

    def forward_tokens(self, prompts: int, tokens: int) -> float:  # noqa: ARG002 (the texts are the study's own)
        """Tokens that pass through the model; what was recorded before does not matter.

        Texts are read twice (activity, surprisal) and once more for neurons, whose threshold takes ten short readings;
        written answers are read once more for their surprisal.
        """
        read = self.texts() * (self.text_context + self.text_steps)
        written = self.texts() * (self.text_context + self.answer_tokens) if self.answer_tokens else 0
        return float((3 + 10 * 16 / self.texts() if self.neurons else 2) * read + 2 * written)


@dataclass(frozen=True)
class AccuracySettings:
    """How it is measured whether a lesion makes a model fail tasks."""

    accuracy_tasks: tuple[str, ...] = (
        "addition:1", "sorting:3", "brackets:2", "assignments:1", "analogies:1", "copy:6",
    )  # fmt: skip
    """Tasks that are asked, with their levels:
    a family and a level, or a file in the YAML of
    lm-evaluation-harness that names local data
    """
    questions: int = 40
    """Questions of each task."""
    shots: int = 3
    """Solved examples before each question."""
    answering: Literal["choose", "write"] = "choose"
    """choose: the likeliest of some answers is the model's
    write: the model writes its answer, which is checked
    """
    accuracy_kind: Literal["zero", "noise"] = "zero"
    """zero: units are removed
    noise: Gaussian noise on their query rows and output columns
    """
    accuracy_share: float = 0.1
    """Share of the units that is removed or disturbed."""
    control_sets: int = 12
    """Random sets with as many units of each layer as the core has."""
    random_unit_sets: int = 4
    """Random sets without regard to layers."""
    noise_loss: float = 0.15
    """With noise: accuracy that random sets lose on average; the strength of the noise is found for it."""

    def forward_tokens(self, prompts: int, tokens: int) -> float:  # noqa: ARG002 (the questions are the study's own)
        """Tokens that pass through the model: about sixty of a question with its examples, about twenty of answers."""
        sets = 3 + self.control_sets + self.random_unit_sets
        return float(sets * len(self.accuracy_tasks) * self.questions * 80)


@dataclass(frozen=True)
class TrackSettings:
    """How a family of checkpoints or of sizes is compared."""

    growth_contrast: Literal["thirds", "band", "quadratic"] = "thirds"
    """Contrast that the findings are about; all three are shown:
    thirds: middle third of layers minus both outer thirds
    band: depths 0.3 to 0.7 minus the rest
    quadratic: height of a parabola above its ends
    """
    growth_null_models: int = 8
    """Fresh random initialisations that read the same text: once for the whole family, never fewer than null_models."""
    growth_surrogates: int = 10
    """Uncoupled surrogates of each prompt, kind and checkpoint."""
    growth_bootstraps: int = 1000
    """Bootstrap samples over prompts, the same for all checkpoints."""
    growth_spending: Literal["pocock", "obrien_fleming", "even"] = "pocock"
    """How 5 % of false alarms by the draw of prompts are spent over the checkpoints that are looked at."""
    growth_subsets: int = 8
    """Random subsets of units by which models of several sizes are compared at equal number."""
    induction_sequences: int = 32
    """Random sequences that are said twice to measure induction."""
    induction_tokens: int = 50
    """Tokens of each copy; cut to half the model's context."""


@dataclass(frozen=True)
class FractalSettings:
    """How the graph of weights is measured."""

    chain: Literal["official", "architectural"] = "official"
    """Which matrices follow which:
    official: attention, then MLP, as the released code
    architectural: as the model computes
    """
    r_max: int = 150
    """Longest distance 1/|w| of an edge on the official grid; a smaller weight is no edge."""
    min_degree: int = 11
    """Neurons with fewer edges are left out."""
    gate: Literal["shorter", "up_only"] = "shorter"
    """Gated MLPs: the shorter of the two parallel edges counts, or the gate is ignored."""
    distance: Literal["one_hop", "path"] = "one_hop"
    """What a neuron's distances are:
    one_hop: those along its own edges
    path: shortest paths to all later neurons, of a sampled network
    """
    sampled: int = 0
    """Neurons drawn per layer (twice as many in MLPs); 0 for the whole network, which for paths means 64."""
    samples: int = 10
    """With --sampled: networks whose numbers are averaged."""
    undirected: bool = False
    """Paths may also run against the edges."""
    fractal_nulls: int = 3
    """Draws of each null: matched noise, permuted entries, permuted rows."""
    initialisations: int = 5
    """Networks drawn from the initialisation, where there is no step 0."""
    initial_deviation: float | None = None
    """Standard deviation of the weights before training, where there is no step 0 and the model's files do not say."""
    fractal_bootstraps: int = 200
    """Bootstrap draws, of neurons or of samples."""
    tails: bool = True
    """Whether tail exponents of the matrices' spectra are computed, for comparison."""
    tails_up_to: int = 2048
    """Matrices whose smaller side is larger are left out of it: their eigenvalues take minutes."""
    scores: str | None = None
    """Table of benchmark scores (.csv with the columns model, step, task, metric, value)."""


@dataclass(frozen=True)
class MapSettings:
    """Everything that a run does: `brodmann map` and the commands that add to its atlas."""

    load: LoadSettings = field(default_factory=LoadSettings)
    record: RecordSettings = field(default_factory=RecordSettings)
    synergy: SynergySettings = field(default_factory=SynergySettings)
    lesions: LesionSettings = field(default_factory=LesionSettings)
    allocation: AllocationSettings = field(default_factory=AllocationSettings)
    accuracy: AccuracySettings = field(default_factory=AccuracySettings)
    track: TrackSettings = field(default_factory=TrackSettings)
    fractal: FractalSettings = field(default_factory=FractalSettings)
    seed: int = 0
    """Seed of everything random; each task derives its own from this and its key."""


def of_units(settings: RecordSettings, units: str) -> RecordSettings:
    """Settings that record units of a kind: their usual signal, unless the signal already is one of theirs.

    Examples
    --------
    >>> of_units(RecordSettings(), "experts").signal, of_units(RecordSettings(signal="write_norm"), "heads").signal
    ('expert_norm', 'write_norm')
    """
    if units not in UNITS:
        raise SettingsError(f"units = {units!r}; choose one of {', '.join(UNITS)}")
    usual = UNITS[units]
    same = SIGNALS[settings.signal].kind == SIGNALS[usual].kind
    return settings if same else dataclasses.replace(settings, signal=usual)
