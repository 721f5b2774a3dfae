import math
from dataclasses import replace

import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from bertkit.models.card import CardFacts, evaluation, model_card

PLAIN = CardFacts(
    name="pretrain-stories",
    pipeline_tag="fill-mask",
    what="A BERT trained from scratch.",
    usage='from transformers import pipeline\npipeline("fill-mask", "runs/stories")("The [MASK].")',
    command="bertkit pretrain stories.txt",
    device="CPU",
    seconds=75.0,
    versions={"torch": "2.9.0"},
    tags=["nsp"],
    data={"sources": "stories.txt", "documents": 1234},
    settings={"train.learning_rate": 1e-4, "data.whole_word_mask": False},
    results={"eval_perplexity": 12.3456},
)


def test_front_matter_reads_as_the_hub_reads_it() -> None:
    data = ModelCard(model_card(PLAIN)).data
    assert (data.library_name, data.pipeline_tag) == ("transformers", "fill-mask")
    assert data.tags == ["bert", "bertkit", "nsp"]
    assert data.license is None
    assert data.base_model is None


def test_the_hub_lists_the_evaluations() -> None:
    evaluations = [
        evaluation("fill-mask", ("my corpus.txt", None, None), "validation", "mlm_accuracy", 1 / 3, "MLM accuracy"),
        evaluation("fill-mask", ("SST-2", "nyu-mll/glue", "sst2"), "validation", "accuracy", 0.9),
        evaluation("fill-mask", ("SST-2", "nyu-mll/glue", "sst2"), "validation", "perplexity", math.inf),
    ]
    data = ModelCard(model_card(replace(PLAIN, evaluations=evaluations))).data
    assert data.model_name == "pretrain-stories"
    assert data.eval_results == evaluations[:2]
    assert [one.dataset_type for one in data.eval_results] == ["my-corpus.txt", "nyu-mll/glue"]
    assert data.eval_results[0].metric_value == 1 / 3  # to the last digit


def test_the_card_tells_the_facts() -> None:
    card = model_card(PLAIN)
    for line in (
        "# pretrain-stories",
        'pipeline("fill-mask", "runs/stories")("The [MASK].")',
        "| documents | 1,234 |",
        r"| train.learning\_rate | 0.0001 |",
        r"| data.whole\_word\_mask | false |",
        r"| eval\_perplexity | 12.35 |",
        "bertkit pretrain stories.txt",
        "- Time: 1 min 15 s",
    ):
        assert line in card.splitlines()
    assert "torch 2.9.0" in card


def test_a_hub_name_is_the_base_model_and_a_folder_is_not() -> None:
    named = model_card(replace(PLAIN, base_model="google-bert/bert-base-uncased"))
    assert ModelCard(named).data.base_model == "google-bert/bert-base-uncased"
    folder = model_card(replace(PLAIN, base_model="/home/me/model"))
    assert ModelCard(folder).data.base_model is None
    assert "- Goes on from: /home/me/model" in folder


def test_text_from_outside_brings_in_neither_markup_nor_front_matter() -> None:
    evil = 'x"\n---\nlicense: mit\u2028---\n# head <script>|`[a](b)\x1b[31m'
    card = model_card(
        CardFacts(
            name=evil,
            pipeline_tag=evil,
            what=evil,
            usage="print('```')",
            command="run ````\n# not a heading",
            device=evil,
            seconds=1.0,
            versions={evil: evil},
            data={evil: evil},
            evaluations=[evaluation(evil, (evil, None, evil), evil, evil, 0.5, evil)],
        )
    )
    _, front, body = card.split("---\n", 2)
    assert set(yaml.safe_load(front)) == {"library_name", "pipeline_tag", "tags", "model-index"}
    assert len(ModelCard(card).data.eval_results) == 1
    tokens = MarkdownIt().enable("table").parse(body)
    inline = [child.type for token in tokens for child in token.children or []]
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", "h2", "h2", "h2"]
    assert [token.content for token in tokens if token.type == "fence"] == [
        "print('```')\n",
        "run ````\n# not a heading\n",
    ]
    assert len([token for token in tokens if token.type == "td_open"]) == 2
    assert set(inline) == {"text"}
    assert not [token for token in tokens if token.type.startswith(("html", "hr", "code"))]
    assert "\x1b" not in card
