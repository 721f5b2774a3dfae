"""The page of a served model in a real browser: answers while one types, light and dark, and nobody else is asked."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import CONTRASTS, Browser
from helpers.served import asked, served

pytestmark = pytest.mark.browser
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'bertkit[serve]'")

BARS = "return [...document.querySelectorAll('.bar')].map((bar) => [...bar.querySelectorAll('span')].map((s) => s.textContent))"


@pytest.fixture(scope="module")
def filling() -> Iterator[str]:
    with served("embedded") as (address, _):
        yield address


@pytest.fixture(scope="module")
def tagging(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _headed("BertForTokenClassification", tiny_model, tmp_path_factory.mktemp("tags"), bertkit_scheme="")


@pytest.fixture(scope="module")
def classifying(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _headed("BertForSequenceClassification", tiny_model, tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def answering(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _headed("BertForQuestionAnswering", tiny_model, tmp_path_factory.mktemp("answers"))


def _headed(kind: str, tiny_model: Path, folder: Path, **config: Any) -> Iterator[str]:
    import transformers

    names = {0: "<b>first</b>", 1: "second"}
    made = transformers.BertConfig.from_pretrained(tiny_model, num_labels=2, id2label=names, **config)
    getattr(transformers, kind)(made).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(tiny_model / name, folder)
    with served(folder) as (address, _):
        yield address


def until(browser: Browser, script: str) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser.driver, 20).until(lambda _: browser.js(script))


def typed(browser: Browser, text: str, field: str = "#text") -> None:
    (box,) = browser.elements(field)
    box.clear()
    box.send_keys(text)


def test_masks_are_filled_while_one_types(browser: Browser, filling: str) -> None:
    browser.requests(), browser.driver.get_log("browser")  # of tests before
    browser.open(filling)
    until(browser, "return document.querySelectorAll('.bar').length === 5")
    text = "the king and the [MASK] lived in a castle ."
    typed(browser, text)
    _, guesses = asked(filling, {"inputs": text})
    expected = [[one["token_str"], f"{100 * one['score']:.1f} %"] for one in guesses]
    until(browser, f"{BARS.replace('return', 'const bars =')}; return bars[0]?.[0] === '{expected[0][0]}'")
    assert browser.js(BARS) == expected
    typed(browser, "a [MASK] and a [MASK]")
    until(browser, "return document.querySelectorAll('h3').length === 2")
    # What cannot be answered is said in the page, and typing on mends it.
    typed(browser, "no mask")
    assert "put [MASK] where" in until(browser, "return document.querySelector('.bad')?.textContent")
    assert {url.split("?")[0].rstrip("/") for url in browser.requests() if url.startswith("http")} == {filling}
    refused = [one for one in browser.driver.get_log("browser") if "400" not in one["message"]]
    assert refused == []  # Chromium logs each refusal, and nothing else has gone wrong


def test_classes_have_bars_and_names_are_text(browser: Browser, classifying: str) -> None:
    browser.open(classifying)
    until(browser, "return document.querySelectorAll('.bar').length === 2")
    _, (classes,) = asked(classifying, {"inputs": "the cat"})
    typed(browser, "the cat")
    expected = [[one["label"], f"{100 * one['score']:.1f} %"] for one in classes]
    until(browser, f"{BARS.replace('return', 'const bars =')}; return bars[0]?.[1] === '{expected[0][1]}'")
    assert browser.js(BARS) == expected
    assert browser.elements("#said b") == []
    widths = browser.js(
        "return [...document.querySelectorAll('.bar i')].map((bar) => bar.getBoundingClientRect().width)"
    )
    assert widths[0] / widths[1] == pytest.approx(classes[0]["score"] / classes[1]["score"], rel=0.05)


def test_tags_and_answers_are_marked_in_the_text(browser: Browser, tagging: str, answering: str) -> None:
    browser.open(tagging)
    typed(browser, "the cats sat")
    _, tags = asked(tagging, {"inputs": "the cats sat"})
    until(browser, "return document.querySelectorAll('#said mark').length === 3")
    marks = [mark.text for mark in browser.elements("#said mark")]
    assert [mark.split()[0] for mark in marks] == [one["word"] for one in tags] == ["the", "cats", "sat"]
    browser.open(answering)
    typed(browser, "the cat sat . a b", "#text")
    typed(browser, "c d", "#question")
    _, answer = asked(answering, {"inputs": {"question": "c d", "context": "the cat sat . a b"}})
    until(browser, f"return document.querySelector('.bar span')?.textContent === '{answer['answer']}'")
    assert browser.elements("#said mark")[0].text.strip() == answer["answer"]


def test_words_that_made_an_answer_have_bars(browser: Browser, filling: str) -> None:
    pytest.importorskip("captum", reason="captum is not installed: pip install 'bertkit[explain]'")
    browser.open(filling)
    typed(browser, "she was hungry so she ate an [MASK] from the tree .")
    until(browser, "return document.querySelectorAll('.bar').length === 5")
    browser.elements("#why")[0].click()
    until(browser, "return document.querySelectorAll('#words .bar').length === 11")
    signs = browser.js(
        "return [...document.querySelectorAll('#words .bar')].map((bar) => bar.lastChild.textContent[0])"
    )
    hollow = browser.js(
        "return [...document.querySelectorAll('#words .bar')].map((bar) => bar.classList.contains('against'))"
    )
    assert hollow == [sign == "−" for sign in signs]
    assert {*signs} == {"+", "−"}


def test_the_attention_of_the_text_is_a_link_away(browser: Browser, filling: str) -> None:
    browser.open(filling)
    typed(browser, "the cat sat on the [MASK] .")
    until(browser, "return document.querySelector('#attention').href.endsWith(encodeURIComponent('[MASK] .'))")
    browser.open(browser.elements("#attention")[0].get_attribute("href"))
    assert [one.text for one in browser.elements("#from li")][1:4] == ["the", "cat", "sat"]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_stands_out(browser: Browser, filling: str, width: int, scheme: str) -> None:
    browser.open(filling, width, scheme)
    until(browser, "return document.querySelectorAll('.bar').length === 5")
    assert browser.js("return document.documentElement.scrollWidth") <= width
    ground = browser.js("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(21, 24, 28)" if scheme == "dark" else "rgb(255, 255, 255)")
    contrasts = browser.js(CONTRASTS)
    assert len(contrasts) > 6
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}
