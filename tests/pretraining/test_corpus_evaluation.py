"""The figures of a pretrained model on plain text: those of its own run, and what it cannot be asked."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForMaskedLM, BertForPreTraining, BertForSequenceClassification

from bertkit.corpus.store import open_store
from bertkit.errors import BertkitError
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining.collator import DataCollatorForBertPretraining
from bertkit.pretraining.corpus_evaluation import CorpusRequest, evaluate_corpus
from bertkit.pretraining.request import PretrainRequest
from bertkit.pretraining.run import pretrain
from bertkit.settings.recipes import Override
from bertkit.training.metrics_log import read_metrics

SENTENCES = ["The cat sat.", "a b c d e.", "The cats sat.", "f g h i j.", "a cat.", "j i h the cat g f."]
TEXT = "\n\n".join("\n".join(SENTENCES[(i * j + j) % 6] for j in range(3 + i % 4)) for i in range(60)) + "\n"
SETTINGS = {"max_seq_length": 24, "batch_size": 64, "max_steps": 3, "mixed_precision": "no", "learning_rate": 1e-2}
# Away from the defaults: the figures are only the run's own where its recipe is read.
OWN = {"seed": 7, "short_seq_prob": 0.3, "mlm_probability": 0.25, "whole_word_mask": True}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "held.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def asked(seq_len: int | None = None, examples: int | None = None) -> list[Override]:
    given = {"data.max_seq_length": seq_len, "data.max_eval_examples": examples}
    return [Override(name, value, f"--set {name}={value}") for name, value in given.items() if value is not None]


def trained(out: Path, text: Path, tiny_model: Path, **settings: object) -> Path:
    overrides = [Override(name, value, name) for name, value in (SETTINGS | settings).items()]
    corpus = out.with_suffix(".txt")
    more = f"\n\n{SENTENCES[0]}\n"  # the same text is refused
    corpus.write_text(text.read_text(encoding="utf-8") + more, encoding="utf-8")
    pretrain(
        PretrainRequest([str(corpus)], out, "adapt", overrides, str(tiny_model), validation=[str(text)], device="cpu")
    )
    return out


@pytest.fixture(scope="module")
def run(tiny_model: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "run", text, tiny_model, **OWN)


def last_evaluation(out: Path) -> dict[str, float]:
    return [line for line in read_metrics(out) if "eval_loss" in line][-1]


def figures(results: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in results.items() if name.startswith("eval_")}


def test_figures_are_those_that_the_run_ended_with(run: Path, text: Path) -> None:
    ended = figures(last_evaluation(run))
    results = evaluate_corpus(CorpusRequest(str(run), [str(text)], device="cpu"))  # of the run's own length
    assert {"eval_mlm_accuracy", "eval_nsp_accuracy", "eval_perplexity"} <= ended.keys()
    assert figures(results) == pytest.approx(ended, rel=1e-6)
    assert (results["max_seq_length"], results["seed"], results["sentence_objective"]) == (24, 7, "nsp")


def test_places_that_were_never_learned_are_told(run: Path, tmp_path: Path, capsys) -> None:
    text = tmp_path / "long.txt"
    text.write_text(TEXT.replace("\n\n", "\n"), encoding="utf-8")

    def said(base: str | None) -> str:
        new = shutil.copytree(run, tmp_path / f"{base}")
        (new / "run.json").write_text(json.dumps({"kind": "pretrain", "base_model": base}))
        capsys.readouterr()
        for length in (None, 24, 32):
            evaluate_corpus(CorpusRequest(str(new), [str(text)], asked(length, 9), "cpu"))
        return " ".join(capsys.readouterr().err.split())

    assert said(None).count("places from 24 to 31 were never learned") == 1
    assert "never learned" not in said("other")  # which may have learned them


def test_the_masked_word_figures_are_those_of_plain_transformers(run: Path, text: Path) -> None:
    results = evaluate_corpus(CorpusRequest(str(run), [str(text)], asked(24, 9), "cpu"))
    seen: list[dict[str, torch.Tensor]] = []
    with pytest.MonkeyPatch.context() as patch:
        collate = DataCollatorForBertPretraining.__call__
        patch.setattr(DataCollatorForBertPretraining, "__call__", lambda *a: seen.append(collate(*a)) or seen[-1])
        evaluate_corpus(CorpusRequest(str(run), [str(text)], asked(24, 9), "cpu"))
    batch = seen[-1]
    assert len(batch["input_ids"]) == results["examples"] == 9
    labels = batch.pop("labels")
    next_sentence = batch.pop("next_sentence_label")
    with torch.no_grad():
        plain = BertForPreTraining.from_pretrained(run).eval()(**batch)
    predicted = labels != -100
    loss = torch.nn.functional.cross_entropy(plain.prediction_logits[predicted], labels[predicted])
    assert results["eval_mlm_loss"] == pytest.approx(loss.item(), rel=1e-5)
    right = plain.prediction_logits.argmax(-1)[predicted] == labels[predicted]
    assert results["eval_mlm_accuracy"] == pytest.approx(right.float().mean().item())
    told = next_sentence != -100
    right = plain.seq_relationship_logits.argmax(-1)[told] == next_sentence[told]
    assert results["eval_nsp_accuracy"] == pytest.approx(right.float().mean().item())


def test_baselines_are_the_shares_of_the_text_itself(run: Path, text: Path) -> None:
    tokenizer = load_tokenizer(str(run))
    ids = [id_ for line in TEXT.split("\n") for id_ in tokenizer(line, add_special_tokens=False)["input_ids"]]
    shares = np.unique(ids, return_counts=True)[1] / len(ids)
    results = evaluate_corpus(CorpusRequest(str(run), [str(text)], asked(24, 1), "cpu"))
    assert tokenizer.unk_token_id not in ids
    assert results["tokens_in_corpus"] == len(ids)
    assert results["most_frequent_token_share"] == pytest.approx(shares.max())
    assert results["unigram_entropy"] == pytest.approx(-(shares * np.log(shares)).sum())


def test_two_calls_and_a_prepared_folder_agree(run: Path, text: Path, tmp_path: Path) -> None:
    from bertkit.corpus.preparation import Preparation
    from bertkit.corpus.prepare import prepare
    from bertkit.corpus.sources import find_sources

    prepare(Preparation(find_sources([str(text)])), load_tokenizer(str(run)), tmp_path / "store")
    assert open_store(tmp_path / "store").info.documents == 60
    one, same, other = (
        figures(evaluate_corpus(CorpusRequest(str(run), [str(path)], device="cpu")))
        for path in (text, text, tmp_path / "store")
    )
    assert one == same == other


@pytest.mark.parametrize("cls", [BertForMaskedLM, BertForPreTraining])
def test_a_model_that_has_not_learned_pairs_reads_single_segments(
    cls: type, run: Path, text: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if cls is BertForMaskedLM:  # no such head
        model = shutil.copytree(run, tmp_path / "model")
        BertForMaskedLM.from_pretrained(run).save_pretrained(model)
        said = "no next-sentence head and no pooler: masked words only"
    else:  # a head that was never trained
        model = trained(tmp_path / "model", text, tiny_model, sentence_objective="none")
        said = "pretrained without sentence pairs: masked words only"
    results = evaluate_corpus(CorpusRequest(str(model), [str(text)], asked(24), "cpu"))
    assert said in " ".join(capsys.readouterr().err.split())
    assert results["sentence_objective"] == "none"
    assert "eval_nsp_accuracy" not in results
    assert results["eval_loss"] == results["eval_mlm_loss"]
    if cls is BertForPreTraining:
        assert figures(results) == pytest.approx(figures(last_evaluation(model)), rel=1e-6)


def test_text_without_pairs_has_no_figures_of_pairs(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_text("The cat sat.\n\na b c.\n")
    results = evaluate_corpus(CorpusRequest(str(tiny_model), [str(tmp_path / "one.txt")], device="cpu"))
    assert "eval_mlm_loss" in results
    assert "eval_nsp_loss" not in results
    assert "no document has two sentences, so there are no pairs: masked words only" in capsys.readouterr().err
    assert (results["max_seq_length"], results["examples"]) == (32, 2)  # what the model reads; the text has no more
    (tmp_path / "one.txt").write_text("The cat sat.\na b c.\n")
    assert "eval_nsp_loss" not in evaluate_corpus(
        CorpusRequest(str(tiny_model), [str(tmp_path / "one.txt")], device="cpu")
    )
    assert "the text is a single document, too short for a random next sentence" in " ".join(
        capsys.readouterr().err.split()
    )


def test_what_cannot_be_evaluated_is_one_line(tiny_model: Path, text: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "chinese.txt").write_text("今天天气很好。\n我们去公园。\n" * 9, encoding="utf-8")
    (tmp_path / "mostly.txt").write_text("今天天气很好。\n\n" * 50 + "cat\n", encoding="utf-8")
    (tmp_path / "image.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    classifier = shutil.copytree(tiny_model, tmp_path / "classifier")
    BertForSequenceClassification.from_pretrained(tiny_model).save_pretrained(classifier)
    (classifier / "recipe.toml").write_text("[task]\ntext = ['text']\n")
    (classifier / "run.json").write_text(json.dumps({"kind": "finetune"}))
    short = shutil.copytree(tiny_model, tmp_path / "short")
    vocab = json.loads((short / "tokenizer.json").read_text())
    vocab["model"]["vocab"] |= {f"x{n}": 21 + n for n in range(50)}
    (short / "tokenizer.json").write_text(json.dumps(vocab))
    for model, corpus, length, said in (
        (tiny_model, "nope.txt", None, "no corpus at .*nope.txt"),
        (tiny_model, "empty.txt", None, "the corpus is empty"),
        (tiny_model, "image.txt", None, "NUL byte"),
        (tiny_model, "chinese.txt", None, "all unknown to the tokenizer"),
        (
            tiny_model,
            text,
            64,
            r"data.max_seq_length 64 is over model.max_position_embeddings 32 \(--set data.max_seq_length=64",
        ),
        (tiny_model, text, 0, "must be an integer >= 8.*got 0"),
        (tmp_path / "none", text, None, "no folder '.*none'"),
        (classifier, text, None, "classifier has no masked-word head"),
        (short, text, None, "has 71 word pieces in its tokenizer, and 64 in its model"),
    ):
        with pytest.raises(BertkitError, match=said):
            evaluate_corpus(CorpusRequest(str(model), [str(tmp_path / corpus)], asked(length), "cpu"))
    with pytest.raises(BertkitError, match="none of the 1 examples has a word piece that could be predicted"):
        evaluate_corpus(CorpusRequest(str(tiny_model), [str(tmp_path / "mostly.txt")], asked(examples=1), "cpu"))
