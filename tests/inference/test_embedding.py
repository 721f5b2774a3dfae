"""Features of texts, words and word pieces: plain transformers' hidden states, in memory and in files."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from helpers.loud import loud
from transformers import BertModel, BertTokenizer

from bertkit.errors import BertkitError
from bertkit.inference import embedding
from bertkit.inference.embedding import Embedder, TextVectors
from bertkit.inference.feature_files import check_place, tokens_path, write_features

TEXTS = ["the cat sat .", "", "The catss sat. a b c d e f", "中文 cats", "a " * 40]
LAYERS = ["last", "-2", "0", "1", "concat-last-2", "sum-last-2", "all"]


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embed") / "model"
    loud(tiny_model, folder, BertModel, seed=2, std=0.4)
    return folder


@pytest.fixture(scope="module")
def states(model: Path) -> list[list[np.ndarray]]:
    """By text, by layer (the embeddings first): ``[tokens, 16]``, each text on its own through transformers."""
    bert, tokenizer = BertModel.from_pretrained(model).eval(), BertTokenizer.from_pretrained(model)
    found = []
    for text in TEXTS:
        inputs = tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            hidden = bert(**inputs, output_hidden_states=True).hidden_states
        found.append([layer[0].numpy() for layer in hidden])
    return found


def joined(layers: list[np.ndarray], name: str) -> np.ndarray:
    """What the name means, of three layers ``[tokens, 16]``."""
    embeddings, first, last = layers
    return {
        "last": last,
        "-2": first,
        "0": embeddings,
        "1": first,
        "concat-last-2": np.concatenate([first, last], axis=1),
        "sum-last-2": first + last,
        "all": np.concatenate([embeddings, first, last], axis=1),
    }[name]


def features(embedder: Embedder, texts: list[str] = TEXTS) -> list[TextVectors]:
    return [one for chunk in embedder.chunks(texts) for one in chunk]


@pytest.mark.parametrize("at_once", [2**26, 700])  # numbers: of 16 a token, windows of 32 tokens one by one
@pytest.mark.parametrize("pooling", ["mean", "cls", "none"])
def test_long_texts_are_read_whole_in_windows(model, pooling, at_once, monkeypatch) -> None:
    monkeypatch.setattr(embedding, "_NUMBERS_AT_ONCE", at_once)
    long = " ".join("abcdefghij"[number * number % 10] for number in range(75))  # 30 a window: 30 + 30 + 15
    found = features(Embedder(model, pooling=pooling, texts=1, overflow="windows"), ["the cat", long, "a"])
    assert [one.text for one in found] == ["the cat", long, "a"]
    words = long.split()
    parts = features(
        Embedder(model, pooling="none", texts=1), [" ".join(words[begin : begin + 30]) for begin in (0, 30, 60)]
    )
    assert [len(one.rows) for one in parts] == [32, 32, 17]
    rows = np.concatenate([one.rows for one in parts])
    expected = {"none": rows, "mean": rows.mean(axis=0)[None], "cls": rows[[0, 32, 64]].mean(axis=0)[None]}[pooling]
    np.testing.assert_allclose(found[1].rows, expected, atol=1e-6)
    assert (found[1].tokens or [])[29:35] == (
        [*words[28:30], "[SEP]", "[CLS]", *words[30:32]] if pooling == "none" else []
    )
    for short in (0, 2):
        [[alone]] = Embedder(model, pooling=pooling, texts=1).chunks([found[short].text])
        np.testing.assert_allclose(found[short].rows, alone.rows, atol=1e-6)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("layers", LAYERS)
def test_features_are_the_hidden_states_of_transformers(
    model: Path, states: list[list[np.ndarray]], layers: str, device: str | None
) -> None:
    expected = [joined(one, layers) for one in states]
    pooled = {"none": lambda rows: rows, "cls": lambda rows: rows[:1], "mean": lambda rows: rows.mean(0)[None]}
    for pooling, pool in pooled.items():
        embedder = Embedder(model, layers, pooling, device, texts=1)
        found = features(embedder)
        assert [one.text for one in found] == TEXTS
        assert embedder.texts.cut == 1
        for one, rows in zip(found, expected, strict=True):
            assert one.rows.dtype == np.float32
            assert one.rows.shape == (len(rows) if pooling == "none" else 1, embedder.width)
            assert one.rows == pytest.approx(pool(rows), abs=1e-5)


def test_words_are_the_means_of_their_pieces(model: Path, states: list[list[np.ndarray]]) -> None:
    found = features(Embedder(model, pooling="word", texts=1))
    # [CLS] the cat ##s ##s sat . a b c d e f [SEP]
    rows = states[2][-1]
    assert found[2].tokens == ["the", "catss", "sat", ".", *"abcdef"]
    expected = [rows[1], rows[2:5].mean(0), *rows[5:13]]
    assert found[2].rows == pytest.approx(np.stack(expected), abs=1e-5)
    assert (found[1].tokens, found[1].rows.shape) == ([], (0, 16))
    assert found[3].tokens == ["[UNK]", "[UNK]", "cats"]
    assert features(Embedder(model, pooling="none", texts=1))[0].tokens == ["[CLS]", "the", "cat", "sat", ".", "[SEP]"]


@pytest.mark.parametrize("numbers", [1, 200, 10**9])
def test_chunks_change_nothing(model: Path, monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    embedder = Embedder(model, "all", texts=1)
    expected = features(embedder)
    monkeypatch.setattr(embedding, "_NUMBERS_AT_ONCE", numbers)
    chunks = list(embedder.chunks(iter(TEXTS)))
    assert (len(chunks) == 1) == (numbers == 10**9)
    assert max(map(len, chunks)) == (1 if numbers < 10**9 else 5)
    for one, wanted in zip([one for chunk in chunks for one in chunk], expected, strict=True):
        assert one.text == wanted.text
        assert one.rows == pytest.approx(wanted.rows, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_npy_file_holds_the_rows_in_order(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(embedding, "_NUMBERS_AT_ONCE", 1)
    embedder, path = Embedder(model, texts=1), tmp_path / "x.npy"
    write_features(path, embedder.chunks(TEXTS[:count]), embedder.width, by_token=False)
    array = np.load(path, mmap_mode="r")
    assert (array.shape, array.dtype) == ((count, 16), np.float32)
    if count:
        assert array.tolist() == [one.rows[0].tolist() for one in features(embedder, TEXTS[:count])]
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


def test_a_npy_file_of_tokens_has_a_table_beside_it(model: Path, tmp_path: Path) -> None:
    embedder, path = Embedder(model, pooling="word", texts=1), tmp_path / "x.npy"
    write_features(path, embedder.chunks(TEXTS), embedder.width, by_token=True)
    array, lines = np.load(path), tokens_path(path).read_text(encoding="utf-8").splitlines()
    found = features(embedder)
    assert array == pytest.approx(np.concatenate([one.rows for one in found]), abs=0)
    named = [f"{number}\t{token}" for number, one in enumerate(found) for token in one.tokens or ()]
    assert lines == ["text_index\ttoken", *named]
    assert len(array) == len(named)


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_a_parquet_file_holds_texts_or_tokens(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    embedder, path = Embedder(model, "concat-last-2", pooling, texts=1), tmp_path / "x.parquet"
    found = features(embedder)
    monkeypatch.setattr(embedding, "_NUMBERS_AT_ONCE", 400)
    write_features(path, embedder.chunks(TEXTS), embedder.width, by_token=pooling == "none")
    table: dict[str, Any] = pyarrow.parquet.read_table(path).to_pydict()
    assert np.array(table.pop("embedding")) == pytest.approx(np.concatenate([one.rows for one in found]), abs=1e-5)
    if pooling == "mean":
        assert table == {"text": TEXTS}
    else:
        named = [(number, token) for number, one in enumerate(found) for token in one.tokens or ()]
        assert list(zip(table["text_index"], table["token"], strict=True)) == named


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_a_file_is_there_whole_or_not_at_all(model: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("as it was")
    embedder = Embedder(model, pooling="none", texts=1)

    def failing() -> Any:
        yield from embedder.chunks(TEXTS)
        raise BertkitError("the input ends in the middle")

    with pytest.raises(BertkitError, match="in the middle"):
        write_features(tmp_path / name, failing(), embedder.width, by_token=True)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "as it was"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": "first"}, "--layers must be last, a number such as -2, .* got 'first'"),
        ({"layers": "concat-last-3"}, "the model has 2 layers: --layers can be 0 .* up to concat-last-2"),
        ({"layers": "-4"}, "the model has 2 layers"),
        ({"layers": "3"}, "the model has 2 layers"),
        ({"pooling": "max"}, "--pooling must be one of mean, cls, word, none, got 'max'"),
        ({"overflow": "cut"}, "--overflow must be truncate or windows, got 'cut'"),
        ({"overflow": "windows", "pooling": "word"}, "--overflow windows goes with --pooling mean, cls or none"),
    ],
)
def test_what_cannot_be_had_is_one_line(model: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(BertkitError, match=said):
        Embedder(model, texts=1, **options)
    assert Embedder(model, layers="-3", texts=1).width == 16  # the embeddings, by their number


@pytest.mark.parametrize(
    ("name", "said"), [("x.csv", r"ends in \.npy or \.parquet"), ("file/x.npy", "a file is in its way")]
)
def test_names_are_checked(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BertkitError, match=said):
        write_features(tmp_path / name, [], 4, by_token=False)


def test_tokens_with_tabs_and_line_ends_are_a_row_each(tmp_path: Path) -> None:
    tokens = ["a\tb\nc", "\\n", "\r"]
    path, rows = tmp_path / "x.npy", np.arange(6, dtype=np.float32).reshape(3, 2)
    write_features(path, [[TextVectors("text", rows, tokens)]], 2, by_token=True)
    assert tokens_path(path).read_bytes() == b"text_index\ttoken\n0\ta\\tb\\nc\n0\t\\\\n\n0\t\\r\n"
    assert np.load(path).tolist() == rows.tolist()


def test_a_table_of_tokens_does_not_outlive_its_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, rows = tmp_path / "x.npy", np.arange(6, dtype=np.float32).reshape(3, 2)
    write_features(path, [[TextVectors("a b c", rows, ["a", "b", "c"])]], 2, by_token=True)
    assert tokens_path(path).is_file()
    write_features(tmp_path / "x.parquet", [[TextVectors("a", rows[:1], None)]], 2, by_token=False)
    assert tokens_path(path).is_file()
    assert capsys.readouterr().err == ""
    write_features(path, [[TextVectors("a", rows[:1], None)]], 2, by_token=False)
    assert not tokens_path(path).exists()
    assert f"removed {tokens_path(path)}:".replace(" ", "") in "".join(capsys.readouterr().err.split())
    tokens_path(path).write_text("text_index\tmine\n")  # somebody else's
    write_features(path, [[TextVectors("a", rows[:1], None)]], 2, by_token=False)
    assert tokens_path(path).read_text() == "text_index\tmine\n"


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
@pytest.mark.parametrize("by_token", [True, False])
def test_only_features_of_bertkit_are_replaced(tmp_path: Path, name: str, by_token: bool) -> None:
    path, rows = tmp_path / name, np.arange(6, dtype=np.float32).reshape(3, 2)
    write_features(path, [[TextVectors("text", rows[:1], ["a"])]] * 3, 2, by_token)
    check_place(path, by_token, overwrite=False)
    if name == "x.npy":
        np.save(path, rows)
    else:
        pyarrow.parquet.write_table(pyarrow.table({"embedding": rows.tolist(), "bertkit": ["", "", ""]}), path)
    with pytest.raises(BertkitError, match=f"{name} is there and no features of bertkit"):
        check_place(path, by_token, overwrite=False)
    check_place(path, by_token, overwrite=True)
