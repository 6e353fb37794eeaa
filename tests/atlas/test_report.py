"""The page as text: what it holds, that it escapes everything, that it survives what is missing."""

import dataclasses
import importlib.util
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

from brodmann import look
from brodmann.atlas import bibliography, cards, draw
from brodmann.atlas.marks import number, ticks
from brodmann.atlas.overview import found
from brodmann.atlas.plate import PlateUnits, sheet, standalone
from brodmann.atlas.report import Page, PageData, build_page, render
from brodmann.atlas.store import FORMAT
from brodmann.atlas.tiling import inside, tile
from brodmann.errors import ReportError, SettingsError, StoreError
from brodmann.page import Chapter, Panel
from brodmann.stats import conclude
from brodmann.synergy.figures import chapter

_spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).with_name("synthetic.py"))
synthetic = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(synthetic)

HOSTILE = "<script>alert(1)</script><img src=x onerror=\"document.title='owned'\"></script><!-- & \u2028"


def page(recording: xr.Dataset, study: xr.Dataset | None, *, hostile: str = "", random: bool = False) -> Page:
    chapters = () if study is None else (chapter(study, recording),)
    label = f"smollm2-135m{hostile}" + (" (randomly initialised)" if random else "")
    return build_page(PageData(
        label=label, recording=recording, chapters=chapters, results={} if study is None else {"synergy": study},
        findings=tuple(synthetic.findings(hostile)), provenance=synthetic.provenance(f"x{hostile}", random=random),
        settings=f"seed: 0 # {hostile}", command=f"brodmann map 'x{hostile}'", seconds={"forward": 41.3},
        skipped={"fractal": f"no weights {hostile}"},
    ))  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> Page:
    return page(synthetic.recording(), synthetic.study())


class Reader(HTMLParser):
    """Tags, ids and links of a page, and the text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._skip = 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._skip += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._skip -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._skip:
            self.text += data

    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]


def test_it_holds_everything_in_order_and_is_small(plain):
    reader = Reader(plain.html)
    ids = reader.ids()
    order = ["plate", "found", "findings", "chapter-synergy", "units", "said", "methods"]
    assert [i for i in ids if i in order] == order
    assert len(set(ids)) == len(ids)
    assert sum(i.startswith("u-L") for i in ids) == 270
    assert len(plain.html.encode()) < 2_500_000
    assert "4 claims were tested: 1 supported, 1 contradicted, 2 inconclusive." in reader.text
    assert "0.31 rank [0.24,\xa00.37], p\xa0<\xa00.001, 60 prompts" in reader.text
    assert "the outline is a drawing, not anatomy" in reader.text
    assert "Support would have needed an interval" in reader.text


def test_it_asks_for_nothing_from_elsewhere(plain):
    for tag, attrs in Reader(plain.html).tags:
        for key in ("src", "href", "action", "srcset", "poster", "data"):
            value = attrs.get(key)
            assert value is None or value.startswith("#") or value == "data:,", (tag, key, value)
    assert "url(http" not in plain.html
    assert "@import" not in plain.html
    assert "default-src 'none'" in unescape(plain.html[:1000])


def test_every_link_inside_the_page_arrives(plain):
    reader = Reader(plain.html)
    ids = set(reader.ids())
    links = [attrs["href"][1:] for _, attrs in reader.tags if (attrs.get("href") or "").startswith("#")]
    assert len(links) > 280
    assert set(links) <= ids


def test_hostile_text_stays_text():
    html = page(synthetic.recording(hostile=HOSTILE), synthetic.study(), hostile=HOSTILE).html
    reader = Reader(html)
    # Three data blocks and scripts of ours at most; an image never.
    assert not any(tag == "img" for tag, _ in reader.tags)
    assert sum(tag == "script" for tag, _ in reader.tags) == 2
    assert not any(key.startswith("on") for _, attrs in reader.tags for key in attrs)
    assert "<script>alert" not in html
    assert html.count("<!--") == 0
    assert reader.text.count("<script>alert(1)</script>") >= 120


def test_hostile_text_inside_data_blocks_cannot_leave_them():
    panel = Panel(
        "odd", HOSTILE, {"data": [{"type": "scatter3d", "text": [HOSTILE], "x": [float("nan")]}], "layout": {}}
    )
    odd = Chapter("odd", HOSTILE, HOSTILE, HOSTILE, (panel,), {HOSTILE: HOSTILE})
    html = build_page(PageData(label="m", recording=synthetic.recording(4, 2), chapters=(odd,))).html
    block = re.search(r'<script type="application/json" id="p-odd">(.*?)</script>', html, re.DOTALL)[1]
    assert "<" not in block
    assert json.loads(block)["data"][0]["text"] == [HOSTILE]
    assert json.loads(block)["data"][0]["x"] == [None]
    assert 'id="plotly"' in html
    assert len(html.encode()) < 3_500_000


def test_random_models_say_so_everywhere():
    recording, study = synthetic.recording(12, 4, random=True), synthetic.study(12, 4, random=True)
    html = page(recording, study, random=True).html
    assert 'class="banner"' in html
    titles = re.findall(r'<figcaption class="see">(.*?)</figcaption>', html, re.DOTALL)
    assert len(titles) == 8
    assert all("(randomly initialised)" in title for title in titles)
    assert 'class="banner"' not in page(synthetic.recording(12, 4), synthetic.study(12, 4)).html


def _without(study: xr.Dataset, *names: str) -> xr.Dataset:
    return study.drop_vars([name for name in study.variables if any(part in str(name) for part in names)])


@pytest.mark.parametrize(
    ("recording", "study", "panels"),
    [
        (synthetic.recording(8, 4), synthetic.study(8, 4, null_models=0), 8),
        (synthetic.recording(6, 12, generates=False), synthetic.study(6, 12), 8),
        (synthetic.recording(5, 9, kind="expert"), synthetic.study(5, 9, kind="expert"), 8),
        (synthetic.recording(1, 16), synthetic.study(1, 16), 8),
        (synthetic.recording(2, 1), synthetic.study(2, 1), 8),
        (synthetic.recording(8, 4), _without(synthetic.study(8, 4), "rival_profile", "excess", "artefact", "_low"), 8),
        (synthetic.recording(8, 4), _without(synthetic.study(8, 4), "zone", "efficiency", "modularity"), 5),
        (synthetic.recording(8, 4), synthetic.study(8, 4).map(lambda v: v * np.nan if v.dtype.kind == "f" else v), 0),
        (synthetic.recording(8, 4), None, 0),
        (synthetic.recording(1, 1), None, 0),
    ],
    ids=["no random models", "encoder", "experts", "one layer", "two units", "no nulls", "no graphs", "all NaN",
         "no study", "one unit"],
)  # fmt: skip
def test_what_is_missing_is_left_out(recording, study, panels):
    result = page(recording, study)
    assert len(re.findall(r'<figure class="panel"', result.html)) == panels
    assert result.html.rstrip().endswith("</html>")
    assert ">nan<" not in result.html.lower()
    assert bool(result.plate) == (recording.sizes["unit"] > 1)


def test_a_model_that_only_reads_has_no_answers():
    html = page(synthetic.recording(6, 4, generates=False), None).html
    assert "What the model read" in html
    assert 'class="answer"' not in html


def test_two_panels_of_one_name_are_refused(plain):
    panel = Panel("same", "t", {"data": [], "layout": {}})
    twice = Chapter("a", "A", "q", "s", (panel, panel))
    with pytest.raises(ReportError, match="panel 'same' of 'A' is there twice, first in 'A'"):
        build_page(PageData(label="m", recording=synthetic.recording(2, 2), chapters=(twice,)))


def test_the_table_keeps_every_digit(plain):
    study = synthetic.study()
    value = float(study["node_synergy"].sel(unit="L12H3"))
    row = re.search(r'<tr id="u-L12H3".*?</tr>', plain.html, re.DOTALL)[0]
    assert f'data-v="{value!r}"' in row
    assert f">{value:.5f}<" in row


def test_one_unit_has_one_colour_on_the_whole_page(plain):
    rank = float(synthetic.study()["rank"].sel(definition="rank_of_difference", unit="L12H3"))
    step = look.rank_step(rank)
    assert re.search(rf'<tr id="u-L12H3"[^>]*>.*?swatch r{step}"', plain.html)
    assert re.search(rf'<a class="r{step}[^"]*" href="#u-L12H3"', plain.html)
    cell = re.search(r"<path [^>]*data-unit=\"L12H3\"/>", plain.html)[0]
    assert f'fill="var(--r{step})"' in cell


def _storable(dataset: xr.Dataset) -> xr.Dataset:
    """Texts of any length, as the stores keep them."""
    texts = {
        n: (v.dims, v.values.astype(np.dtypes.StringDType()))
        for n, v in dataset.variables.items()
        if v.dtype.kind == "U"
    }
    return dataset.assign_coords(texts)


def test_render_reads_only_the_directory(tmp_path):
    recording, study = (_storable(data) for data in (synthetic.recording(6, 4), synthetic.study(6, 4)))
    recording.to_zarr(tmp_path / "recordings" / "a.zarr", consolidated=False)
    study.to_zarr(tmp_path / "results" / "synergy-b.zarr", consolidated=False)
    manifest = {
        "format": FORMAT, "label": "tiny", "model": "my model", "provenance": synthetic.provenance("tiny"),
        "recording": "recordings/a.zarr", "results": {"synergy": "results/synergy-b.zarr"}, "skipped": {},
        "seconds": {"forward": 3.2}, "brodmann": "0.1.0",
    }  # fmt: skip
    (tmp_path / "atlas.json").write_text(json.dumps(manifest))
    report = render(tmp_path)
    html = report.read_text(encoding="utf-8")
    assert report == tmp_path / "report.html"
    assert "brodmann map &#39;my model&#39; --settings settings.yaml" in html
    assert html.count('<figure class="panel"') == 8
    assert ElementTree.parse(tmp_path / "plate.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    again = render(tmp_path).read_text(encoding="utf-8")
    assert again == html


def test_render_names_what_is_missing(tmp_path):
    with pytest.raises(StoreError, match="not an atlas"):
        render(tmp_path)
    manifest = {"format": FORMAT, "label": "tiny", "recording": "recordings/a.zarr", "results": {}}
    (tmp_path / "atlas.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"a\.zarr is not there"):
        render(tmp_path)


@pytest.mark.parametrize(("layers", "heads"), [(2, 8), (30, 9), (6, 12), (26, 65), (1, 16), (16, 1)])
def test_tiling_gives_each_unit_a_place_in_its_layers_column(layers, heads):
    layer = np.repeat(np.arange(layers), heads)
    tiling = tile(layer)
    assert len(tiling.cells) == layers * heads
    assert inside(tiling.seeds).mean() > 0.97
    means = [tiling.seeds[layer == i, 0].mean() for i in range(layers)]
    assert np.all(np.diff(means) > 0)
    assert len({tuple(np.round(seed, 3)) for seed in tiling.seeds}) == len(layer)


def test_neighbouring_cells_are_of_neighbouring_layers():
    layer = np.repeat(np.arange(30), 9)
    tiling = tile(layer)
    near = [(a, b) for a, b, x0, y0, x1, y1 in tiling.borders if inside(np.array([[(x0 + x1) / 2, (y0 + y1) / 2]]))[0]]
    gaps = np.array([abs(layer[a] - layer[b]) for a, b in near])
    assert len(near) > 400
    assert np.mean(gaps <= 1) > 0.78
    assert np.mean(gaps <= 2) > 0.99


def test_tiling_is_the_same_every_time():
    layer = np.repeat(np.arange(12), 4)
    np.testing.assert_array_equal(tile(layer).seeds, tile(layer).seeds)
    with pytest.raises(ValueError, match="two units"):
        tile(np.array([0]))


def test_the_plates_file_stands_alone():
    count = 48
    rank = np.linspace(0, 1, count)
    units = PlateUnits(tuple(f"L{i // 4}H{i % 4}" for i in range(count)), np.arange(count) // 4, np.arange(count) % 4,
                       rank, rank > 0.75, np.full(count, np.nan))  # fmt: skip
    text = standalone(sheet(units), title="a <b> & c", legend="l")
    root = ElementTree.fromstring(text)
    assert "var(--" not in text
    assert sum("data-unit" in node.attrib for node in root.iter()) == count
    assert "a <b> & c" in "".join(root.itertext())
    fills = [node.attrib["fill"] for node in root.iter() if "data-unit" in node.attrib]
    assert fills[0] == look.rank_colour(0.0)
    assert fills[-1] == look.rank_colour(1.0)


def test_a_finding_shows_its_null_before_its_number():
    finding = conclude("a", "A", estimate=1.0, interval=(0.5, 1.5), nulls={"chance": np.linspace(-1, 1, 200)},
                       units="u", n=60, unit_of_inference="prompt", source="", seed=0)  # fmt: skip
    drawing = str(cards.evidence(finding))
    assert drawing.index("null-band") < drawing.index('class="value"')
    dot = float(re.search(r'<circle cx="([\d.]+)"', drawing)[1])
    ends = re.search(r"M([\d.]+) 34.0H([\d.]+)M", drawing)
    assert float(ends[1]) < dot < float(ends[2])
    assert dot == pytest.approx((float(ends[1]) + float(ends[2])) / 2, abs=0.2)


def test_a_finding_without_numbers_is_still_drawn():
    nan = float("nan")
    finding = conclude("a", "A", estimate=nan, interval=(nan, nan), p_values={}, units="", n=1,
                       unit_of_inference="prompt", source="", seed=0)  # fmt: skip
    assert "no null draws" in cards.evidence(finding)


def test_ticks_are_round_and_inside():
    assert ticks(0.0, 1.0, 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-0.3, 0.31, 3) == [-0.2, 0.0, 0.2]
    assert ticks(1.0, 1.0, 3) == []
    assert ticks(float("nan"), 1.0, 3) == []


@pytest.mark.parametrize(("value", "text"), [(0.123456, "0.12"), (99.6, "100"), (1e-9, "1.0e-9"), (-2.0, "−2")])
def test_numbers_have_two_digits(value, text):
    assert number(value) == text


def test_the_scale_is_even_and_neutral_in_the_middle():
    steps = [look.rank_colour(i / 20) for i in range(21)]
    assert len(set(steps)) == 21

    def luminance(colour: str) -> float:
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light = np.cbrt([luminance(c) for c in steps])
    assert np.argmax(light) == 10
    assert np.all(np.diff(light[:10]) > 0)
    assert np.all(np.diff(light[11:]) < 0)
    assert abs(light[0] - light[-1]) < 0.06
    assert look.rank_step(float("nan")) is None


def test_text_is_readable_on_both_grounds():
    def contrast(one: str, two: str) -> float:
        def luminance(colour: str) -> float:
            channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
            return float(np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
                         @ [0.2126, 0.7152, 0.0722])  # fmt: skip

        light, dark = sorted((luminance(one), luminance(two)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for dark in (False, True):
        colours = look.variables(dark)
        assert contrast(colours["ink"], colours["paper"]) > 12
        assert contrast(colours["ink-2"], colours["paper"]) > 5
        assert contrast(colours["synergy"], colours["paper"]) > 4.5
        assert contrast(colours["redundancy"], colours["paper"]) > 4.5
        assert contrast(colours["weights"], colours["paper"]) > 4.5


def test_bibliography_has_every_key_a_chapter_cites():
    cited = chapter(synthetic.study(4, 2), synthetic.recording(4, 2)).citations
    assert set(cited) <= set(bibliography.keys())
    text = bibliography.entries([*cited, *cited])
    assert text.count("@") == len(set(cited))


def test_whole_entries_stand_for_themselves_and_unknown_keys_are_refused():
    own = "@misc{nobody1900,\n  title = {Nothing},\n}"
    assert bibliography.entries([own, "efron1987", own]).startswith(f"{own}\n\n@article{{efron1987,")
    with pytest.raises(SettingsError, match="cites 'nobody1900', which is no key"):
        bibliography.entries(["efron1987", "nobody1900"])


def test_a_finding_without_an_estimate_is_said_to_be_untested():
    nan = float("nan")
    first, *others = synthetic.findings()
    lost = dataclasses.replace(
        first, estimate=nan, interval=(nan, nan), p=None, verdict="inconclusive", caveats=("too few models", "second")
    )
    (sentence,) = found((lost,))["sentences"]
    assert sentence["numbers"] == "not tested: too few models"
    findings = (lost, *others)
    page = build_page(PageData(
        label="m", recording=synthetic.recording(), results={"synergy": synthetic.study()}, findings=findings,
    ))  # fmt: skip
    card = unescape(re.search(r'id="f-1">.*?</article>', page.html, re.DOTALL).group())
    assert "<b>Inconclusive.</b> Not tested: too few models.</p>" in card
    assert "not a number" not in card


def test_the_overview_tells_of_every_study_and_most_of_the_first():
    findings = tuple(synthetic.findings())
    claims = [sentence["claim"] for sentence in found((*findings, findings[2]), [4, 0, 1])["sentences"]]
    assert claims == [findings[n].claim.rstrip(".") for n in (0, 1, 3, 2)]
    alone = [sentence["claim"] for sentence in found(findings)["sentences"]]
    assert alone == claims[:3]
    recording, study = synthetic.recording(), synthetic.study()
    other = xr.Dataset(attrs={"findings": json.dumps([findings[2].to_dict()])})
    page = build_page(PageData(
        label="m", recording=recording, results={"synergy": study, "other": other}, findings=(*findings, findings[2]),
    ))  # fmt: skip
    told = unescape(re.search(r'id="found".*?</section>', page.html, re.DOTALL).group())
    assert "5 claims were tested: " in told
    assert findings[3].claim in told
    assert told.count(findings[2].claim) == 1


def test_what_the_page_cannot_draw_goes_to_plotly():
    assert draw.drawable({"data": [{"type": "scatter"}, {"type": "heatmap"}], "layout": {"xaxis": {}}})
    assert not draw.drawable({"data": [{"type": "scatter3d"}]})
    assert not draw.drawable({"data": [{"type": "bar"}], "layout": {"yaxis2": {"type": "log"}}})
