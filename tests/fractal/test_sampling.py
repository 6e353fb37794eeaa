"""Sampled networks: an untrained Pythia on disk, the same neurons through a training, paths against Dijkstra's."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra
from tests.fractal.predicted import Untrained, prediction

import brodmann as bd
from brodmann.errors import SettingsError, WeightsError
from brodmann.fractal import modes, sampling
from brodmann.fractal.compared import NULLS
from brodmann.fractal.grids import Grid, geometric, whole
from brodmann.fractal.layer_graph import LayerGraph, Link
from brodmann.fractal.modes import DRAWS
from brodmann.fractal.network import measure
from brodmann.fractal.paths import layered_distances
from brodmann.fractal.study import study
from brodmann.fractal.weigh import weigh
from brodmann.models.chains import Edges, chain
from brodmann.models.heads import KEY, QUERY, VALUE
from brodmann.models.shards import Checkpoint, from_model, open_checkpoint
from brodmann.settings import FractalSettings

QUICK = {"fractal_nulls": 2, "initialisations": 2, "fractal_bootstraps": 50, "tails": False}


def untrained(folder: Path, model: Untrained, hidden: int, rng: np.random.Generator) -> Checkpoint:
    """Checkpoint in which every matrix of a GPT-NeoX is fresh noise."""
    from safetensors.numpy import save_file

    shapes = {
        "attention.query_key_value": (3 * hidden, hidden, model.into), "attention.dense": (hidden, hidden, model.out),
        "mlp.dense_h_to_4h": (4 * hidden, hidden, model.into), "mlp.dense_4h_to_h": (hidden, 4 * hidden, model.out),
    }  # fmt: skip
    tensors = {
        f"gpt_neox.layers.{block}.{name}.weight": rng.normal(0, deviation, (rows, columns)).astype(np.float16)
        for block in range(model.blocks)
        for name, (rows, columns, deviation) in shapes.items()
    }
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "gpt_neox", "hidden_size": hidden, "num_hidden_layers": model.blocks, "num_attention_heads": 4,
        "use_parallel_residual": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return open_checkpoint(folder)


def growing(folder: Path) -> list[Checkpoint]:
    """Two checkpoints of two blocks: the same noise, larger by a quarter at the end."""
    found = []
    for factor in (1.0, 1.25):
        model = Untrained(2, 0.06 * factor, 0.04 * factor, 0, (0.0, 0.0), (0.0, 0.0), 0)
        found.append(untrained(folder / f"{factor}", model, 64, np.random.default_rng(1)))
    return found


def family(name: str, kind: str) -> tuple[Checkpoint, tuple[Edges, ...]]:
    found = from_model(bd.load(f"random:{name}").model)
    return found, chain(found, kind)  # type: ignore[arg-type]


def graph(name: str, kind: str, grid: Grid, sampled: int = 8) -> LayerGraph:
    checkpoint, steps = family(name, kind)
    read = sampling.read(checkpoint, steps, [sampling.draw(steps, sampled, 0)])
    return sampling.graph(read.networks[0], grid)


class TestDraws:
    def test_one_draw_serves_queries_keys_values_and_outputs(self) -> None:
        _, steps = family("gpt_neox", "official")
        found = sampling.draw(steps, 8, 3)
        own = found["L1.attention"]
        assert len(set(own)) == 8
        assert own.max() < 32
        assert found["L1.qkv"].tolist() == [*own, *(own + 32), *(own + 64)]
        assert {name: len(found[f"L1.{name}"]) for name in ("input", "middle", "hidden")} == {
            "input": 8, "middle": 8, "hidden": 16,
        }  # fmt: skip
        assert all(len(each) == size for each, size in zip(
            sampling.draw(steps, 1000, 0).values(), sampling.sizes(steps).values(), strict=True
        ))  # fmt: skip

    def test_heads_keep_their_queries_keys_and_values_together(self) -> None:
        """As the model computes: query, key and value of a sampled output are those of its own head and index."""
        _, steps = family("gpt_neox", "architectural")
        found = sampling.draw(steps, 8, 0)
        heads = next(edges.heads for edges in steps if edges.heads is not None)
        own = found["L0.qkv"]
        for role in (QUERY, KEY, VALUE):
            chosen = own[heads.role[own] == role]
            assert sorted(heads.head[chosen] * heads.width + heads.index[chosen]) == found["L0.attention"].tolist()

    def test_draws_are_uniform_and_know_nothing_of_the_study(self) -> None:
        _, steps = family("gpt_neox", "official")
        times = np.zeros(32)
        for number in range(400):
            times[sampling.draw(steps, 8, number)["L2.middle"]] += 1
        assert abs(times - 100).max() < 4.5 * np.sqrt(400 * 0.25 * 0.75)
        again, other = sampling.draw(steps, 8, 5), sampling.draw(steps, 8, 6)
        assert all(np.array_equal(again[name], each) for name, each in sampling.draw(steps, 8, 5).items())
        assert not np.array_equal(again["L0.input"], other["L0.input"])
        assert not np.array_equal(again["L0.input"], again["L1.input"])

    def test_the_same_entries_are_followed_through_a_training(self) -> None:
        read = {}
        for step in ("step0", "step512"):
            checkpoint = open_checkpoint("nano", step)
            steps = chain(checkpoint)
            places = sampling.draw(steps, 16, 1)
            read[step] = sampling.read(checkpoint, steps, [places]).networks[0]
            stored = checkpoint.read("gpt_neox.layers.1.mlp.dense_h_to_4h.weight").raw.view(np.float16)
            own = next(each for each in read[step].steps if each.edges.source == "L1.middle")
            assert np.array_equal(own.pieces[0], stored[np.ix_(places["L1.hidden"], places["L1.middle"])])
        first, last = (np.concatenate([each.pieces[0].ravel() for each in one.weighted]) for one in read.values())
        assert 0.05 < np.corrcoef(first, last)[0, 1] < 0.999


class TestPublishedNumbers:
    @pytest.mark.parametrize(("model", "hidden", "sampled"), [("14m", 128, 32), ("14m", 128, 64), ("31m", 256, 64)])
    def test_an_untrained_pythia_on_disk_has_the_predicted_exponents(
        self, model: str, hidden: int, sampled: int, rng: np.random.Generator, tmp_path: Path
    ) -> None:
        expected = prediction(model, sampled)
        drawn = []
        for number in range(5):
            checkpoint = untrained(tmp_path / f"{number}", expected, hidden, rng)
            steps = chain(checkpoint)
            drawn += sampling.read(checkpoint, steps, [sampling.draw(steps, sampled, number)]).networks
        for networks in (drawn, [sampling.noise(each, rng) for each in drawn]):
            found = [measure(sampling.one_hop(each, whole()), whole()) for each in networks]
            # medians: where a rare weight adds a radius below the usual ones, alpha0 rises by 14 sd
            alpha0, width = (np.median([getattr(each.whole, name) for each in found]) for name in ("alpha0", "width"))
            assert alpha0 == pytest.approx(expected.alpha0[0], abs=max(4 * expected.alpha0[1], 0.008))
            assert width == pytest.approx(expected.width[0], abs=max(4 * expected.width[1], 0.03))
            assert [each.kept for each in found] == [expected.kept] * 5

    def test_a_sample_of_everything_is_the_whole_network(self) -> None:
        checkpoint = open_checkpoint("nano", "step512")
        steps = chain(checkpoint)[:10]
        grids = (whole(), geometric())
        every, part = (
            modes.open_networks(
                checkpoint, steps, grids, FractalSettings(sampled=sampled, samples=2), seed=0, workers=1, say=print
            )
            for sampled in (0, 10_000)
        )
        for (one,), others in zip(every.spectra(), part.spectra(), strict=True):
            assert [other.whole.alpha0 for other in others] == [one.whole.alpha0] * 2
            assert others[0].whole.width == one.whole.width
            assert (others[0].kept, others[0].beyond) == (one.kept, one.beyond)
        for own, other in zip(every.weighed, part.weighed, strict=True):
            assert own.size == other.size
            assert all(np.array_equal(2 * mine, both) for mine, both in zip(own.totals, other.totals, strict=True))


class TestPaths:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("gpt_neox", "architectural"), ("gpt_neox", "official"), ("olmoe", "architectural"),
            ("deepseek_v3", "architectural"), ("t5", "architectural"), ("llama", "architectural"),
        ],
    )  # fmt: skip
    def test_equal_to_dijkstra_bit_by_bit(self, name: str, kind: str) -> None:
        found = graph(name, kind, whole())
        every, slow = found.distances(), dijkstra(found.sparse())
        assert np.array_equal(every, slow)
        cut = found.distances(r_max=60.0)
        assert np.array_equal(cut[slow <= 60], slow[slow <= 60])
        assert np.all(cut[slow > 60] > 60)

    @pytest.mark.parametrize("grid", [whole(), geometric()], ids=["whole", "geometric"])
    @pytest.mark.parametrize("undirected", [False, True])
    def test_counts_are_those_of_dijkstra(self, grid: Grid, undirected: bool) -> None:
        found = graph("gpt_neox", "architectural", grid)
        slow = dijkstra(found.sparse(), directed=not undirected)
        np.fill_diagonal(slow, np.inf)
        counts = found.counts(grid, undirected=undirected)
        assert tuple(counts) == (found.order if undirected else found.order[:-1])
        for name, own in counts.items():
            rows = slow[found.starts[name] : found.starts[name] + found.sizes[name]]
            expected = [np.bincount(row, minlength=grid.bad)[: grid.beyond] for row in grid.codes(rows)]
            assert np.array_equal(own[:, : grid.beyond], expected)

    def test_against_the_edges_more_is_near(self) -> None:
        found = graph("gpt_neox", "official", whole())
        onward, both = (found.counts(whole(), undirected=each) for each in (False, True))
        near = [sum(int(each[:, 1:151].sum()) for each in counts.values()) for counts in (onward, both)]
        assert near[1] > 2 * near[0]

    def test_a_line_is_the_line(self, rng: np.random.Generator) -> None:
        lengths = [1 / np.abs(rng.normal(0, 0.05, (5, 5))) for _ in range(3)]
        links = [Link(f"{at}", f"{at + 1}", each) for at, each in enumerate(lengths)]
        assert np.array_equal(
            LayerGraph({f"{at}": 5 for at in range(4)}, links).distances(), layered_distances(lengths)
        )

    def test_refusals(self) -> None:
        one = np.ones((1, 1))
        for links, said in (
            ([Link("a", "b", one), Link("b", "a", one)], "in a circle"),
            ([Link("a", "b", np.ones((2, 1)))], "from a to b does not fit"),
            ([Link("a", "b", -one)], "from a to b holds lengths that are negative or NaN"),
            ([Link("a", "b", one), Link("a", "b", one)], "two steps from a to b"),
        ):
            with pytest.raises(WeightsError, match=said):
                LayerGraph({"a": 1, "b": 1}, links)


class TestNulls:
    def test_every_null_is_another(self, tmp_path: Path) -> None:
        """None falls through to a neighbour's draw, whole or sampled; more draws leave the first ones alone."""
        assert DRAWS.keys() == NULLS.keys()
        checkpoint = growing(tmp_path)[1]
        for mode in ({}, {"sampled": 16, "samples": 2}):
            few, many = (
                weigh(
                    checkpoint,
                    FractalSettings(**{**QUICK, **mode, "fractal_nulls": count}),
                    seed=0,
                    workers=1,
                    say=lambda *_: None,
                )
                for count in (1, 9)
            )
            points = many["scale_free.nulls"][..., 0]  # null, draw
            assert len(np.unique(points)) == points.size
            assert not np.isin(points, many["scale_free.initial"][:, 0]).any()
            np.testing.assert_array_equal(few["scale_free.nulls"][:, 0], many["scale_free.nulls"][:, 0])

    def test_what_each_keeps(self, rng: np.random.Generator) -> None:
        checkpoint, steps = family("llama", "official")
        real = sampling.read(checkpoint, steps, [sampling.draw(steps, 16, 0)]).networks[0]
        noise, entries, rows = (draw(real, rng) for draw in (sampling.noise, sampling.permuted, sampling.row_permuted))
        for own, *drawn in zip(*(each.weighted for each in (real, noise, entries, rows)), strict=True):
            for piece, *others in zip(own.pieces, *(each.pieces for each in drawn), strict=True):
                assert all(not np.array_equal(piece, other) for other in others)
                assert np.array_equal(np.sort(others[1], axis=None), np.sort(piece, axis=None))
                assert np.array_equal(np.sort(others[2], axis=1), np.sort(piece, axis=1))
            assert drawn[0].rms == own.rms
            wide = np.concatenate(
                [(piece / size).ravel() for piece, size in zip(drawn[0].pieces, own.rms, strict=True)]
            )
            assert wide.std() == pytest.approx(1.0, abs=4 / np.sqrt(2 * wide.size))
        gated = next(at for at, step in enumerate(real.steps) if len(step.pieces) == 2)
        pairs = [
            set(zip(*(piece.ravel().tolist() for piece in each.steps[gated].pieces), strict=True))
            for each in (real, entries, rows)
        ]
        assert pairs[0] == pairs[1] == pairs[2]  # a gate stays with its input


class TestModes:
    @pytest.mark.parametrize(
        ("settings", "said", "over"),
        [
            (FractalSettings(**QUICK), "one hop, whole network", "neuron"),
            (
                FractalSettings(**QUICK, sampled=16, samples=3),
                "one hop; mean of 3 samples of 16 neurons a layer", "sample",
            ),
            (
                FractalSettings(**QUICK, distance="path", sampled=8, samples=2),
                "directed shortest paths, cut at the last radius; mean of 2 samples of 8 neurons a layer", "sample",
            ),
        ],
    )  # fmt: skip
    def test_the_mode_is_said_in_the_result_and_in_every_finding(
        self, settings: FractalSettings, said: str, over: str, tmp_path: Path
    ) -> None:
        result = study(growing(tmp_path), steps=[0.0, 512.0], settings=settings)
        assert (result.attrs["mode"], result.attrs["sampled"]) == (said, settings.sampled)
        found = json.loads(result.attrs["findings"])
        assert len(found) == len(NULLS) + 3
        for each in found:
            assert any(caveat.startswith(f"{said}: not to be compared") for caveat in each["caveats"])
            assert each["unit_of_inference"] == over
            assert each["n"] == (settings.samples if over == "sample" else int(result["kept"][0, -1]))

    def test_replicates_draw_samples_and_are_paired(self, tmp_path: Path) -> None:
        settings = FractalSettings(**QUICK, sampled=16, samples=4)
        same = growing(tmp_path)[:1] * 2
        result = study(same, steps=[0.0, 1.0], settings=settings)
        drawn = result["replicate_alpha0"].sel(grid="official").values
        error = 4 * drawn.std(axis=1).max() / np.sqrt(drawn.shape[1])
        assert drawn.mean(axis=1) == pytest.approx(result["alpha0"].sel(grid="official").values, abs=error)
        assert np.array_equal(drawn[0], drawn[1])
        assert drawn[0].std() > 0

    def test_what_goes_together(self) -> None:
        assert modes.resolved(FractalSettings(distance="path")).sampled == modes.USUAL_SAMPLE == 64
        assert modes.words(FractalSettings(distance="path", sampled=8, undirected=True)).startswith("undirected")
        with pytest.raises(SettingsError, match="undirected = True"):
            modes.resolved(FractalSettings(undirected=True))
        with pytest.raises(WeightsError, match="sample 0 of 4 neurons a layer: 6 of 160 neurons"):
            study([open_checkpoint("nano", "step0")], settings=FractalSettings(**QUICK, sampled=4))
