import json
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import pytest
import typer
from helpers.made import SCRIPT, finetuning_run, pretraining_run
from typer.testing import CliRunner

import bertkit
from bertkit.assets import EMBEDDED_MODEL
from bertkit.cli.report import report
from bertkit.errors import BertkitError
from bertkit.models.bert import new_bert, save_model
from bertkit.models.tokenizer import build_tokenizer
from bertkit.reporting.checkpoints import Fill, Look, look
from bertkit.reporting.report import write_report
from bertkit.reporting.runs import read_runs
from bertkit.settings.schema import ModelSettings

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(report)

CELLS = ("td", "th", "h2", "h3", "p")


class Page(HTMLParser):
    """The text and the tags of a page, as any reader of HTML sees them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self._open = False
        self.feed(path.read_text(encoding="utf-8"))
        self.cells = [" ".join(text.split()) for text in self._texts]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in CELLS:
            self._texts.append("")
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        self._open &= tag not in CELLS

    def handle_data(self, data: str) -> None:
        if self._open:
            self._texts[-1] += data

    def count(self, tag: str) -> int:
        return [name for name, _ in self.tags].count(tag)


def written(tmp_path: Path, *folders: Path, fills: dict[str, list[Fill]] | None = None) -> Page:
    out = tmp_path / "report.html"
    looks = {name: Look(of_run) for name, of_run in (fills or {}).items()}
    assert write_report(read_runs(folders), looks, out) == [out]
    return Page(out)


def test_a_page_shows_the_figures_of_the_files(tmp_path: Path) -> None:
    page = written(tmp_path, pretraining_run(tmp_path / "a"), pretraining_run(tmp_path / "b", lr=2e-3, finished=False))
    assert page.count("figure") == 9
    for shown in ("Perplexity", "42.5", "30.0 %", "760,322", "71,684", "stories.txt", "10 s", "not finished"):
        assert any(shown in cell for cell in page.cells), shown


def test_each_run_has_a_mark_of_its_own_which_its_names_have(tmp_path: Path) -> None:
    page = written(tmp_path, *(pretraining_run(tmp_path / f"run-{number}") for number in range(9)))
    marks = [(attrs["stroke"], attrs["stroke-dasharray"]) for tag, attrs in page.tags
             if tag == "path" and str(attrs.get("stroke")).startswith("var(--run-")]  # fmt: skip
    assert len(set(marks[:9])) == 9
    assert marks == marks[:9] * (len(marks) // 9)
    assert len(marks) > 18


def test_a_small_model_has_its_parameters_and_a_smoothed_curve_is_said_to_be(tmp_path: Path) -> None:
    run, said = pretraining_run(tmp_path / "a", parameters=12_345), "training; long curves smoothed"
    assert "12,345" in written(tmp_path, run).cells
    assert said not in (tmp_path / "report.html").read_text()
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(f'{{"step": {step}, "loss": 1.0}}\n' for step in range(101, 151))
    written(tmp_path, run)
    assert said in (tmp_path / "report.html").read_text()


def test_a_run_with_a_budget_is_shown_with_the_steps_that_it_makes_by_now(tmp_path: Path) -> None:
    run = pretraining_run(tmp_path / "a", steps=100, finished=False, max_steps=3_000)
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 30, "max_steps": 900}\n{"step": 60, "max_steps": 1200}\n')
    cells = written(tmp_path, run).cells
    assert "100 of 1,200" in cells
    assert not [cell for cell in cells if "Max steps" in cell]


def test_only_settings_that_differ_are_said_to_differ(tmp_path: Path) -> None:
    page = written(tmp_path, pretraining_run(tmp_path / "a"), pretraining_run(tmp_path / "b", lr=2e-3))
    start = page.cells.index("In these the runs differ:")
    rows = page.cells[start + 1 :]
    assert rows[3:6] == ["train.learning_rate", "0.001", "0.002"]
    assert rows[6:9] == ["", "a", "b"]  # the next table: all of them


def test_runs_that_are_alike_are_said_to_be(tmp_path: Path) -> None:
    page = written(tmp_path, pretraining_run(tmp_path / "a"), pretraining_run(tmp_path / "b"))
    assert "All settings are the same." in page.cells


def test_what_comes_from_outside_stays_text(tmp_path: Path) -> None:
    nasty = pretraining_run(tmp_path / "<img src=x onerror=alert(1)>", recipe=SCRIPT, command='"><script>')
    fills = {nasty.name: [Fill(100, True, SCRIPT, [[("<b>", 0.5)]])]}
    page = written(tmp_path, nasty, finetuning_run(tmp_path / "ft"), fills=fills)
    assert page.count("script") == 1  # our own
    assert page.count("img") == page.count("b>") == 0
    assert any(cell == f"row 4 {SCRIPT}" for cell in page.cells)


def test_a_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    page = written(tmp_path, pretraining_run(tmp_path / "a"), finetuning_run(tmp_path / "ft"))
    assert {tag for tag, _ in page.tags} & {"img", "iframe", "object", "embed", "image", "base"} == set()
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name.endswith(("src", "href"))]
    assert all(str(link).startswith(("#", "data:")) for link in links)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.findall(r"@import|url\((?!#)", text)


def test_errors_are_shown_with_their_text(tmp_path: Path) -> None:
    page = written(tmp_path, finetuning_run(tmp_path / "ft"))
    assert any("3 of 10 rows are wrong; these are the 3 furthest off." in cell for cell in page.cells)
    place = page.cells.index(f"row 4 {SCRIPT}")
    assert page.cells[place + 1 : place + 5] == ["其二", "negative", "positive <b>", "4.0 %"]
    assert "70.0 % (95 %: 40.0 % to 90.0 %)" in page.cells


def test_errors_without_texts_have_no_empty_column(tmp_path: Path) -> None:
    folder = finetuning_run(tmp_path / "ft")
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    stripped = [{name: value for name, value in row.items() if name != "text"} for row in rows]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in stripped))
    assert "text" not in written(tmp_path, folder).cells


def test_a_sweep_shows_its_runs(tmp_path: Path) -> None:
    folder = finetuning_run(tmp_path / "ft")
    results = json.loads((folder / "eval_results.json").read_text())
    runs = [{"seed": 2, "eval_accuracy": 0.65}, {"seed": 1, "eval_accuracy": 0.7}]
    means = {"mean": 0.675, "standard_deviation": 0.0354, "best": 0.7, "collapsed": 0}
    results["sweep"] = {"metric": "eval_accuracy", **means, "runs": runs}
    (folder / "eval_results.json").write_text(json.dumps(results))
    cells = written(tmp_path, folder).cells
    assert any("mean 67.5 %" in cell for cell in cells)
    assert [cell for cell in cells if cell in ("70.0 %", "65.0 %")][-2:] == ["70.0 %", "65.0 %"]  # the best first


def test_a_sweep_at_work_is_shown_by_the_runs_it_has_made(tmp_path: Path) -> None:
    for seed in (42, 43):
        finetuning_run(tmp_path / "sweep" / f"learning_rate=0.001-seed={seed}")
    (tmp_path / "sweep" / "learning_rate=0.001-seed=44").mkdir()  # it has just begun
    names = [run.name for run in read_runs([tmp_path / "sweep"])]
    assert names == ["learning_rate=0.001-seed=42", "learning_rate=0.001-seed=43"]


def test_plots_lie_beside_the_page(tmp_path: Path) -> None:
    runs = read_runs([pretraining_run(tmp_path / "a"), finetuning_run(tmp_path / "ft")])
    page, *plots = write_report(runs, {}, tmp_path / "deep" / "er.html", png=True)
    assert page == tmp_path / "deep" / "er.html"
    assert {plot.name for plot in plots} >= {"er-mlm-loss.png", "er-lr.png", "er-accuracy.png", "er-confusion-2.png"}
    assert all(plot.read_bytes().startswith(b"\x89PNG") for plot in plots)
    assert write_report(runs, {}, page, png=True) == [page, *plots]
    drawn, before = plots[0].read_bytes(), page.read_bytes()
    matplotlib.image.imsave(plots[0], [[0.0]])
    with pytest.raises(BertkitError, match="is there and no plot of bertkit"):
        write_report(runs[:1], {}, page, png=True)
    assert page.read_bytes() == before
    write_report(runs, {}, page, png=True, overwrite=True)
    assert plots[0].read_bytes() == drawn


def test_figures_that_bertkit_does_not_write_are_drawn_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = pretraining_run(tmp_path / "run")
    names = ["../a/b", "a\0b", "a_b", "\udcff", "", "confusion"]
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        for step, value in enumerate((1e308, -1e308, 1e100, 1.0), 101):
            figures = {**dict.fromkeys(names, 1.0), "grad_norm": value, "perplexity": value}
            file.write(json.dumps({"step": step, **figures}) + "\n")
        file.write(json.dumps({"step": 10**30, "loss": 1.0}) + "\n")
    page, *plots = write_report(read_runs([run]), {}, tmp_path / "to" / "report.html", png=True)
    assert len({*plots}) == 9 + len(names)
    assert {*page.parent.iterdir()} == {page, *plots}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "to"]
    said = " ".join(capsys.readouterr().err.split())
    assert "run: 2 values are beyond 1e+100 in grad_norm, and not drawn" in said
    assert "metrics.jsonl: 1 line is no figures of a step" in said


def test_a_page_takes_the_place_of_a_page_and_of_nothing_else(tmp_path: Path) -> None:
    runs, out = read_runs([finetuning_run(tmp_path / "a")]), tmp_path / "thesis.html"
    write_report(runs, {}, out)
    write_report(runs, {}, out)
    out.write_text("<!doctype html><title>three years of work</title>")
    with pytest.raises(BertkitError, match="is there and no page of bertkit: name another file with --out"):
        write_report(runs, {}, out)
    assert "three years" in out.read_text()


def test_the_command_fills_masks_at_each_checkpoint(tmp_path: Path, tiny_model: Path) -> None:
    from bertkit.inference.mask_filling.filler import MaskFiller

    run = pretraining_run(tmp_path / "a")
    for where in (run / "checkpoint-50", run):
        where.mkdir(exist_ok=True)
        for file in tiny_model.iterdir():
            (where / file.name).write_bytes(file.read_bytes())
    (run / "checkpoint-70").mkdir()
    (run / "checkpoint-70" / "config.json").write_text("{")  # damaged: said, and left out
    arguments = [str(run), "--out", str(tmp_path / "r.html"), "--fill", "the [MASK] sat ."]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'r.html'}\n"
    assert "step 70 takes no test" in result.stderr
    cells = Page(tmp_path / "r.html").cells
    best = MaskFiller(tiny_model).fill(["the [MASK] sat ."])[0][0][0]
    place = cells.index("the [MASK] sat .")
    assert cells[place + 3 : place + 5] == ["50", f"{best.token_str} {best.score:.1%}".replace("%", " %")]
    assert "100 (end)" in cells

    tuned = finetuning_run(tmp_path / "tuned")
    result = CliRunner().invoke(app, [*arguments, str(tuned)])
    assert "--fill is for runs of pretraining, and not for tuned" in result.stderr
    result = CliRunner().invoke(app, [str(tuned), *arguments[1:]])
    assert "--fill is for runs of pretraining, and not for tuned: leave it out" in str(result.exception)


def test_the_cloze_test_is_a_curve_over_the_checkpoints_of_a_run_in_english(tmp_path: Path) -> None:
    run = pretraining_run(tmp_path / "a")
    (run / "checkpoint-50").mkdir()
    for where in (run / "checkpoint-50", run):
        for file in EMBEDDED_MODEL.iterdir():
            (where / file.name).write_bytes(file.read_bytes())
    [read] = read_runs([run])
    told = bertkit.evaluate("embedded", cloze=True)
    figures = look(read, (), {}).figures
    assert [(one.test, one.step) for one in figures] == [("cloze", 50), ("cloze", 100)]
    assert {one.value for one in figures} == {told["top_1"]}
    assert figures[0].interval == tuple(told["top_1_interval_95"])
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text() + '[data]\nlanguage = "de"\n')
    [read] = read_runs([run])
    assert not look(read, ("ein [MASK] .",), {}).figures


def test_minimal_pairs_are_a_curve_over_the_tokens_that_the_checkpoints_had_read(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, pairs = pretraining_run(tmp_path / "a"), tmp_path / "cats.tsv"
    pairs.write_text(
        "good\tbad\nthe cat sat .\tcat the sat .\nthe dog ran .\tthe dog dog .\nthe cat ran .\tran cat .\nzebra\tgiraffe\n"
    )
    for where in (run / "checkpoint-50", run):
        where.mkdir(exist_ok=True)
        for file in tiny_model.iterdir():
            (where / file.name).write_bytes(file.read_bytes())
    arguments = [str(run), "--out", str(tmp_path / "r.html"), "--png", "--minimal-pairs", str(pairs)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    right = bertkit.evaluate(str(tiny_model), minimal_pairs=pairs)["accuracy"]
    label = f"Minimal pairs of cats.tsv, right: a {right:.1%}".replace("%", " %") + " at 0.1M tokens"
    assert label in [attrs.get("aria-label") for tag, attrs in Page(tmp_path / "r.html").tags if tag == "svg"]
    assert "What pretraining buys" in Page(tmp_path / "r.html").cells
    assert (tmp_path / "r-minimal-pairs-cats-tsv.png").is_file()
    assert "step 50: 2 pairs have equal scores in cats.tsv, and count as wrong" in " ".join(result.stderr.split())
    (tmp_path / "b").mkdir()
    again = ["--minimal-pairs", str(tmp_path / "b" / ".." / "cats.tsv")]
    CliRunner().invoke(app, [*arguments, *again], catch_exceptions=False)
    assert [attrs.get("aria-label") for tag, attrs in Page(tmp_path / "r.html").tags if tag == "svg"].count(label) == 1

    pairs.write_text("good\tbad\nthe cat sat .\tcat the sat .\n\x7f\u00ad\tthe cat\n")
    result = CliRunner().invoke(app, arguments)
    assert "cats.tsv:3 has an empty sentence 'good'" in str(result.exception)

    tuned = finetuning_run(tmp_path / "tuned")
    result = CliRunner().invoke(app, [str(tuned), *arguments[1:]])
    assert "--minimal-pairs is for runs of pretraining, and not for tuned: leave it out" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "language", "shown", "left_out"),
    [
        ("i a little boy she went to the dog was very he opened and looked inside one day girl her mother", "en", 5, 0),
        ("i a little boy she went to the dog was very", "en", 3, 2),
        ("i a little boy she went to the dog was very", "de", 0, 5),
        ("да нет не в на и", "en", 0, 5),
        ("我 是 一 个 小 男 她 很 高 今 天 气 好 他 打 开 了 狗 在 里 玩 。", "en", 5, 0),
        ("我 是 一 个 小 男 她 很 高 今 天 气 好 他 打 开 了 狗 在 里 玩 。", "zh", 5, 0),
    ],
)
def test_example_sentences_are_those_whose_words_a_run_knows(
    tmp_path: Path, words: str, language: str, shown: int, left_out: int
) -> None:
    run = pretraining_run(tmp_path / f"{language}-{len(words)}")
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text() + f'[data]\nlanguage = "{language}"\n')
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", ".", *words.split()]
    sizes = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    tokenizer = build_tokenizer(vocab, lowercase=True)
    tokenizer.model_max_length = 32
    save_model(new_bert(ModelSettings(**sizes, max_position_embeddings=32), tokenizer, seed=1), tokenizer, run)
    result = CliRunner().invoke(app, [str(run), "--out", str(tmp_path / "r.html")], catch_exceptions=False)
    texts = {cell for cell in Page(tmp_path / "r.html").cells if "[MASK]" in cell and "%" not in cell}
    assert len(texts) == shown
    assert {word for text in texts for word in re.findall(r"\w", text) if not word.isascii()} <= {*words}
    assert {word for text in texts for word in text.split() if text.isascii()} <= {*vocab}
    told = " ".join(result.stderr.split())
    assert (f"{run.name}: of 5 example sentences {left_out} left out" in told) == (left_out > 0)
    assert ("--fill TEXT gives sentences of your own" in told) == (left_out > 0)


def test_what_a_file_of_anybody_holds_is_shown_or_left_out(tmp_path: Path) -> None:
    folder = finetuning_run(tmp_path / "ft")
    deep = ".".join("x" * 2_000)
    hexes = "f" * 5_000
    (folder / "recipe.toml").write_text(f"when = 2024-01-01\ndays = [2024-01-02]\nlong = 0x{hexes}\n{deep} = 1\n")
    labels = ['{"a":' * 600 + "1" + "}" * 600, "[" * 600 + "]" * 600]
    rows = "".join(f'{{"prediction": "a", "label": {label}, "text": "t"}}\n' for label in labels)
    (folder / "predictions.jsonl").write_text(rows)
    results = json.loads((folder / "eval_results.json").read_text())
    results["confusion"]["matrix"] = [[-5, 1], [0, 9]]
    (folder / "eval_results.json").write_text(json.dumps(results))
    cells = written(tmp_path, folder).cells
    shown = [cells[cells.index(name) + 1] for name in ("when", "days", "long", deep)]
    assert shown == ['"2024-01-01"', '["2024-01-02"]', "…", "1"]
    assert any("2 of 2 rows are wrong" in cell for cell in cells)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no folder nowhere"),
        (["."], "is no run"),
        (["run", "--fill", "no mask"], "no [MASK] in 'no mask'"),
        (["run", "--minimal-pairs", "nowhere.tsv"], "no file or folder nowhere.tsv"),
        (["run", "--out", "mine.html"], "mine.html is there and no page of bertkit"),
        (["run", "--out", "mine.html/x.html"], "cannot write mine.html"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pretraining_run(Path("run"))
    Path("mine.html").write_text("mine")
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BertkitError)
    assert message in str(result.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.html", "run"]


def test_numbers_are_not_counted_as_wrong(tmp_path: Path) -> None:
    folder = finetuning_run(tmp_path / "numbers")
    rows = [{"index": n, "text": f"text {n}", "label": float(n), "prediction": n + 0.5} for n in range(5)]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [written] = write_report(read_runs([folder]), {}, tmp_path / "report.html")
    page = written.read_text()
    assert "Of 5 rows these are the 5 furthest off" in " ".join(page.split())
    assert "rows are wrong" not in page
    assert "given to the truth" not in page  # a number has no probability
