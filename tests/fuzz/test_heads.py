"""Hostile files of tags, spans and choices, read whole or refused in one line; entities in hostile texts, to the character."""

import json
import random

import pytest
from helpers.mutate import ends_well, mutations
from tokenizers import BertWordPieceTokenizer

from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.entities import Entity, entities
from bertkit.finetuning.features import Split
from bertkit.finetuning.labelled import DataRequest
from bertkit.finetuning.rows.tagged_rows import of_entities
from bertkit.finetuning.tagged_features import tagged_features
from bertkit.finetuning.windows import RowEncoder
from bertkit.models.tokenizer import build_tokenizer
from bertkit.settings.schema import FinetuneDataSettings, TaskSettings

TAGGED = [
    (["EU", "rejects", "Grüße", "😀", "日本"], ["B-ORG", "O", "B-MISC", "O", "B-LOC"]),
    (["a", "b"], ["O", "B-PER"]),
] * 8
MARKED = [{"start": 3, "end": 9, "label": "LOC"}, {"start": 19, "end": 22, "label": "PER"}]
SENTENCE = "In Zürich 😀 lives Ada."


def lines(make):
    return "\n".join(json.dumps(make(number)) for number in range(16))


def asked(number):
    return {
        "context": f"{SENTENCE} {number}",
        "qas": [{"id": str(number), "question": "Who lives?", "answers": [ANSWER]}],
    }


ANSWER = {"text": "Ada", "answer_start": 19}
FORMS = {
    "tags.conll": "\n".join("".join(f"{w}\t{t}\n" for w, t in zip(*row, strict=True)) for row in TAGGED),
    "tags.jsonl": "\n".join(json.dumps({"tokens": words, "ner_tags": tags}) for words, tags in TAGGED),
    "entities.jsonl": lines(lambda n: {"text": f"{SENTENCE} {n}", "entities": MARKED}),
    "squad.json": json.dumps({"data": [{"title": "t", "paragraphs": [asked(n) for n in range(16)]}]}),
    "flat.jsonl": lines(
        lambda n: {"question": "Who?", "context": f"{SENTENCE} {n}", "answers": {"text": ["Ada"], "answer_start": [19]}}
    ),
    "choice.jsonl": lines(lambda n: {"question": f"Who {n}?", "choices": ["Ada", "Bob", "日本"][: 2 + n % 2], "label": n % 2}),
    "endings.csv": "sent1,sent2,ending0,ending1,label\n" + "".join(f'She {n},"goes, ",home,away,{n % 2}\n' for n in range(16)),
}  # fmt: skip


def load_own(path, head):
    data = load_labelled(DataRequest(TaskSettings(head=head), None, str(path), None, 0.3, 1))
    for split in (data.train, *data.validation):
        assert split.labels is None or len(split.texts) == len(split.labels)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_damaged_files(tmp_path, name):
    path = tmp_path / name
    head = {"tags.conll": "token", "tags.jsonl": "token", "entities.jsonl": "token"}.get(name) or (
        "span" if name in ("squad.json", "flat.jsonl") else "choice"
    )
    path.write_text(FORMS[name], encoding="utf-8")
    load_own(path, head)
    load_own(path, None)
    whole = 0
    for number, data in enumerate(mutations(FORMS[name].encode(), 500, seed=7)):
        path.write_bytes(data)
        whole += ends_well(lambda: load_own(path, head), (number, data[:300]))
        if number % 5 == 0:
            ends_well(lambda: load_own(path, None), (number, data[:300]))
    assert 0 < whole < 500  # some harm nothing, some cannot be read


LETTERS = [
    *"abcXYZ019 .,'-", "ß", "ü", "u\u0308", "İ", "ǆ", "日", "本", "語", "ก", "ำ", "क", "्", "ष", "ع", "\u0301", "\u200d", "👩‍👩‍👧",
    "😀", "🇫🇷",     "\u00a0", "\u3000", "\t", "가", "ﬁ", "\ufeff", "\u202e", "\x00", "�", "Å", "K",
]  # fmt: skip


def words_of(rng, number):
    return ["".join(rng.choices(LETTERS, k=rng.randint(1, 7))) for _ in range(number)]


@pytest.mark.parametrize(("texts", "seed"), [(500, 1), pytest.param(10_000, 2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("lowercase", [True, False])
def test_entities_come_back_to_the_character(texts, seed, lowercase):
    """Marked by characters, tagged by words, and back: the entity, or words around it, counted as widened."""
    rng = random.Random(seed)
    learned = BertWordPieceTokenizer(lowercase=lowercase, strip_accents=False)
    learned.train_from_iterator([" ".join(words_of(rng, 40)) for _ in range(50)], vocab_size=300, show_progress=False)
    tokenizer = build_tokenizer(sorted(learned.get_vocab(), key=learned.get_vocab().get), lowercase=lowercase)
    encoder = RowEncoder.of(tokenizer, FinetuneDataSettings())
    rows = []
    for number in range(texts):
        words = words_of(rng, rng.randint(1, 6))
        text = " ".join(words)
        at = rng.randrange(len(words))
        begin = len(" ".join(words[:at])) + (at > 0)
        span = {"start": begin, "end": begin + len(words[at]), "label": "X"}
        rows.append(of_entities(f"rows:{number}", {"text": text, "entities": [span]}))
    features = tagged_features(Split("train", [row.text for row in rows], rows), encoder, "truncate")
    kept = widened = 0
    for row, asked in zip(features.targets.rows, rows, strict=True):
        (wanted,) = asked.marked
        for one in entities(row.tags):
            assert isinstance(one, Entity)
            begin, end = row.words[one.begin][0], row.words[one.end - 1][1]
            # Words cover the letters of the mark that a tokenizer reads at all, and end with a word.
            assert begin < wanted.end
            assert end > wanted.begin
            same = row.text[begin:end] == row.text[wanted.begin : wanted.end].strip()
            assert same or row.widened
            kept += same
            widened += not same
        assert len(entities(row.tags)) == 1 - row.unread
    assert kept > texts / 4
    print(f"{kept} of {texts} to the character, {widened} widened to whole words")
