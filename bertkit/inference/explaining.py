"""Explains an answer by integrated gradients (Sundararajan et al. 2017), computed by captum: what each word contributes.

The baseline is the same text with every word hidden. The gradient of the answer is integrated along a straight line from
the word embeddings of the baseline to those of the text, and so the change of the answer is divided among the words.
Special tokens are the same in both, and contribute nothing. The contributions add up to the output for the text minus
that for the baseline, up to the error of the integration, which is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.extras import import_extra
from bertkit.inference.mask_filling.filler import MASK, check_text
from bertkit.inference.misread import Misread
from bertkit.models.folder import bert_folder, class_names, own_length, read_config
from bertkit.models.linear_heads import check_problem_type, linear_class
from bertkit.models.loading import load_for
from bertkit.runtime.base import finite
from bertkit.runtime.batches import TOKENS_AT_ONCE
from bertkit.runtime.recipe import recipe_of
from bertkit.runtime.text import Encoding, TextEncoder, any_text_encoder

if TYPE_CHECKING:
    import torch

BASELINES = ("mask", "pad")
# The number of points at which the integral is approximated; they are doubled until the error is below a hundredth of the
# difference that is divided.
_FEWEST_STEPS, _MOST_STEPS, _ERROR = 50, 800, 0.01
# The precision of fp32: differences below it are not distinguished.
_LEAST = 1e-6


@dataclass(frozen=True)
class Explanation:
    """What each word of a text contributes to a model's answer.

    Attributes:
        model: the model's name.
        answer: the class, or the word at the mask; "" where the answer is a number.
        output: the answer's probability, or the number, for the text.
        baseline: the token that hides the words in the baseline.
        baseline_output: the output for the baseline.
        words: the words with their contributions, whose sum is ``output - baseline_output + error``.
        steps: the number of points at which the integral was approximated.
        error: the sum of the contributions, minus the difference of the outputs.
        tokens_cut: how many tokens of the end of a text, or of the longer one of a pair, the model did not read.
    """

    model: str
    answer: str
    output: float
    baseline: str
    baseline_output: float
    words: list[tuple[str, float]]
    steps: int
    error: float
    tokens_cut: int


def explain(
    model: str,
    text: str,
    text_b: str | None = None,
    answer: str | None = None,
    baseline: str = "mask",
    device: str | None = None,
) -> Explanation:
    """Computes what each word of a text contributes to the answer of a classifier, or of a model that fills masks.

    Of a text that is too long for a classifier the end is cut, as by `bertkit predict`; notes say so, and what is unknown to the
    model.

    Args:
        model: a folder, a name on the hub, or "embedded".
        text: the text; for a model that fills masks with exactly one ``[MASK]``.
        text_b: the second text of a pair.
        answer: the class or the word to explain; None takes the model's own answer.
        baseline: the token that hides the words: "mask" or "pad".
        device: "cpu", "cuda", "cuda:1" or "mps"; None or "auto" takes the best one available.

    Raises:
        BertkitError: captum is not installed; the model cannot be loaded, or is neither of the two kinds; the text has no
            words, does not have one mask, or is too long for a model that fills masks or reads windows; the model was trained
            on two texts and one is given, or the other way round; or the model has no such answer, or answers with NaN.
    """
    if baseline not in BASELINES:
        raise BertkitError(f"--baseline must be mask or pad, got '{baseline}'")
    _check_texts(text, text_b)
    integrated_gradients = import_extra("captum.attr", "explain").IntegratedGradients
    folder = bert_folder(model)
    config = read_config(folder, model)
    check_problem_type(config, model)
    cls = linear_class(config) or "BertForMaskedLM"
    if cls not in _KINDS:
        raise BertkitError(
            f"explain knows why a class or the word at a mask was chosen, and {model} is a {cls}: give a classifier of "
            "texts, or a pretrained model"
        )
    if cls == "BertForMaskedLM":
        check_text(text)
    else:
        _check_count(model, config.get("bertkit_texts", 0), text_b)
    text_encoder = any_text_encoder(folder, model)
    if cls == "BertForMaskedLM":
        encoded, cut = _whole(model, folder, text_encoder, text.replace(MASK, text_encoder.mask_token), text_b), 0
    else:
        encoded, cut = _as_predicted(model, folder, text_encoder, text, text_b)
    words = text_encoder.words(encoded)
    if not words:
        raise BertkitError("the text has no word to explain by: give a sentence")
    misread = Misread(model, text_encoder)
    misread.add([text, text_b or ""], [encoded])
    misread.say("read alike, whatever is written there")
    from bertkit.hardware import choose_device

    loaded: Any = load_for(cls, model)[0]
    loaded = loaded.to(choose_device(device)).eval().requires_grad_(False)
    path = _Path(loaded, encoded, words, text_encoder.mask_id if baseline == "mask" else text_encoder.pad_id)
    name, said = _KINDS[cls](loaded, text_encoder, encoded, path, answer)
    mean, deviation = config.get("bertkit_scale", (0.0, 1.0))  # of a checkpoint, whose numbers are scaled
    told = (lambda embeddings: mean + deviation * said(embeddings)) if "bertkit_scale" in config else said
    shares, outputs, steps, error = path.shared(integrated_gradients, told)
    named = [(text_encoder.decode(encoded.ids[begin:end]).strip(), sum(shares[begin:end])) for begin, end in words]
    hidden = (
        text_encoder.mask_token if baseline == "mask" else str(text_encoder.tokenizer.id_to_token(text_encoder.pad_id))
    )
    return Explanation(model, name, outputs[0], hidden, outputs[1], named, steps, error, cut)


def _check_texts(text: str, text_b: str | None) -> None:
    for name, given in (("text", text), ("text_b", "" if text_b is None else text_b)):
        if not isinstance(given, str):
            kind = type(given).__name__
            raise BertkitError(f"{name} must be a single text, not of type {kind}: explain texts one at a time")


def _check_count(model: str, wanted: int, text_b: str | None) -> None:
    """Raises a BertkitError if a classifier was trained on another number of texts a row than is given; 0 is unknown."""
    if wanted == 2 and text_b is None:
        raise BertkitError(f"{model} takes two texts, and one is given: give the second as well, as TEXT_B (text_b)")
    if wanted == 1 and text_b is not None:
        raise BertkitError(f"{model} takes one text, and two are given: leave the second, TEXT_B (text_b), out")


def _whole(model: str, folder: Path, text_encoder: TextEncoder, text: str, text_b: str | None) -> Encoding:
    """A text with a mask, which is read whole or not at all, as `bertkit mask-fill` does."""
    encoded, longest = text_encoder.encode(text, text_b), own_length(folder) or 512
    if len(encoded.ids) > longest:
        raise BertkitError(f"the text has {len(encoded.ids)} tokens, and {model} reads {longest} at most: shorten it")
    return encoded


def _as_predicted(
    model: str, folder: Path, text_encoder: TextEncoder, text: str, text_b: str | None
) -> tuple[Encoding, int]:
    """What a classifier reads of a text, as `bertkit predict` gives it: so the answer that is explained is that one.

    Beside it how many tokens were cut.
    """
    data = recipe_of(folder).data
    longest = min(data.max_seq_length, read_config(folder, model).get("max_position_embeddings", 512))
    encoded = text_encoder.encode(text, text_b)
    if len(encoded.ids) <= longest:
        return encoded, 0
    if data.overflow == "windows":
        raise BertkitError(
            f"the text has {len(encoded.ids)} tokens, and {model} answers from several windows of {longest} "
            "(data.overflow), which explain does not: shorten it"
        )
    lost = f"the text has {len(encoded.ids)} tokens, and {model} reads {longest}: the end is cut, as by bertkit predict"
    console.note(console.plain(lost))
    return text_encoder.encode(text, text_b, most=longest), len(encoded.ids) - longest


class _Path:
    """The line from the baseline to the text, between word embeddings ``[1, L, H]``, and the encoder that reads them."""

    def __init__(self, loaded: Any, text: Encoding, words: list[tuple[int, int]], hidden_id: int) -> None:
        import torch

        self._bert, device = loaded.bert, loaded.device
        self._types = torch.tensor([text.type_ids], device=device)
        hidden = list(text.ids)
        for begin, end in words:
            hidden[begin:end] = [hidden_id] * (end - begin)
        self.text, self.baseline = (
            self._bert.embeddings.word_embeddings(torch.tensor([ids], device=device)) for ids in (text.ids, hidden)
        )

    def read(self, embeddings: "torch.Tensor") -> Any:
        """The output of the encoder for word embeddings ``[N, L, H]``."""
        return self._bert(inputs_embeds=embeddings, token_type_ids=self._types.expand(len(embeddings), -1))

    def shared(
        self, integrated_gradients: Any, said: "Callable[[torch.Tensor], torch.Tensor]"
    ) -> tuple[list[float], tuple[float, float], int, float]:
        """Divides the change of an output among the tokens.

        Args:
            integrated_gradients: captum's class.
            said: returns the outputs ``[N]`` for word embeddings ``[N, L, H]``.

        Returns:
            The contribution of each token; the outputs for the text and the baseline; the number of points; the error.
        """
        of_text, of_baseline = self._outputs(said).tolist()
        difference = of_text - of_baseline
        steps = _FEWEST_STEPS
        while True:
            shares = self._gained(integrated_gradients, said, steps).tolist()
            error = sum(shares) - difference
            if abs(error) <= max(_ERROR * abs(difference), _LEAST) or steps >= _MOST_STEPS:
                return shares, (of_text, of_baseline), steps, error
            steps *= 2

    @finite
    def _outputs(self, said: "Callable[[torch.Tensor], torch.Tensor]") -> np.ndarray:
        """The outputs for the text and for the baseline, ``[2]``."""
        import torch

        with torch.inference_mode():
            return np.array([said(one).item() for one in (self.text, self.baseline)])

    @finite
    def _gained(
        self, integrated_gradients: Any, said: "Callable[[torch.Tensor], torch.Tensor]", steps: int
    ) -> np.ndarray:
        """The contribution of each token, ``[L]``, with so many points of the line."""
        gained = integrated_gradients(said).attribute(
            self.text,
            self.baseline,
            n_steps=steps,
            internal_batch_size=max(1, TOKENS_AT_ONCE["cpu"] // self.text.shape[1]),
        )
        shares: np.ndarray = gained.double().sum(dim=-1)[0].cpu().numpy()
        return shares


_Answer = tuple[str, "Callable[[torch.Tensor], torch.Tensor]"]


def _class(loaded: Any, text_encoder: TextEncoder, text: Encoding, path: _Path, answer: str | None) -> _Answer:  # noqa: ARG001
    """The class that is explained, and its probability; for a model that gives a number, "" and the number."""
    config = loaded.config

    def logits(embeddings: "torch.Tensor") -> "torch.Tensor":
        scores: torch.Tensor = loaded.classifier(path.read(embeddings).pooler_output)
        return scores

    def probabilities(embeddings: "torch.Tensor") -> "torch.Tensor":
        scores = logits(embeddings)
        return scores.sigmoid() if config.problem_type == "multi_label_classification" else scores.softmax(dim=-1)

    if config.problem_type == "regression" or (config.problem_type is None and config.num_labels == 1):
        if answer is not None:
            raise BertkitError("the model answers with a number: leave --answer out")
        return "", lambda embeddings: logits(embeddings)[:, 0]
    names = class_names(config.to_dict())
    answer = names[int(logits(path.text)[0].argmax())] if answer is None else answer
    if answer not in names:
        raise BertkitError(f"the model has no class '{answer}': it has {', '.join(names)}")
    return answer, lambda embeddings: probabilities(embeddings)[:, names.index(answer)]


def _word(loaded: Any, text_encoder: TextEncoder, text: Encoding, path: _Path, answer: str | None) -> _Answer:
    """The word that is explained, and its probability at the mask."""
    masks = [place for place, id_ in enumerate(text.ids) if id_ == text_encoder.mask_id]
    if len(masks) != 1:
        raise BertkitError(f"the text has {len(masks)} {MASK}: leave one, whose word is to be explained")

    def probabilities(embeddings: "torch.Tensor") -> "torch.Tensor":
        logits: torch.Tensor = loaded.cls(path.read(embeddings).last_hidden_state[:, masks[0]])
        return logits.softmax(dim=-1)

    if answer is None:
        best = int(probabilities(path.text)[0, : len(text_encoder.vocab)].argmax())
    else:
        ids = [text_encoder.vocab[answer]] if answer in text_encoder.vocab else text_encoder.spelt(answer)
        if len(ids) != 1 or ids[0] == text_encoder.vocab[text_encoder.unk_token]:
            raise BertkitError(f"'{answer}' is not one word piece of this model: name one that is")
        best = ids[0]
    return text_encoder.decode([best]), lambda embeddings: probabilities(embeddings)[:, best]


_KINDS = {"BertForSequenceClassification": _class, "BertForMaskedLM": _word}
