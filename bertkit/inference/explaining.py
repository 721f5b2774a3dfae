"""Why this class, or this word at a mask: integrated gradients (Sundararajan et al. 2017), word by word, by captum.

The text's word embeddings are reached on a straight way from a baseline, the same text with every word hidden; what the
answer gains along it is shared among the words by its gradient. Special tokens stay, and get nothing. The shares add up to the
answer of the text less that of the baseline (completeness), but for the error of the integration, which comes with them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertkit.errors import BertkitError
from bertkit.extras import import_extra
from bertkit.inference.mask_filling.filler import MASK, check_text
from bertkit.models.bert import load_for
from bertkit.models.folder import bert_folder, read_config
from bertkit.models.headed import linear_class
from bertkit.runtime.text import Encoding, Pieces, any_pieces

if TYPE_CHECKING:
    import torch

BASELINES = ("mask", "pad")
# The integral is taken at so many places; at twice as many, until its error is below a hundredth of what is shared.
_FEWEST_STEPS, _MOST_STEPS, _ERROR = 50, 800, 0.01
# Of fp32: two answers are not told apart below it.
_LEAST = 1e-6
_TOKENS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Explanation:
    """What each word of a text adds to an answer.

    Attributes:
        answer: the class, the word at the mask, or "" where the answer is a number.
        output: of the text: the answer's probability, or the number.
        baseline: the token in every word's place that it is compared with.
        baseline_output: of that.
        words: with what each adds; together ``output`` less ``baseline_output``, but for ``error``.
        steps: places at which the integral was taken.
        error: sum of the words, less the difference of the outputs.
    """

    model: str
    answer: str
    output: float
    baseline: str
    baseline_output: float
    words: list[tuple[str, float]]
    steps: int
    error: float


def explain(
    model: str,
    text: str,
    text_b: str | None = None,
    answer: str | None = None,
    baseline: str = "mask",
    device: str | None = None,
) -> Explanation:
    """Shares an answer of a classifier, or of a masked-word head, among the words of a text.

    Args:
        model: a folder, a name on the hub, or "embedded".
        text: with one ``[MASK]`` where the model fills masks.
        text_b: the second text of a pair.
        answer: the class, or the word, to explain; None takes the model's own.
        baseline: what hides the words: "mask" or "pad".
        device: "cpu", "cuda", "cuda:1", "mps"; None or "auto" takes the best there is.

    Raises:
        BertkitError: captum is not installed; the model cannot be had, or answers something else; the text is too long,
            or has no word, or not one mask; it has no such answer.
    """
    if baseline not in BASELINES:
        raise BertkitError(f"--baseline must be mask or pad, got '{baseline}'")
    integrated_gradients = import_extra("captum.attr", "explain").IntegratedGradients
    folder = bert_folder(model)
    config = read_config(folder, model)
    cls = linear_class(config) or "BertForMaskedLM"
    if cls not in _KINDS:
        raise BertkitError(
            f"explain knows why a class or the word at a mask was chosen, and {model} is a {cls}: give a classifier of "
            "texts, or a pretrained model"
        )
    if cls == "BertForMaskedLM":
        check_text(text)
    pieces = any_pieces(folder, model)
    encoded = pieces.encode(text.replace(MASK, pieces.mask_token), text_b)
    longest = int(config.get("max_position_embeddings", 512))
    if len(encoded.ids) > longest:
        raise BertkitError(f"the text has {len(encoded.ids)} tokens, and {model} reads {longest} at most: shorten it")
    words = pieces.words(encoded)
    if not words:
        raise BertkitError("the text has no word to explain by: give a sentence")
    from bertkit.hardware import choose_device

    loaded: Any = load_for(cls, model)[0]
    loaded = loaded.to(device if device and ":" in device else choose_device(device)).eval().requires_grad_(False)
    path = _Path(loaded, encoded, words, pieces.mask_id if baseline == "mask" else pieces.pad_id)
    name, said = _KINDS[cls](loaded, pieces, encoded, path, answer)
    shares, outputs, steps, error = path.shared(integrated_gradients, said)
    named = [(pieces.decode(encoded.ids[begin:end]).strip(), sum(shares[begin:end])) for begin, end in words]
    hidden = pieces.mask_token if baseline == "mask" else str(pieces.tokenizer.id_to_token(pieces.pad_id))
    return Explanation(model, name, outputs[0], hidden, outputs[1], named, steps, error)


class _Path:
    """From the baseline to the text: word embeddings ``[1, L, H]`` each, and what the encoder makes of those between."""

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
        """What the encoder says of word embeddings ``[N, L, H]``."""
        return self._bert(inputs_embeds=embeddings, token_type_ids=self._types.expand(len(embeddings), -1))

    def shared(
        self, integrated_gradients: Any, said: "Callable[[torch.Tensor], torch.Tensor]"
    ) -> tuple[list[float], tuple[float, float], int, float]:
        """What each token adds, the outputs of text and baseline, the steps taken, and the error of their sum.

        Args:
            said: the output, ``[N]``, of word embeddings ``[N, L, H]``.
        """
        import torch

        with torch.inference_mode():
            outputs = said(self.text).item(), said(self.baseline).item()
        difference = outputs[0] - outputs[1]
        steps = _FEWEST_STEPS
        while True:
            gained = integrated_gradients(said).attribute(
                self.text,
                self.baseline,
                n_steps=steps,
                internal_batch_size=max(1, _TOKENS_AT_ONCE // self.text.shape[1]),
            )
            shares = gained.double().sum(dim=-1)[0].tolist()
            error = sum(shares) - difference
            if abs(error) <= max(_ERROR * abs(difference), _LEAST) or steps >= _MOST_STEPS:
                return shares, outputs, steps, error
            steps *= 2


_Answer = tuple[str, "Callable[[torch.Tensor], torch.Tensor]"]


def _class(loaded: Any, pieces: Pieces, text: Encoding, path: _Path, answer: str | None) -> _Answer:  # noqa: ARG001
    """The class that is explained, and its probability; or no name and the number."""
    config = loaded.config

    def logits(embeddings: "torch.Tensor") -> "torch.Tensor":
        scores: torch.Tensor = loaded.classifier(path.read(embeddings).pooler_output)
        return scores

    def probabilities(embeddings: "torch.Tensor") -> "torch.Tensor":
        scores = logits(embeddings)
        return scores.sigmoid() if config.problem_type == "multi_label_classification" else scores.softmax(dim=-1)

    if config.problem_type == "regression" or config.num_labels == 1:
        if answer is not None:
            raise BertkitError("the model answers with a number: leave --answer out")
        return "", lambda embeddings: logits(embeddings)[:, 0]
    names = {str(name): int(id_) for id_, name in config.id2label.items()}
    if answer is None:
        best = int(logits(path.text)[0].argmax())
        answer = next(name for name, id_ in names.items() if id_ == best)
    if answer not in names:
        raise BertkitError(f"the model has no class '{answer}': it has {', '.join(names)}")
    return answer, lambda embeddings: probabilities(embeddings)[:, names[answer]]


def _word(loaded: Any, pieces: Pieces, text: Encoding, path: _Path, answer: str | None) -> _Answer:
    """The word that is explained, and its probability at the mask."""
    masks = [place for place, id_ in enumerate(text.ids) if id_ == pieces.mask_id]
    if len(masks) != 1:
        raise BertkitError(f"the text has {len(masks)} {MASK}: leave one, whose word is to be explained")

    def probabilities(embeddings: "torch.Tensor") -> "torch.Tensor":
        logits: torch.Tensor = loaded.cls(path.read(embeddings).last_hidden_state[:, masks[0]])
        return logits.softmax(dim=-1)

    if answer is None:
        best = int(probabilities(path.text)[0, : len(pieces.vocab)].argmax())
    else:
        ids = [pieces.vocab[answer]] if answer in pieces.vocab else pieces.spelt(answer)
        if len(ids) != 1 or ids[0] == pieces.vocab[pieces.unk_token]:
            raise BertkitError(f"'{answer}' is not one word piece of this model: name one that is")
        best = ids[0]
    return pieces.decode([best]), lambda embeddings: probabilities(embeddings)[:, best]


_KINDS = {"BertForSequenceClassification": _class, "BertForMaskedLM": _word}
