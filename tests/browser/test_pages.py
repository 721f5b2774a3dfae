"""The pages in a real browser (headless Chromium). `make test-browser` installs what they need."""

from pathlib import Path

import pytest
from helpers.browser import CONTRASTS, Browser
from helpers.made import finetuning_run, pretraining_run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bertkit.reporting.checkpoint_figures import CheckpointFigure
    from bertkit.reporting.checkpoints import Fill, Look
    from bertkit.reporting.report import write_report
    from bertkit.reporting.runs import read_runs

    where = tmp_path_factory.mktemp("report")
    folders = [pretraining_run(where / "a"), pretraining_run(where / ("long-" * 20)), finetuning_run(where / "ft")]
    guesses = [[(f"a rather long guess {number}", 0.2) for number in range(5)]] * 2
    fills = [Fill(step, step == 100, "i [MASK] a [MASK] boy .", guesses) for step in (50, 100)]
    figures = [CheckpointFigure("cloze", "Cloze test", "accuracy", step, step / 200, (0.1, 0.6)) for step in (50, 100)]
    return write_report(read_runs(folders), {"a": Look(fills, figures)}, where / "report.html")[0]


@pytest.fixture(scope="module")
def attention_page(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    from bertkit.inference.attention import read_attention
    from bertkit.reporting.attention import write_attention

    page = tmp_path_factory.mktemp("attention") / "attention.html"
    write_attention(read_attention(str(tiny_model), "the cats sat", "a b c d e f g h i j ."), page)
    return page


@pytest.fixture(params=["report", "attention"])
def page(request: pytest.FixtureRequest) -> Path:
    made: Path = request.getfixturevalue(f"{request.param}_page")
    return made


def test_a_page_loads_nothing_and_nothing_goes_wrong(browser: Browser, page: Path) -> None:
    browser.requests(), browser.driver.get_log("browser")  # of tests before
    browser.open(page)
    browser.elements(".theme")[0].click()
    assert browser.requests() == [page.as_uri()]
    assert browser.driver.get_log("browser") == []
    assert browser.driver.title.endswith("– bertkit")  # and was not changed by text that is a script


def test_the_check_sees_requests_and_errors(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>nowhere()</script>")
    browser.requests(), browser.driver.get_log("browser")
    browser.open(bad)
    assert "http://127.0.0.1:9/x.png" in browser.requests()
    assert any("nowhere is not defined" in entry["message"] for entry in browser.driver.get_log("browser"))


@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_never_scrolls_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width)
    assert browser.js("return innerWidth") == width
    assert browser.js("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("toggled", [False, True], ids=["as-wished", "toggled"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(browser: Browser, page: Path, scheme: str, toggled: bool) -> None:
    browser.open(page, scheme=scheme)
    if toggled:
        browser.elements(".theme")[0].click()
    ground = browser.js("return getComputedStyle(document.body).backgroundColor")
    is_dark = (scheme == "dark") != toggled
    assert ground == ("rgb(21, 24, 28)" if is_dark else "rgb(255, 255, 255)")
    contrasts = browser.js(CONTRASTS)
    assert len(contrasts) > 8
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}


def test_curves_are_drawn_within_their_plots(browser: Browser, report_page: Path) -> None:
    browser.open(report_page)
    figures = browser.elements("figure.curve")
    assert len(figures) == 11  # nine of pretraining, the accuracy of the classifier, and the cloze test
    for figure in figures:
        plot = figure.find_element("tag name", "svg").rect
        curves = figure.find_elements("css selector", "path[style*='--run-']")
        boxes = [curve.rect for curve in curves if curve.rect["width"]]  # a marker's pattern has no place of its own
        assert max(box["width"] for box in boxes) > plot["width"] / 4
        for box in boxes:
            assert plot["x"] <= box["x"] <= box["x"] + box["width"] <= plot["x"] + plot["width"]


def test_wide_tables_scroll_in_their_own_box(browser: Browser, report_page: Path) -> None:
    browser.open(report_page, 360)
    inner = browser.js(
        "return [...document.querySelectorAll('.scroll')].map((box) => [box.scrollWidth, box.clientWidth])"
    )
    assert any(content > box for content, box in inner)
    assert all(box <= 360 for _, box in inner)


def test_pointing_at_a_token_shows_where_it_looks(browser: Browser, attention_page: Path, tiny_model: Path) -> None:
    from bertkit.inference.attention import read_attention

    browser.open(attention_page)
    choose(browser, layer=2, head=1)
    browser.point_at(browser.elements("#from li")[2])
    assert browser.elements("#from li.is-chosen")[0].text == "cat"
    shown = browser.js(
        "return [...document.querySelectorAll('#to li')].map((item) => item.querySelector('small')?.textContent)"
    )
    weights = read_attention(str(tiny_model), "the cats sat", "a b c d e f g h i j .").weights[1, 0, 2]
    assert shown == [f"{100 * weight:.1f} %" if weight >= 0.005 else None for weight in weights.tolist()]
    starts = {line.get_attribute("y1") for line in browser.elements("#links line")}
    assert starts == {"65"}  # the third row, each 26 pixels high
    browser.point_at(browser.elements("h1")[0])
    assert browser.elements("#from li.is-chosen") == []
    assert len({line.get_attribute("y1") for line in browser.elements("#links line")}) > 1


def test_a_head_is_chosen_by_its_name_or_in_the_map(browser: Browser, attention_page: Path) -> None:
    browser.open(attention_page)
    choose(browser, layer=1, head=2)
    one = strengths(browser)
    assert browser.elements("#map button[aria-pressed=true]")[0].get_attribute("title").startswith("layer 1, head 2")
    choose(browser, layer=2, head=2)
    assert strengths(browser) != one
    browser.elements("#map button")[1].click()
    assert strengths(browser) == one
    assert browser.js("return [layer.value, head.value]") == ["1", "2"]


def test_links_to_special_tokens_are_hidden_until_asked_for(browser: Browser, attention_page: Path) -> None:
    browser.open(attention_page)
    ends = "return [...new Set([...document.querySelectorAll('#links line')].map((line) => line.getAttribute('y2')))]"
    assert "13" not in browser.js(ends)  # the first row: [CLS]
    browser.elements("#hide")[0].click()
    assert "13" in browser.js(ends)


def choose(browser: Browser, layer: int, head: int) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.elements("#layer")[0]).select_by_visible_text(str(layer))
    Select(browser.elements("#head")[0]).select_by_visible_text(str(head))


def strengths(browser: Browser) -> list[str]:
    found: list[str] = browser.js(
        "return [...document.querySelectorAll('#links line')].map((line) => line.getAttribute('stroke-opacity'))"
    )
    return found
