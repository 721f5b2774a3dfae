"""Rows of words and rows of plain text in one batch: each is read by its kind, as it is alone."""

import numpy as np
import pytest
import transformers

from bertkit.errors import BertkitError
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.token import TokenHead
from bertkit.finetuning.rows.tagged_rows import of_entities, of_tokens
from bertkit.finetuning.windows import RowEncoder
from bertkit.settings.schema import FinetuneDataSettings

WORDS, TEXT = ["a", "cats", "sat"], "the cat sat . a cats"
LONG = ["cat"] * 30


def features_of(tiny_model, texts, labels=None, **settings):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    encoder = RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=12, **settings))
    return TokenHead(["O", "B-X", "I-X"], "BIO").features(Split("train", texts, labels), encoder)


@pytest.mark.parametrize(
    "texts", [[WORDS, TEXT], [TEXT, WORDS], [TEXT, LONG, WORDS, " ".join(LONG), TEXT], [WORDS], []]
)
@pytest.mark.parametrize("overflow", ["windows", "truncate"])
def test_each_row_is_read_as_it_is_alone(tiny_model, texts, overflow):
    together = features_of(tiny_model, texts, overflow=overflow)
    alone = [features_of(tiny_model, [text], overflow=overflow) for text in texts]
    for name in ("ids", "types", "texts", "words", "offsets"):
        assert getattr(together, name) == [one for part in alone for one in getattr(part, name)]
    assert together.rows.tolist() == [row for row, part in enumerate(alone) for _ in part.ids]
    assert together.cut == {row: part.cut[0] for row, part in enumerate(alone) if part.cut}
    assert together.windows is (overflow == "windows")
    targets = [part.targets for part in alone]
    assert together.targets.rows == [row for one in targets for row in one.rows]
    if overflow == "windows":
        whole = [text.split() if isinstance(text, str) else text for text in texts]
        assert [row.tokens for row in together.targets.rows] == whole
    for name in ("places", "words"):
        for mine, own in zip(
            getattr(together.targets, name), [each for one in targets for each in getattr(one, name)], strict=True
        ):
            assert np.array_equal(mine, own)


def test_tags_beside_entities_are_one_line_with_the_place(tiny_model):
    tagged = of_tokens("rows.jsonl:1", WORDS, ["O", "B-X", "O"])
    marked = of_entities("rows.jsonl:2", {"text": TEXT, "entities": [{"start": 4, "end": 7, "label": "X"}]})
    with pytest.raises(BertkitError) as error:
        features_of(tiny_model, [WORDS, TEXT], [tagged, marked])
    assert str(error.value) == (
        "rows.jsonl:2 is a text, and the first row of train a list of words: give all rows as tokens with tags, or all as "
        "texts with entities"
    )
    with pytest.raises(BertkitError, match="^rows.jsonl:1 is a list of words, and the first row of train a text"):
        features_of(tiny_model, [TEXT, WORDS], [marked, tagged])


AS_TAGS = {
    "BIO": ["B-X", "I-X", "B-X", "O", "B-Y", "I-Y"],
    "IOB1": ["I-X", "I-X", "B-X", "O", "I-Y", "I-Y"],
    "BIOES": ["B-X", "E-X", "S-X", "O", "B-Y", "E-Y"],
}
SIX = ["the", "cat", "sat", ".", "a", "cats"]


@pytest.mark.parametrize("scheme", AS_TAGS)
def test_tags_of_another_scheme_are_read_in_that_of_the_model(tiny_model, capsys, scheme):
    prefixes = "BIES" if scheme == "BIOES" else "BI"  # a model knows no tags of other schemes
    names = ["O", *(f"{prefix}-{label}" for label in "XY" for prefix in prefixes)]
    head = TokenHead(names, scheme)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    encoder = RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=12))
    text = " ".join(SIX)
    spans = [{"start": 0, "end": 7, "label": "X"}, {"start": 8, "end": 11, "label": "X"}]
    marked = ("rows:1", {"text": text, "entities": [*spans, {"start": 14, "end": 20, "label": "Y"}]})
    given = [({"text": ("text",), "label": ("entities",)}, marked, "BIO")]
    given += [
        ({"text": ("tokens",), "label": ("tags",)}, ("rows:1", {"tokens": SIX, "tags": AS_TAGS[own]}), own)
        for own in AS_TAGS
    ]
    for columns, row, own in given:
        capsys.readouterr()
        split = Split("validation", [head.input(row, columns)], head.labels([row], columns))
        features = head.features(split, encoder)
        assert [head.label_names[id_] for id_ in features.targets.ids[0]] == AS_TAGS[scheme]
        told = f"tags of validation are in {own}, and are read in {scheme}, as the model's are"
        assert (told in " ".join(capsys.readouterr().err.split())) is (own != scheme)
        logits = [np.eye(len(names))[features.targets.ids[0]]]
        answers = head.decode(logits, features, split)
        assert answers[0]["label"] == AS_TAGS[scheme]
        assert head.score(answers, split, ["f1", "accuracy"]) == {"f1": 1.0, "accuracy": 1.0}


def test_an_entity_s_score_is_the_mean_probability_of_its_tags(tiny_model):
    features = features_of(tiny_model, [WORDS])
    shares = np.array([[0.25, 0.5, 0.25], [0.05, 0.05, 0.9], [0.8, 0.1, 0.1]])  # of O, B-X and I-X
    head = TokenHead(["O", "B-X", "I-X"], "BIO")
    [row] = head.decode([np.log(shares)], features, Split("", [WORDS], None))
    [entity] = row["entities"]
    assert entity["text"] == "a cats"
    assert entity["score"] == pytest.approx((0.5 + 0.9) / 2)


def test_a_model_without_a_tag_that_a_row_needs_in_its_scheme_says_so(tiny_model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    encoder = RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=12))
    head = TokenHead(["O", "I-X"], "IOB1")
    rows = [("rows:1", {"text": "the cat", "entities": [{"start": 0, "end": 7, "label": "X"}]})]
    rows += [("rows:2", {"text": "a cat", "entities": [{"start": at, "end": at + 1, "label": "X"} for at in (0, 2)]})]
    columns = {"text": ("text",), "label": ("entities",)}
    split = Split("validation", [row["text"] for _, row in rows], head.labels(rows, columns))
    assert head.features(split.taken("validation", [0]), encoder).targets.ids[0].tolist() == [1, 1]
    with pytest.raises(
        BertkitError, match="^rows:2: unknown tag 'B-X' .as tags in BIO are read in IOB1.; training has O, I-X"
    ):
        head.features(split, encoder)
