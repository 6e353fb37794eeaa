"""The page in a real browser, from a file, with every request and every console line watched."""

import csv
import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from brodmann.atlas.report import PageData, build_page
from brodmann.page import Chapter, Panel
from brodmann.synergy.figures import chapter

webdriver = pytest.importorskip("selenium.webdriver")

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
)  # fmt: skip
pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason="chromium and chromedriver are not here"),
]

_spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).with_name("synthetic.py"))
synthetic = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(synthetic)

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<svg onload=\"document.title='owned'\"></script><!-- &lt;"
)


def write(path: Path, *, hostile: str = "", extra: tuple[Chapter, ...] = ()) -> Path:
    recording, study = synthetic.recording(hostile=hostile), synthetic.study()
    data = PageData(
        label=f"smollm2-135m{hostile}", recording=recording, chapters=(chapter(study, recording), *extra),
        results={"synergy": study}, findings=tuple(synthetic.findings(hostile)),
        provenance=synthetic.provenance(f"x{hostile}"), settings=f"seed: 0 # {hostile}",
        command=f"brodmann map smollm2-135m {hostile}", skipped={"a": hostile},
    )  # fmt: skip
    path.write_text(build_page(data).html, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def page(folder) -> Path:
    return write(folder / "page.html")


@pytest.fixture(scope="module")
def browser(folder) -> Iterator[object]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    allow = {"behavior": "allow", "downloadPath": str(folder)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", allow)
    yield driver
    driver.quit()


def go(browser, path: Path, *, width: int = 1440, dark: bool = False) -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(path.as_uri())


def quiet(browser) -> None:
    """No console line, and nothing asked for but the file itself."""
    assert browser.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith(("file:", "data:", "blob:"))} == set()
    assert len({url.partition("#")[0] for url in urls if url.startswith("file:")}) <= 1


def walk(browser) -> None:
    """Scroll through the whole page, as a reader would."""
    js = browser.execute_script
    for y in range(0, js("return document.documentElement.scrollHeight"), 800):
        js(f"scrollTo(0, {y})")
        time.sleep(0.05)
    time.sleep(0.2)


def until(condition, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def test_it_opens_from_a_file_and_asks_for_nothing(browser, page):
    go(browser, page)
    walk(browser)
    painted = browser.execute_script("return document.querySelectorAll('.wide canvas[data-painted]').length")
    assert painted == 2
    quiet(browser)


def test_hostile_text_is_shown_and_never_runs(browser, folder):
    bars = {"type": "bar", "x": [1, 2], "y": [1, 2], "hovertext": [HOSTILE] * 2}
    figure = {"data": [bars], "layout": {"annotations": [{"text": HOSTILE, "x": 1, "y": 1}]}}
    panel = Panel("odd", HOSTILE, figure, HOSTILE, HOSTILE, HOSTILE)
    odd = Chapter("odd", HOSTILE, HOSTILE, HOSTILE, (panel,))
    go(browser, write(folder / "hostile.html", hostile=HOSTILE, extra=(odd,)))
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    walk(browser)
    assert browser.title.startswith("smollm2-135m<script>document.title='owned'</script>")
    assert browser.execute_script("return document.querySelectorAll('img, svg[onload]').length") == 0
    texts = browser.execute_script("return [...document.querySelectorAll('.prompt, .answer')].map(p => p.textContent)")
    assert len(texts) == 120
    assert all(HOSTILE in text for text in texts)
    assert HOSTILE in browser.execute_script("return document.querySelector('h1').textContent")
    quiet(browser)


def test_the_slider_of_a_film_shows_one_frame_at_a_time(browser, folder):
    def line(y):
        return {"type": "scatter", "mode": "lines", "x": [0, 1], "y": y, "name": "profile", "hovertext": ["", ""]}

    names = ["step 0", "step 1", "step 2"]
    figure = {
        "data": [line([2, 2]), line([0, 2])],
        "frames": [{"name": name, "traces": [1], "data": [line([0, k])]} for k, name in enumerate(names)],
        "layout": {"sliders": [{"active": 2}]},
    }
    panel = Panel("film", "A profile that grows.", figure, "", "A line.", "")
    go(browser, write(folder / "film.html", extra=(Chapter("film", "Film", "When?", "Three steps.", (panel,)),)))
    js = browser.execute_script
    shown = (
        "return [...document.querySelectorAll('#figure-film .frame')].filter(f => f.style.display !== 'none')"
        ".map(f => f.dataset.frame)"
    )
    said = "return document.querySelector('#figure-film output').textContent"
    assert (js(shown), js(said)) == (["2", "2"], "step 2")  # a wide and a narrow drawing
    slider = browser.find_element("css selector", "#figure-film input[type=range]")
    slider.send_keys(webdriver.Keys.ARROW_LEFT)
    assert (js(shown), js(said)) == (["1", "1"], "step 1")
    slider.send_keys(webdriver.Keys.HOME)
    assert (js(shown), js(said)) == (["0", "0"], "step 0")
    assert slider.get_attribute("aria-valuetext") == "step 0"
    quiet(browser)


def test_an_injected_script_would_be_refused(browser, page):
    go(browser, page)
    browser.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">');"
        "const s = document.createElement('script'); s.textContent = 'document.title = 2'; document.body.append(s);"
    )
    time.sleep(0.5)
    assert browser.title.startswith("smollm2-135m")


def test_pointing_at_a_cell_tells_its_unit_and_a_click_opens_its_row(browser, page):
    go(browser, page)
    cell = browser.find_element("css selector", ".cell[data-unit=L14H4]")
    webdriver.ActionChains(browser).move_to_element(cell).perform()
    tip = browser.find_element("id", "tip")
    rank = synthetic.study()["rank"].sel(definition="rank_of_difference", unit="L14H4").item()
    assert tip.text.splitlines()[:2] == ["L14H4, layer 14", f"rank {rank:.2g}"]
    assert "excess z" in tip.text
    cell.click()
    assert browser.execute_script("return location.hash") == "#u-L14H4"
    box = "const b = document.getElementById('u-L14H4').getBoundingClientRect();"
    seen = f"{box} return b.top > 0 && b.bottom < innerHeight"
    until(lambda: browser.execute_script(seen), 5)


def test_the_grid_is_there_for_the_keyboard(browser, page):
    go(browser, page)
    active = "return document.activeElement.getAttribute('aria-label')"
    browser.execute_script("document.querySelector('.grid a').focus()")
    assert browser.execute_script(active).startswith("L0H0, layer 0, rank ")
    keys = webdriver.Keys
    webdriver.ActionChains(browser).send_keys(keys.ARROW_RIGHT, keys.ARROW_RIGHT, keys.ARROW_DOWN).perform()
    assert browser.execute_script(active).startswith("L2H1, layer 2, rank ")
    assert browser.execute_script("return document.querySelectorAll('.grid a[tabindex=\"0\"]').length") == 1
    webdriver.ActionChains(browser).send_keys(keys.ENTER).perform()
    until(lambda: browser.execute_script("return location.hash") == "#u-L2H1", 5)


def test_the_toggle_shows_the_grid(browser, page):
    go(browser, page)
    shown = "return [...document.querySelectorAll('.cortex, .grid')].map(e => e.getBoundingClientRect().width > 300)"
    assert browser.execute_script("return document.querySelector('.cortex').getBoundingClientRect().width") > 700
    browser.find_element("id", "as-grid").click()
    assert browser.execute_script(shown) == [False, True]


def test_the_table_sorts_searches_filters_and_downloads(browser, page, folder):
    go(browser, page)
    js = browser.execute_script
    names = "return [...document.querySelectorAll('#unit-table tbody tr:not([hidden]) th')].map(t => t.textContent)"
    heads = js("return [...document.querySelectorAll('.sort')].map(b => b.textContent)")
    js(f"document.querySelectorAll('.sort')[{heads.index('rank')}].click()")
    study = synthetic.study()
    rank = study["rank"].sel(definition="rank_of_difference").values
    assert js(names)[:5] == [str(u) for u in study["unit"].values[np.argsort(-rank)][:5]]
    assert js("return document.querySelectorAll('[aria-sort=descending]').length") == 1
    js(f"document.querySelectorAll('.sort')[{heads.index('rank')}].click()")
    assert js(names)[0] == str(study["unit"].values[np.argmin(rank)])
    find = browser.find_element("id", "find")
    find.send_keys("l12h")
    assert sorted(js(names)) == [f"L12H{i}" for i in range(9)]
    assert js("return document.querySelector('#count').textContent") == "9 of 270 units"
    js("document.querySelector('#csv').click()")
    file = folder / "units-smollm2-135m.csv"
    until(file.exists)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["unit"] for row in rows] == js(names)
    full = {row["unit"]: float(row["synergy (nats)"]) for row in rows}
    assert full["L12H3"] == study["node_synergy"].sel(unit="L12H3").item()
    find.clear()
    js("const c = document.querySelector('#core-only'); c.click();")
    assert len(js(names)) == int(study["core"].sum())
    # A link to a hidden row clears the filters.
    hidden = str(study["unit"].values[np.argmin(rank)])
    js(f"location.hash = 'u-{hidden}'")
    until(lambda: len(js(names)) == 270, 5)


@pytest.mark.parametrize("width", [1440, 820, 390])
def test_nothing_is_wider_than_the_screen(browser, page, width):
    go(browser, page, width=width)
    walk(browser)
    js = browser.execute_script
    assert js("const e = document.documentElement; return e.scrollWidth - e.clientWidth") == 0
    cortex, grid = js(
        "return ['.cortex', '.grid-frame'].map(s => document.querySelector(s).getBoundingClientRect().width)"
    )
    assert (cortex > 0) == (width > 600)
    assert (grid > 300) == (width < 600)
    assert js("return [...document.querySelectorAll('.sheet')].filter(s => s.offsetWidth > 0).length") == 8
    small = (
        "return [...document.querySelectorAll('.drawing text, .evidence text')].filter(t => t.getBoundingClientRect()"
        ".width > 0).map(t => parseFloat(getComputedStyle(t).fontSize) * t.ownerSVGElement.getScreenCTM().a)"
    )
    assert min(js(small)) > 9
    quiet(browser)


def test_the_theme_follows_the_system_and_the_button(browser, page):
    js = browser.execute_script
    ground = "return getComputedStyle(document.body).backgroundColor"
    go(browser, page, dark=True)
    js("try { localStorage.clear() } catch {}")
    go(browser, page, dark=True)
    assert js(ground) == "rgb(23, 21, 18)"
    walk(browser)
    pixel = (
        "const c = document.querySelector('.wide canvas'); return [...c.getContext('2d').getImageData(0, 0, 1, 1).data]"
    )
    assert js(pixel)[:3] == [23, 21, 18]
    js("document.querySelector('#theme').click()")
    js("document.querySelector('#theme').click()")
    assert js(ground) == "rgb(250, 247, 240)"
    assert js(pixel)[:3] == [250, 247, 240]
    js("try { localStorage.clear() } catch {}")


def test_a_figure_is_saved_as_a_file_of_its_own(browser, page, folder):
    go(browser, page)
    for name, needle in (("matrices", "image"), ("profile", "path"), ("plate", "path")):
        browser.execute_script(f"document.querySelector('[data-save={name}]').click()")
        file = folder / f"{name}.svg"
        until(file.exists)
        text = file.read_text(encoding="utf-8")
        assert "var(--" not in text
        tags = [node.tag.rpartition("}")[2] for node in ElementTree.fromstring(text).iter()]
        assert tags.count(needle) >= 2


def test_it_prints(browser, page):
    go(browser, page)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 200_000


def test_charts_of_other_packages_are_drawn_when_seen(browser, folder):
    ring = np.linspace(0, 6, 40)
    figure = {"data": [{"type": "scatterpolar", "r": ring.tolist(), "theta": (60 * ring).tolist()}], "layout": {}}
    other = Chapter("other", "Other", "q", "s", (Panel("polar", "A spiral.", figure, "", "A spiral."),))
    go(browser, write(folder / "other.html", extra=(other,)))
    js = browser.execute_script
    assert js("return typeof window.Plotly") == "undefined"
    js("document.querySelector('.plotly').scrollIntoView()")
    until(lambda: js("return document.querySelectorAll('.plotly .polar').length > 0"), 60)
    quiet(browser)
