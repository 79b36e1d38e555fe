"""The page in a real browser, from disk: it asks for nothing, reacts, works by keyboard, and runs no one's text."""

import shutil

import pytest

from dni_jax.app.report._overview import write_overview
from dni_jax.app.report._page import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("needs chromium, chromium-browser or google-chrome on the path", allow_module_level=True)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(run_folder):
    return write_report(run_folder).as_uri()


@pytest.fixture
def opened(browser, address):
    """A page that is open, with everything it complained of or asked for."""
    context = browser.new_context(
        viewport={"width": 1200, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    page = context.new_page()
    page.problems, page.asked = [], []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.expose_function("hacked", lambda: page.problems.append("a text of the run was executed"))
    page.goto(address)
    yield page
    assert page.problems == []
    assert {url.partition("#")[0] for url in page.asked} == {address}
    page.close()


def heat(page):
    return page.eval_on_selector_all("#characters .c", "all => all.map(one => one.className.match(/h\\d+/)?.[0])")


def shown_rows(page):
    return page.eval_on_selector_all(
        "#table tbody tr", "rows => rows.filter(row => !row.hidden).map(row => row.cells[0].dataset.v)"
    )


def selected(page):
    return page.eval_on_selector("#table tr[aria-selected=true] th", "head => head.dataset.v")


def test_it_opens_with_what_is_known_and_used(opened, constructed):
    assert opened.title().endswith("dni report")
    assert selected(opened) == "depth=1"
    assert opened.input_value("#neuron") == "1"
    assert "Neuron 1 on depth=1" in opened.inner_text("#pair")
    colors = heat(opened)
    assert None in colors  # characters that are not labeled
    assert len(set(colors)) > 10
    assert opened.locator("#curve polyline, #effect polyline, #losses polyline, #dynamics polyline").count() >= 7
    assert opened.locator("img").count() == 0
    assert constructed.evil.replace('"', "") in opened.inner_text("#table").replace('"', "")


def test_characters_have_the_states_and_labels_of_the_excerpt(opened, constructed):
    excerpt = constructed.excerpt().excerpt
    at = 5
    opened.click(f"#characters .c >> nth={at}")
    said = opened.inner_text("#readout")
    state = float(excerpt.hidden[at, 1]) * float(excerpt.scale[1])
    assert f"Neuron 1: {state:+.2f}".replace("-", "\u2212") in said
    holds = excerpt.labels[at, excerpt.names.index("depth=1")]
    assert f"depth=1: {'holds' if holds else 'does not hold'}" in said
    marked = opened.eval_on_selector_all("#characters .c", "all => all.map(one => one.classList.contains('on'))")
    expected = (excerpt.labels[:, excerpt.names.index("depth=1")] == 1) & excerpt.known
    assert marked == expected.tolist()


def test_a_row_brings_its_feature_and_best_neuron_to_the_text(opened):
    before = heat(opened)
    opened.click("#table tbody tr:has(th[data-v=digit]) td:nth-child(2)")
    assert selected(opened) == "digit"
    assert opened.input_value("#neuron") == "3"
    assert heat(opened) != before
    assert "feature=digit" in opened.url
    assert "may merely echo" in opened.inner_text("#sentences")
    assert opened.eval_on_selector("#text", "one => one.getBoundingClientRect().top") < 200
    opened.click("#best button >> nth=1")
    assert opened.input_value("#neuron") != "3"
    opened.fill("#neuron", "9")
    assert "Neuron 9 on digit" in opened.inner_text("#pair")
    opened.select_option("#feature", label="depth")
    assert "R²" in opened.inner_text("#pair")
    opened.click("#summary .chip >> nth=0")
    assert selected(opened) == "depth=1"


def test_the_table_filters_and_sorts(opened):
    rows = shown_rows(opened)
    assert "copy" not in rows
    assert "always" not in rows
    opened.fill("#find", "DEPTH")
    assert sorted(shown_rows(opened)) == ["depth", "depth=1"]
    assert opened.inner_text("#shown") == "2 of 10 features"
    opened.fill("#find", "bracket is open")  # by meaning
    assert shown_rows(opened) == []
    opened.fill("#find", "")
    opened.select_option("#by-known", "echo")
    assert sorted(shown_rows(opened)) == ["digit", "symbol:\n"]
    opened.select_option("#by-known", "")
    opened.select_option("#by-family", "nesting")
    assert sorted(shown_rows(opened)) == ["depth", "depth=1"]
    opened.select_option("#by-family", "")
    opened.check("#all-rows")
    assert len(shown_rows(opened)) == 10
    opened.click("#table thead button:text-is('AUC')")
    values = opened.eval_on_selector_all("#table tbody tr", "rows => rows.map(row => row.cells[5].dataset.v)")
    numbers = [float(value) for value in values if value]
    assert numbers == sorted(numbers, reverse=True)
    assert values[-1] == ""  # what has no number comes last
    opened.focus("#table thead button:text-is('feature')")
    opened.keyboard.press("Enter")
    assert opened.get_attribute("#table thead th >> nth=0", "aria-sort") == "ascending"
    assert shown_rows(opened)[:2] == ["always", "copy"]
    opened.keyboard.press("Enter")
    assert shown_rows(opened)[-1] == "always"


def test_it_can_be_used_by_keyboard(opened):
    opened.focus("#table tbody tr[tabindex='0']")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    feature = selected(opened)
    assert feature != "depth=1"
    assert opened.evaluate("document.activeElement.id") == "characters"
    neuron = opened.input_value("#neuron")
    opened.keyboard.press("ArrowRight")
    assert "character 1." in opened.inner_text("#readout")
    opened.keyboard.press("ArrowDown")
    worse = opened.input_value("#neuron")
    assert worse != neuron
    opened.keyboard.press("ArrowUp")
    assert opened.input_value("#neuron") == neuron
    opened.focus("#curve svg")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowRight")
    assert opened.inner_text("#curve .value").startswith("rank 2")
    opened.keyboard.press("Enter")
    assert opened.input_value("#neuron") == worse
    opened.focus("#map-cells")
    opened.keyboard.press("ArrowDown")
    assert selected(opened) != feature


def test_examples_and_colors(opened):
    opened.click("#next-example")
    assert "depth=1: holds" in opened.inner_text("#readout")
    before = heat(opened)
    opened.select_option("#neutral", "mean")
    assert heat(opened) != before
    opened.hover("#characters .c >> nth=3")
    assert opened.is_visible("#tip")


def test_a_rare_feature_shows_an_example_at_once(opened, constructed):
    excerpt = constructed.excerpt().excerpt
    rare = (excerpt.labels[:, excerpt.names.index("seldom")] == 1) & excerpt.known
    assert 0 < rare.sum() < 20
    opened.add_style_tag(content="#characters{max-height:60px}")
    opened.fill("#find", "seldom")
    opened.click("#table tbody tr:has(th[data-v=seldom]) td:nth-child(2)")
    tops = opened.evaluate("""() => {
        const box = document.querySelector("#characters").getBoundingClientRect();
        const on = [...document.querySelectorAll("#characters .on")].map(one => one.getBoundingClientRect());
        return on.map(one => one.top >= box.top - 1 && one.bottom <= box.bottom + 1);
    }""")
    assert any(tops)


def test_dark_mode_follows_the_system_and_the_button(opened):
    def paper():
        return opened.evaluate("getComputedStyle(document.body).backgroundColor")

    light = paper()
    opened.emulate_media(color_scheme="dark")
    dark = paper()
    assert dark != light
    opened.click("#theme")
    assert paper() == light
    opened.click("#theme")
    assert paper() == dark


def test_a_phone_has_no_sideways_page(opened, browser, run_folder):
    opened.set_viewport_size({"width": 360, "height": 720})
    assert opened.evaluate("document.documentElement.scrollWidth") == 360
    overview = write_overview([run_folder], run_folder.parent / "overview.html")
    page = browser.new_page(viewport={"width": 360, "height": 720})
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.goto(overview.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.close()
    assert problems == []


def test_a_run_without_its_optional_files_opens_too(browser, constructed, tmp_path):
    without = ("summary.json", "effects.parquet", "samples.json", "training.csv", "dynamics.parquet", "excerpt.npz")
    page, problems = browser.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(write_report(constructed.write_run(tmp_path / "run", without=without)).as_uri())
    page.click("#table tbody tr:has(th[data-v=digit]) td:nth-child(2)")
    assert "Neuron 3 on digit" in page.inner_text("#pair")
    page.close()
    assert problems == []
