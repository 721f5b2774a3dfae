"""Pushing to the hub: against a stand-in over real HTTP, where the library's own settings matter in a child process."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.hub import Hub
from helpers.tensorflow_bert import IDS

import bertkit
from bertkit.errors import BertkitError
from bertkit.models.import_tf import import_checkpoint
from bertkit.models.push import _quieter, model_files, push
from bertkit.runtime.load import open_reader
from bertkit.runtime.numpy_bert import log_softmax

TOKEN = "hf_of_the_test"
SENT = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "README.md"}
COMMAND = """
import sys
from bertkit.cli.push import push
from bertkit.errors import BertkitError
try:
    push(sys.argv[1], sys.argv[2], "--private" in sys.argv)
except BertkitError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)
"""
# Plain transformers, which knows nothing of bertkit: the ids of two texts and all that a model says of them.
READ = """
import sys
import numpy, torch, transformers
name, kind, out, *texts = sys.argv[1:]
tokenizer = transformers.AutoTokenizer.from_pretrained(name)
model = getattr(transformers, kind).from_pretrained(name).double().eval()
inputs = tokenizer(*texts, return_tensors="pt")
with torch.no_grad():
    answers = model(**inputs)
numpy.savez(out, input_ids=inputs["input_ids"], **answers)
"""


@pytest.fixture(scope="module")
def run_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as a run leaves it: with a card, and much beside it that is nobody's business."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("push") / "run")
    (folder / "README.md").write_text("---\nlibrary_name: transformers\n---\n# Ünïque 模型\n", encoding="utf-8")
    for name in (
        "run.json",
        "metrics.jsonl",
        "predictions.jsonl",
        "optimizer.safetensors",
        ".env",
        "training_args.bin",
    ):
        (folder / name).write_text("private", encoding="utf-8")
    shutil.copytree(tiny_model, folder / "checkpoint-10")
    (folder / "checkpoint-10" / "optimizer.safetensors").write_bytes(b"moments")
    return folder


def run(hub: Hub, home: Path, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, in a process that knows this hub alone."""
    # Without xet, whose servers are not those of the hub: large files then go by git-lfs.
    env = {**hub.env(home), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", **env}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        env={name: value for name, value in env.items() if value},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.fixture
def known_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that takes what this very process pushes."""
    from huggingface_hub import constants

    hub.accept_pushes(tmp_path / "pushed", "org", TOKEN)
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "", "no_proxy": "*"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return hub


def test_what_arrives_is_the_model_and_nothing_else(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    hub.accept_pushes(tmp_path / "pushed", "org", TOKEN)
    code, out, err = run(hub, tmp_path / "home", str(run_folder), "org/mine")
    assert (code, out) == (0, f"{hub.url}/org/mine"), err
    arrived = tmp_path / "pushed" / "org" / "mine"
    assert {path.name for path in arrived.rglob("*")} == SENT
    for name in SENT:
        assert (arrived / name).read_bytes() == (run_folder / name).read_bytes()
    assert list(hub.lfs.values()) == [(run_folder / "model.safetensors").read_bytes()]
    assert err.startswith("pushing 6 files (0.0 MB) to org/mine (public): config.json, model.safetensors,")
    assert "org/mine" not in hub.private
    assert TOKEN not in out + err
    # And comes back as any model of the hub does.
    fetch = "from bertkit.io.hub import model_folder; print(model_folder('org/mine'))"
    fetched = subprocess.run(
        [sys.executable, "-c", fetch], env=hub.env(tmp_path / "home"), capture_output=True, text=True, check=True
    )
    assert (Path(fetched.stdout.strip()) / "model.safetensors").read_bytes() == hub.lfs.popitem()[1]


def read_back(hub: Hub, home: Path, name: str, kind: str, *texts: str) -> dict[str, np.ndarray]:
    """What plain transformers says with a model of the hub, in a process whose cache is empty."""
    command = [sys.executable, "-c", READ, name, kind, str(home / "answers.npz"), *texts]
    home.mkdir()
    done = subprocess.run(command, env=hub.env(home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(np.load(home / "answers.npz"))


@pytest.mark.parametrize(
    ("checkpoint", "kind", "answers"),
    [
        ("pretraining", "AutoModelForPreTraining", {"prediction_logits": "words", "seq_relationship_logits": "pairs"}),
        ("classifier", "AutoModelForSequenceClassification", {"logits": "classes"}),
        ("garden", "AutoModel", {"last_hidden_state": "states"}),
    ],
)
def test_an_old_checkpoint_comes_back_with_the_logits_of_tensorflow(
    hub: Hub, tmp_path: Path, checkpoint: str, kind: str, answers: dict[str, str]
) -> None:
    source = Path(__file__).with_name("tensorflow") / checkpoint
    hub.accept_pushes(tmp_path / "pushed", "org", TOKEN)
    code, _, err = run(hub, tmp_path / "home", str(import_checkpoint(source, tmp_path / "old").folder), "org/old")
    assert code == 0, err
    found = read_back(hub, tmp_path / "elsewhere", "org/old", kind, "the cat [MASK] sat .", "a b")
    expected = np.load(source / "logits.npz")
    assert found["input_ids"].tolist() == IDS
    for ours, theirs in answers.items():
        np.testing.assert_allclose(found[ours].reshape(expected[theirs].shape), expected[theirs], atol=1e-7, rtol=0)


def test_new_words_come_back_with_their_rows(hub: Hub, tiny_model: Path, tmp_path: Path, own_cache: Path) -> None:  # noqa: ARG001
    text = tmp_path / "text.txt"
    text.write_text("the cat sat .\nasss asss the bss cat .\n\n" * 40, encoding="utf-8")
    settings = {"train.max_steps": 2, "train.batch_size": 4, "data.max_seq_length": 16, "data.max_eval_examples": 4}
    made = bertkit.pretrain(text, model=tiny_model, add_words=10, out=tmp_path / "run", settings=settings, device="cpu")
    assert made.added_words == 2
    hub.accept_pushes(tmp_path / "pushed", "org", TOKEN)
    code, _, err = run(hub, tmp_path / "home", str(made.folder), "org/new")
    assert code == 0, err
    found = read_back(
        hub, tmp_path / "elsewhere", "org/new", "AutoModelForPreTraining", "the asss [MASK] .", "bss cats"
    )
    # What was trained, by another forward pass: numpy's.
    words, pairs = (open_reader(str(made.folder), head, texts=1) for head in ("words", "pairs"))
    text = words.text_encoder.encode("the asss [MASK] .", "bss cats")
    assert found["input_ids"].tolist() == [text.ids]
    assert {5, 21} <= {*text.ids}  # the row of [unused0], and the one behind all 21 others
    (expected,) = words.bert.word_log_probabilities([text], [range(len(text.ids))])
    np.testing.assert_allclose(log_softmax(found["prediction_logits"][0]), expected, atol=1e-5, rtol=0)
    expected = pairs.bert.next_sentence_logits([text])
    np.testing.assert_allclose(found["seq_relationship_logits"], expected, atol=1e-5, rtol=0)


def test_what_is_a_strangers_stays_here(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "folder")
    code = {"auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": True, "custom_pipelines": {}}
    for name, odd in (("config.json", {**code, "my_field": 1}), ("tokenizer_config.json", code)):
        said = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(said | odd), encoding="utf-8")
    hub.accept_pushes(tmp_path / "pushed", "org", TOKEN)
    exit_code, _, err = run(hub, tmp_path / "home", str(folder), "org/mine")
    assert exit_code == 0, err
    assert "auto_map, custom_pipelines, my_field, trust_remote_code" in err
    for name in ("config.json", "tokenizer_config.json"):
        arrived = json.loads((tmp_path / "pushed" / "org" / "mine" / name).read_text(encoding="utf-8"))
        assert arrived == json.loads((run_folder / name).read_text(encoding="utf-8"))


def test_a_private_repository_is_made_private_and_a_public_one_refused(
    hub: Hub, run_folder: Path, tmp_path: Path
) -> None:
    hub.accept_pushes(tmp_path / "pushed", "org", TOKEN)
    code, _, err = run(hub, tmp_path, str(run_folder), "org/mine", "--private")
    assert (code, hub.private) == (0, {"org/mine"}), err
    assert "to org/mine (private)" in err
    hub.private.clear()
    assert any("/commit/" in request for request in hub.requests)
    hub.requests.clear()
    code, _, err = run(hub, tmp_path, str(run_folder), "org/mine", "--private")
    assert code == 1
    assert err == "error: org/mine is on the hub already, and public: name another, or leave --private out"
    assert not any("preupload" in request or "/commit/" in request or "PUT" in request for request in hub.requests)


def test_without_a_token_nothing_is_read_or_sent(hub: Hub, tmp_path: Path) -> None:
    """Not even whether the folder is there."""
    code, out, err = run(hub, tmp_path, "no/such/folder", "org/mine", HF_TOKEN="")
    assert (code, out) == (1, "")
    assert err == (
        f"error: no token for the hub at {hub.url}: run `hf auth login`, or set HF_TOKEN, with a token that may write"
    )
    assert hub.requests == []


def test_the_token_of_a_login_is_found(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    hub.accept_pushes(tmp_path / "pushed", "org", TOKEN)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(TOKEN)
    assert run(hub, tmp_path / "home", str(run_folder), "org/mine", HF_TOKEN="")[0] == 0


def test_code_of_strangers_in_the_files_of_sentence_transformers_stays_here(
    known_hub: Hub,  # noqa: ARG001
    run_folder: Path,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "folder")
    own = {"max_seq_length": 32, "do_lower_case": False}
    odd = {"model_args": {"trust_remote_code": True}, "auto_map": {"AutoModel": "evil.Model"}}
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text(json.dumps(own | odd), encoding="utf-8")
    push(folder, "org/vectors")
    arrived = tmp_path / "pushed" / "org" / "vectors"
    assert json.loads((arrived / "sentence_bert_config.json").read_text(encoding="utf-8")) == own
    modules[0]["type"] = "evil_module.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(
        BertkitError, match="names 'evil_module.Transformer', which is no module of sentence-transformers"
    ):
        push(folder, "org/vectors")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/", 401, "the hub does not accept the token: run `hf auth login` again, or set HF_TOKEN anew"),
        ("/commit/", 403, "the token may not write there: it needs the role write, and org must be you or yours"),
        ("/api/repos/create", 404, "the hub at URL knows no org, or no such repository that the token may see"),
        ("/api/validate-yaml", 400, "Invalid metadata in README.md"),
        ("/lfs/", 413, "the hub at URL answered with HTTP status 413"),
        ("/preupload/", 418, "the hub at URL answered with HTTP status 418 (as the test wants it)"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    known_hub: Hub, run_folder: Path, tmp_path: Path, path: str, status: int, said: str
) -> None:
    known_hub.fail_at[path] = status
    with pytest.raises(BertkitError) as caught:
        push(run_folder, "org/mine")
    assert str(caught.value).startswith(f"cannot push to org/mine: {said.replace('URL', known_hub.url)}")
    assert TOKEN not in str(caught.value)
    assert list((tmp_path / "pushed").rglob("*.json")) == []


def test_a_wrong_token_and_a_foreign_owner_are_one_line(
    known_hub: Hub, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BertkitError, match=r"foreign must be you or yours \(not yours\)"):
        push(run_folder, "foreign/mine")
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    with pytest.raises(BertkitError, match="the hub does not accept the token"):
        push(run_folder, "org/mine")


def test_a_second_push_replaces_and_sends_known_weights_once(known_hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "run")
    push(folder, "org/mine")
    (folder / "README.md").write_text("# Anew\n", encoding="utf-8")
    push(folder, "org/mine")
    assert (tmp_path / "pushed" / "org" / "mine" / "README.md").read_text(encoding="utf-8") == "# Anew\n"
    assert sum(request.startswith("PUT /lfs/") for request in known_hub.requests) == 1


def test_what_the_library_warns_of_is_said_in_our_form(capsys: pytest.CaptureFixture[str]) -> None:
    with _quieter():
        warnings.warn("Warnings while validating:\n- empty [bold] metadata", stacklevel=1)
    assert capsys.readouterr().err == "warning: Warnings while validating: - empty [bold] metadata\n"


def test_nobody_there_is_one_line(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    dead = "http://127.0.0.1:9"
    code, _, err = run(hub, tmp_path, str(run_folder), "org/mine", HF_ENDPOINT=dead)
    assert code == 1
    assert err.startswith(f"error: cannot push to org/mine: no hub reachable at {dead} (")
    assert "HF_HUB_OFFLINE is set" in run(hub, tmp_path, str(run_folder), "org/mine", HF_HUB_OFFLINE="1")[2]


@pytest.mark.parametrize("name", ["mine", "a/b/c", "../mine", "org/", "https://hf.co/org/mine", "org/mine.git"])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        BertkitError, match=f"'{name}' is no name of a repository: give ORGANISATION/NAME, or USER/NAME"
    ):
        push(tmp_path, name)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "is no model folder: it lacks config.json or model.safetensors"),
        ("model.safetensors", "is no model folder"),
        ("README.md", "has no README.md, the model's card"),
        ("tokenizer.json", "has no tokenizer"),
    ],
)
def test_half_a_model_is_not_pushed(run_folder: Path, tmp_path: Path, missing: str, said: str) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "run")
    for name in (missing, "vocab.txt"):
        (folder / name).unlink()
    with pytest.raises(BertkitError, match=said):
        model_files(folder)
    with pytest.raises(BertkitError, match="no folder"):
        model_files(folder / "config.json")
