"""What the rules of a tokenizer change in a text, against counts by Unicode's own tables."""

import itertools
import json
import re
import subprocess
import textwrap
import unicodedata
from pathlib import Path

import pytest
from helpers.languages import PARAGRAPHS
from helpers.stores import SPECIAL
from tokenizers import normalizers

from bertkit.corpus.preparation import Preparation
from bertkit.corpus.sources import find_sources
from bertkit.corpus.statistics import ScriptShare, TextReport, text_report
from bertkit.errors import BertkitError
from bertkit.models.tokenizer import build_tokenizer


def report(folder: Path, text: str, strip_accents: bool = False, lowercase: bool = True, **how: bool) -> TextReport:
    (folder / "corpus.txt").write_text(text, encoding="utf-8")
    rules = build_tokenizer(SPECIAL, lowercase, strip_accents=strip_accents).backend_tokenizer
    return text_report(Preparation(find_sources([str(folder / "corpus.txt")])), rules, **{"given": False, **how})


@pytest.mark.parametrize("language", PARAGRAPHS)
def test_no_letter_is_changed_by_default_and_the_marks_are_counted_where_they_are_stripped(tmp_path, language):
    text = PARAGRAPHS[language]
    kept = report(tmp_path, text)
    assert (kept.changed, kept.changes(), kept.changed_words) == (0, None, [])
    assert kept.characters == len("".join(text.split()))
    marked = [one for one in text if unicodedata.normalize("NFD", one.lower()) != one.lower() or _is_mark(one)]
    # İ is a small i with a dot to everybody's lower case; what stripping leaves of it is i.
    assert report(tmp_path, text, strip_accents=True).changed == len(marked) + text.count("İ")


def _is_mark(character):
    return unicodedata.category(character) == "Mn"


def test_a_script_s_share_and_its_most_frequent_words_are_said_with_the_setting(tmp_path):
    seen = report(tmp_path, "है है है हैं हैं में, Plain words.", strip_accents=True)
    # Of ह ै ह ै ह ै ह ै ं ह ै ं म े ं the vowel signs and dots are marks.
    assert seen.scripts["Devanagari"] == ScriptShare(15, 9)
    assert seen.scripts["Latin"] == ScriptShare(10, 0)
    assert seen.changed_words == [("है", "ह"), ("हैं", "ह"), ("में", "म")]
    assert seen.is_harmful
    assert "9 of 15 in Devanagari (60.00%); है → ह, हैं → ह, में → म;" in seen.changes()
    assert seen.changes().endswith("--set tokenizer.strip_accents=false keeps them")
    assert "no --tokenizer" in report(tmp_path, "है", strip_accents=True, given=True).changes()


def test_syllables_that_fall_apart_are_shown_apart(tmp_path):
    assert report(tmp_path, "갑니다", strip_accents=True).changed_words == [("갑니다", "ᄀ ᅡ ᆸ ᄂ ᅵ ᄃ ᅡ")]


@pytest.mark.parametrize(("words", "harmful"), [(49, False), (48, True)])  # 1 of 200 and 1 of 196 characters
def test_half_a_percent_is_said_and_more_is_a_warning(tmp_path, words, harmful):
    seen = report(tmp_path, "word " * words + "caf\u00e9", strip_accents=True)
    assert seen.changes() is not None
    assert seen.is_harmful == harmful


def test_joiners_are_counted_and_no_setting_is_promised_for_them(tmp_path):
    seen = report(tmp_path, "می\u200cخواهم ක්\u200dෂ")
    assert (seen.dropped, seen.changed) == (2, 2)
    assert "zero-width" in seen.changes()
    assert "strip_accents" not in seen.changes()


@pytest.mark.parametrize("one", "\u00ad\u180e\u200e\u200f\u2060\ufeff\ufffd")
def test_of_what_every_bert_tokenizer_drops_no_setting_is_promised(tmp_path, one):
    seen = report(tmp_path, f"donau{one}dampf{one}schiff")
    assert (seen.dropped, seen.changed_words) == (2, [(f"donau{one}dampf{one}schiff", "donaudampfschiff")])
    assert "2 are dropped by every BERT tokenizer" in seen.changes()
    assert "strip_accents" not in seen.changes()


def test_letters_for_private_use_are_not_called_invisible(tmp_path):
    seen = report(tmp_path, "q\ue8bf \u06dd \U000f1234uod")
    assert seen.dropped == 3  # BERT's cleaning drops U+06DD, which can be seen, as a format character
    assert "letters for private use" in seen.changes()
    assert "invisible characters" not in seen.scripts


def test_changed_words_are_shown_with_the_symbols_that_belong_to_them(tmp_path):
    assert report(tmp_path, "(Caf\ufffd)").changed_words == [("Caf\ufffd", "caf")]
    family = "\U0001f468\u200d\U0001f469"
    assert report(tmp_path, f"{family}!").changed_words == [(family, family.replace("\u200d", ""))]


def test_letters_in_two_normal_forms_are_counted(tmp_path):
    composed, apart = "w\u1eb9\u0300 \u1ecdm\u1ecd", unicodedata.normalize("NFD", "w\u1eb9\u0300n \u1ecdm\u1ecd \u00e9")
    text = f"{composed} " * 12 + f"{apart} " * 11  # é stands there in one form only
    seen = report(tmp_path, text)
    assert (seen.twice, seen.words) == (22, 24 + 33)
    assert seen.most_twice == sorted(apart.split()[:2])
    assert report(tmp_path, text, strip_accents=True).twice == 0  # no two words to such a tokenizer
    [told] = seen.advice()
    assert "22 of 57 words have letters that are written otherwise elsewhere and look the same, as" in told
    (tmp_path / "apart.txt").write_text(text, encoding="utf-8")
    command = re.search(r"\((python3 .*)\)", told)[1].replace("TEXT", "apart.txt").replace("COMPOSED", "one.txt")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert (tmp_path / "one.txt").read_text(encoding="utf-8") == unicodedata.normalize("NFC", text)
    assert report(tmp_path, unicodedata.normalize("NFC", text)).advice() == []
    # Letters that Unicode never composes are no second form: Bengali, as it is typed.
    assert report(tmp_path, "\u09ac\u09dc\u09cb \u09a8\u09cb " * 30).twice == 0
    assert report(tmp_path, "\uac11\ub2e4 " * 30 + unicodedata.normalize("NFD", "\uac11\ub2e4 ") * 25).twice == 25


def test_it_is_said_where_only_the_beginnings_were_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("bertkit.corpus.looking._LOOKED_AT_CHARACTERS", 8)
    assert report(tmp_path, "caf\u00e9 bar", strip_accents=True).part == ""  # all 8 of it
    seen = report(tmp_path, "caf\u00e9 bar\nna\u00efve", strip_accents=True)
    assert seen.part == "the first 8 characters"
    assert "lower case (the first 8 characters looked at): 1 of 7 in Latin" in seen.changes()
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("caf\u00e9\n" * 3, encoding="utf-8")
    monkeypatch.setattr("bertkit.corpus.looking._LOOKED_AT_SOURCES", 2)
    rules = build_tokenizer(SPECIAL, True, strip_accents=True).backend_tokenizer
    sources = find_sources([str(tmp_path / f"{number}.txt") for number in range(3)])
    # Two files, 4 of the 8 characters each.
    assert text_report(Preparation(sources), rules, given=False).part == "the first 8 characters of 2 of 3 files"


@pytest.mark.parametrize(("language", "cut"), [("en", 30), ("el", 0)])
def test_a_greek_question_mark_ends_a_sentence_in_greek(tmp_path, language, cut):
    path = tmp_path / "corpus.txt"
    path.write_text("πού είσαι;\nεδώ.\n\n" * 30)
    preparation = Preparation(find_sources([str(path)]), language=language)
    seen = text_report(preparation, build_tokenizer(SPECIAL, True).backend_tokenizer, given=False)
    assert (seen.line_ends, seen.cut_sentences) == (30, cut)


def test_turkish_is_told_how_i_is_lowered(tmp_path):
    turkish = PARAGRAPHS["Turkish"]
    assert [line for line in report(tmp_path, turkish).advice() if "i̇ncir" in line]
    assert report(tmp_path, turkish, lowercase=False).advice() == []
    assert all(report(tmp_path, text).advice() == [] for name, text in PARAGRAPHS.items() if name != "Turkish")


def test_words_that_are_too_long_are_counted_and_a_text_of_them_is_refused(tmp_path):
    seen = report(tmp_path, "acgt" * 25 + " " + "acgt" * 26 + " plain words" * 20)
    assert (seen.unread, seen.word_limit) == (104, 100)
    assert "in words of more than 100 characters" in seen.advice()[0]
    with pytest.raises(
        BertkitError, match=r"100% of .*corpus\.txt is in words of more than 100 characters.*fold -w 60"
    ):
        report(tmp_path, "acgt" * 200)
    # Characters and punctuation that are words by themselves are no long word.
    assert report(tmp_path, "人" * 300 + "a." * 100).unread == 0


def test_hard_wrapped_lines_are_counted_and_a_way_out_is_named(tmp_path):
    paragraph = (PARAGRAPHS["German"] + " " + PARAGRAPHS["French"] + " ") * 5
    wrapped = textwrap.wrap(paragraph, 30)
    seen = report(tmp_path, "\n".join(wrapped) + "\n\nand the next\n")  # a new document, behind no line end of its own
    inside = [a for a, b in itertools.pairwise(wrapped) if a[-1] not in ".?!" and b[0].islower()]
    assert (seen.line_ends, seen.cut_sentences) == (len(wrapped) - 1, len(inside))
    assert f"{len(inside):,} of {len(wrapped) - 1:,} line ends are inside a sentence" in seen.advice()[0]
    # The command that is named makes one line of each paragraph, whatever the line ends.
    command = re.search(r"\((python3 .*)\)", seen.advice()[0])[1]
    command = command.replace("TEXT", "wrapped.txt").replace("JOINED", "joined.txt")
    for end, blank in (("\n", ""), ("\r\n", ""), ("\r", ""), ("\n", " \t")):
        text = end.join([*wrapped, blank, "and the next", ""])
        (tmp_path / "wrapped.txt").write_bytes(text.encode())
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)
        joined = (tmp_path / "joined.txt").read_text(encoding="utf-8")
        assert joined == " ".join(wrapped) + "\n\nand the next\n"
    assert report(tmp_path, joined).line_ends == 0
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "\n".join(wrapped)}), encoding="utf-8")
    rules = build_tokenizer(SPECIAL, True).backend_tokenizer
    [told] = text_report(Preparation(find_sources([str(tmp_path / "rows.jsonl")])), rules, given=False).advice()
    assert told.endswith("join the lines of a paragraph in the cells first")
    # Verse, a list, and sentences in small letters are not wrapped.
    for text in (
        "Tiger, tiger, burning bright\nIn the forests of the night,\n",
        "- milk\n- bread\n",
        "it rained .\nit snew .\n",
    ):
        assert report(tmp_path, text * 30).advice() == []


def test_languages_without_spaces_get_one_line_of_advice(tmp_path):
    told = {name: report(tmp_path, text).on_spaces() for name, text in PARAGRAPHS.items()}
    assert [name for name, lines in told.items() if lines] == ["Thai", "Khmer", "Japanese"]
    assert "pythainlp" in told["Thai"][0]


def test_nothing_is_said_of_other_normalisers_but_the_figures_stand(tmp_path):
    (tmp_path / "corpus.txt").write_text("CAF\u00c9 \u4eba", encoding="utf-8")
    rules = build_tokenizer(SPECIAL, True).backend_tokenizer
    rules.normalizer = normalizers.NFKC()
    seen = text_report(Preparation(find_sources([str(tmp_path / "corpus.txt")])), rules, given=True)
    assert (seen.characters, seen.changed) == (5, 0)
