"""Long rows in windows: against transformers' own overflowing tokens, by hand, and row by row from end to end."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.stores import SPECIAL, toy_tokenizer

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.choice import ChoiceHead
from bertkit.finetuning.heads.number import Number
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.several_classes import SeveralClasses
from bertkit.finetuning.unread import Reach, Unread
from bertkit.finetuning.windows import RowEncoder
from bertkit.models.tokenizer import build_tokenizer
from bertkit.settings.schema import FinetuneDataSettings


def encoder(**settings):
    return RowEncoder.of(toy_tokenizer(), FinetuneDataSettings(**settings))


def text(n):
    return " ".join(f"w{5 * i % 95}" for i in range(n))


ROWS = [text(3), text(60), "", text(31)]


@pytest.mark.parametrize("stride", [0, 3, 12])
@pytest.mark.parametrize("second", [None, text(4)])
@pytest.mark.parametrize("with_characters", [True, False])
def test_windows_are_the_overflowing_tokens_of_transformers(stride, second, with_characters):
    tokenizer = toy_tokenizer()
    stride = stride if second is None else min(stride, 5)
    made = encoder(max_seq_length=16, overflow="windows", stride=stride)(
        [(row,) if second is None else (row, second) for row in ROWS], with_characters=with_characters
    )
    expected = tokenizer(
        ROWS, second and [second] * len(ROWS), truncation="longest_first", max_length=16, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    assert made.rows.tolist() == expected["overflow_to_sample_mapping"]
    assert (made.ids, made.types) == (expected["input_ids"], expected["token_type_ids"])
    assert made.cut == {}
    if not with_characters:
        return
    assert made.offsets == expected["offset_mapping"]
    assert made.texts == [expected.sequence_ids(number) for number in range(len(made.ids))]
    assert made.words == [expected.word_ids(number) for number in range(len(made.ids))]


def test_windows_share_a_quarter_of_their_length_where_no_stride_is_given():
    made = encoder(max_seq_length=16, overflow="windows")([(text(60),)])
    inside = [ids[1:-1] for ids in made.ids]
    assert len(inside) > 3
    for one, following in zip(inside, inside[1:], strict=False):
        assert one[-4:] == following[:4]
        assert one[-5:] != following[:5]


def test_every_character_is_in_a_window_and_is_where_it_is_said_to_be():
    row = text(60)
    made = encoder(max_seq_length=16, overflow="windows")([(row,)], with_characters=True)
    covered = set()
    for texts, offsets, ids in zip(made.texts, made.offsets, made.ids, strict=True):
        for which, (begin, end), piece in zip(texts, offsets, toy_tokenizer().convert_ids_to_tokens(ids), strict=True):
            if which is not None:
                assert row[begin:end] == piece.removeprefix("##")
                covered |= set(range(begin, end))
    assert covered == {place for place, letter in enumerate(row) if letter != " "}


def test_cut_rows_keep_their_beginning_and_are_counted():
    made = encoder(max_seq_length=16)([(row,) for row in ROWS])
    assert (len(made.ids), made.cut) == (4, {1: 62, 3: 33})  # 60 and two special tokens
    for most, cut in ((62, {}), (61, {1: 62})):
        assert encoder(max_seq_length=most)([(row,) for row in ROWS]).cut == cut
    pairs = [(text(9), text(30)), (text(6), text(7))]
    assert encoder(max_seq_length=16)(pairs).cut == {0: 42}  # three special tokens


def test_only_one_text_of_a_pair_is_windowed_where_a_head_asks_for_it():
    made = encoder(max_seq_length=16, overflow="windows", stride=2)([(text(30), text(20))], shortened="only_second")
    assert {tuple(ids[:7]) for ids in made.ids} == {tuple(made.ids[0][:7])}  # [CLS] and half of the room: 6 of 13
    assert all(types[:8] == [0] * 8 and types[8] == 1 for types in made.types)


@pytest.mark.parametrize(
    ("first", "second", "kept", "longer"),
    [
        (5, 30, 5, None),  # 13 tokens are for both
        (9, 4, 9, None),  # less than half is left for the second, which needs no more
        (9, 5, 8, 17),
        (9, 30, 6, 21),
    ],
)
def test_the_text_that_stands_in_each_window_is_cut_where_there_is_no_room_and_counted(first, second, kept, longer):
    made = encoder(max_seq_length=16, overflow="windows", stride=0)(
        [(text(first), text(second))], shortened="only_second", with_characters=True
    )
    assert [sum(which == 0 for which in texts) for texts in made.texts] == [kept] * len(made.ids)
    assert made.cut == ({} if longer is None else {0: longer})
    if longer is not None:
        again = encoder(max_seq_length=longer, overflow="windows", stride=0)(
            [(text(first), text(second))], "", "only_second"
        )
        assert again.cut == {}
        again = encoder(max_seq_length=longer - 1, overflow="windows", stride=0)
        assert again([(text(first), text(second))], "", "only_second").cut == {0: longer}


def test_choices_are_counted_by_rows_and_not_read_in_windows():
    rows = [
        {"question": text(9), "choices": [text(3), text(9)]},  # both do not fit: 9 + 3 and 9 + 9 in room for 11
        {"question": text(1), "choices": [text(2), text(2)]},
        {"question": text(2), "choices": [text(1), text(13)]},  # the choice alone is cut, to what the question leaves
    ]
    made = ChoiceHead().features(Split("", rows, None), encoder(max_seq_length=14))
    assert made.cut == {0: 21, 2: 18}
    assert len(made.ids[5]) == 14
    read = encoder(max_seq_length=14)
    assert Unread(read, Reach(32, True)).add(made, 3).told_cut("") == (
        "2 of 3 rows are longer than 14 tokens and lost their end: finetune with --seq-len 21 reads them whole"
    )
    assert Unread(read, Reach(32, True)).add(replace(made, cut={2: 18}), 3).told_cut("") == (
        "1 of 3 rows is longer than 14 tokens and lost its end: finetune with --seq-len 18 reads it whole"
    )
    with pytest.raises(BertkitError, match="data.overflow=windows does not fit choices"):
        ChoiceHead().features(Split("", rows, None), encoder(max_seq_length=14, overflow="windows"))


def test_a_stride_without_windows_is_said(capsys):
    console.note_once.cache_clear()
    for settings in ({"overflow": "windows", "stride": 3}, {}, {"stride": 3}, {"stride": 3}):
        encoder(max_seq_length=16, **settings)([(text(3),)])
    assert capsys.readouterr().err == "data.stride=3 has no effect: rows are not read in windows (data.overflow)\n"


def test_a_nul_is_read_as_if_it_were_not_there_and_said_once(monkeypatch, capsys):
    monkeypatch.setattr("bertkit.runtime.text._replaced", [])
    made = encoder()([("w1\0 w2",), ("\0w3",), ("w1",)], with_characters=True)
    assert made.ids == encoder()([("w1 w2",), ("w3",), ("w1",)]).ids
    assert made.offsets[1][1] == (1, 3)  # characters stay where they are
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("NUL characters are read as U+FFFD") == said.count("warning") == 1
    assert "here and in what follows: 1 in 'w1\ufffd w2'" in said


def test_windows_that_would_show_nothing_new_are_refused():
    for settings, rows in (({"stride": 14}, [(text(60),)]), ({"stride": 6}, [(text(60), text(60))])):
        with pytest.raises(BertkitError, match=rf"data.stride {settings['stride']} leaves nothing new"):
            encoder(max_seq_length=16, overflow="windows", **settings)(rows)


@pytest.mark.parametrize("head", [OneClass(["a", "b", "c"]), SeveralClasses(["a", "b", "c"]), Number()])
def test_a_rows_answer_is_the_mean_of_its_windows(head):
    split = Split("", [(row,) for row in ROWS], None)
    features = head.features(split, encoder(max_seq_length=16, overflow="windows"))
    logits = np.random.default_rng(0).normal(size=(len(features.ids), len(head.label_names) or 1)).astype(np.float32)
    answers = head.decode(list(logits), features, split)
    assert len(answers) == len(ROWS) < len(logits)
    for number, answer in enumerate(answers):
        mine = logits[features.rows == number].astype(np.float64)
        if isinstance(head, Number):
            assert answer["prediction"] == pytest.approx(mine.mean())
            continue
        each = np.exp(mine) / np.exp(mine).sum(axis=1, keepdims=True)
        each = each if isinstance(head, OneClass) else 1 / (1 + np.exp(-mine))
        mean = dict(zip("abc", each.mean(axis=0), strict=True))
        assert answer["probabilities"] == pytest.approx(mean)
        several = [name for name, share in mean.items() if share > 0.5]
        assert answer["prediction"] == (max(mean, key=mean.get) if isinstance(head, OneClass) else several)


@pytest.mark.parametrize("strips", [True, False])
def test_a_token_has_the_marks_behind_it_that_the_tokenizer_drops(strips):
    letters = [*"cafeoumdktir", *(f"##{one}" for one in "cafeoumdktir\u0301\u0300")]
    tokenizer = build_tokenizer([*SPECIAL, *letters], lowercase=True, strip_accents=strips)
    read = RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=32))
    text = "cafe\u0301 au Do\u0301ki\u0300ta\u0300"  # NFD
    made = read([("ma", text)], with_characters=True)
    whole = [
        text[begin:end] for (begin, end), number in zip(made.offsets[0], made.texts[0], strict=True) if number == 1
    ]
    assert "".join(whole) == text.replace(" ", "")
    assert ("e\u0301" in whole) is strips  # else the accent is a piece of its own
    words = read([(text.split(),)], are_words=True, with_characters=True)
    ends = {word: end for word, (_, end) in zip(words.words[0], words.offsets[0], strict=True) if word is not None}
    assert ends == {number: len(word) for number, word in enumerate(text.split())}
