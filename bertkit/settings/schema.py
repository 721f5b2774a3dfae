"""Every setting there is, with its unit. The names are those of BertConfig and TrainingArguments where one exists."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1_000)]  # far above any use, far below what overflows fp32
MOST_STEPS = 10**8
"""Of a run: a hundred times as many as the paper's. With more, figures such as the time of its end overflow."""
WIDTH_OF_RECIPES = 768
"""The width of a model that the learning rates of the recipes are for: BERT-base's."""
Phase = tuple[Annotated[float, Field(gt=0, le=1)], Annotated[int, Field(ge=8)]]


class Settings(BaseModel):
    """A table of a recipe: unknown keys are refused, and a table never changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class ModelSettings(Settings):
    """The size of a new BERT, by the names of ``transformers.BertConfig``. If a run continues from a model, only
    max_position_embeddings can be changed, upwards."""

    num_hidden_layers: Positive = 12
    """Transformer layers."""
    hidden_size: Positive = 768
    """Width of the states between the layers."""
    num_attention_heads: Positive = 12
    """Attention heads a layer; they share the width equally."""
    intermediate_size: Positive = 3072
    """Width of the feed-forward part of a layer; four times hidden_size in every BERT."""
    max_position_embeddings: Annotated[int, Field(ge=8)] = 512
    """Longest sequence the model can ever read, in tokens."""
    hidden_dropout_prob: Probability = 0.1
    """Share of the hidden states dropped in training."""
    attention_probs_dropout_prob: Probability = 0.1
    """Share of the attention weights dropped in training."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ModelSettings":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads {self.num_attention_heads}"
            )
        return self


class TokenizerSettings(Settings):
    """The WordPiece vocabulary to train when no tokenizer is given."""

    vocab_size: Annotated[int, Field(ge=16)] | None = None
    """Number of word pieces, special tokens included. If not given, chosen by the size of the corpus."""
    lowercase: bool = True
    """Lower-case the text, in any script."""
    strip_accents: bool = False
    """Take away accents, vowel signs and all other marks, as the uncased BERTs do: damages most scripts but Latin."""


class MixedText(Settings):
    """One text of a mix."""

    source: str
    """A file, folder, glob, URL, prepared folder or hub dataset."""
    weight: float
    """The text's share of the examples, in any unit."""

    @model_validator(mode="after")
    def _above_nothing(self) -> "MixedText":
        if not 0 < self.weight <= 1e18:
            raise ValueError(
                f"the weight of {self.source} in mix must be above 0 and at most 1e18, got {self.weight:g}"
            )
        return self


class DataSettings(Settings):
    """How text becomes examples (Devlin et al. 2018, 3.1 and A.1)."""

    mix: Annotated[
        Annotated[tuple[MixedText, ...], Field(min_length=1)] | None,
        Field(examples=['{source = "wiki/", weight = 80}']),
    ] = None
    """Several texts instead of CORPUS: tables ``[[data.mix]]`` with ``source``, anything that CORPUS may be, and ``weight``, the
    text's share of the examples in any unit. Epochs count passes over the first text. A table whose column has another name
    than that of the others is prepared first (``bertkit prepare``)."""
    max_seq_length: Annotated[int, Field(ge=8)] | tuple[Phase, ...] = 128
    """Tokens a sequence, special tokens included; or phases [[share of the steps, tokens], …]."""
    short_seq_prob: Probability = 0.1
    """Share of the examples with a random shorter length."""
    mlm_probability: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Share of the tokens to predict."""
    mask_replace_prob: Probability = 0.8
    """Share of the predicted tokens shown as [MASK]."""
    random_replace_prob: Probability = 0.1
    """Share of the predicted tokens shown as a random token; the rest is shown as it is."""
    whole_word_mask: bool = False
    """Choose whole words; the way a piece is shown is still drawn for each piece."""
    static_masking: bool = False
    """The same pairs and masks in every epoch."""
    sentence_objective: Literal["nsp", "sop", "none"] = "nsp"
    """Next-sentence prediction, sentence order (ALBERT), or none."""
    validation_split: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of the tokens held out if no validation files are given; 0 holds out none. Of a small text more is held out: about
    3,200 tokens, but no more than about a tenth of the text."""
    max_eval_examples: Positive = 2_000
    """At most so many held-out examples are evaluated."""
    deduplicate: Literal["lines", "documents", "near-duplicates"] | None = None
    """Lines, or whole documents, that are left out if equal ones have occurred before in the same text, or documents that
    are nearly an earlier one: 0.8 of their runs of five words are the same (extra `near`). If not given, all are kept."""
    column: str = "text"
    """Field of .jsonl, .csv, .tsv, .parquet and hub datasets that holds the text."""
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z]+)*$", examples=["en", "de", "pt-br"])] = "en"
    """Language whose abbreviations do not end a sentence, as en or de. If sentencex has no rules for it, the English ones are
    used, and a line says so."""

    @model_validator(mode="after")
    def _consistent(self) -> "DataSettings":
        if self.mask_replace_prob + self.random_replace_prob > 1 + 1e-9:
            raise ValueError("mask_replace_prob + random_replace_prob must be at most 1")
        if abs(sum(share for share, _ in self.phases) - 1) > 1e-6:
            raise ValueError("the shares of max_seq_length must add up to 1")
        return self

    @property
    def phases(self) -> tuple[tuple[float, int], ...]:
        """``max_seq_length`` as phases of (share of the steps, tokens)."""
        return ((1.0, self.max_seq_length),) if isinstance(self.max_seq_length, int) else self.max_seq_length


class TrainSettings(Settings):
    """The loop, by the names of ``transformers.TrainingArguments`` where it has one."""

    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    """Sequences per optimizer step, over all devices together."""
    micro_batch_size: Positive | None = None
    """Sequences that a device computes at a time: fewer take less memory. Another number rounds differently, and draws other
    dropout. If not given, bertkit chooses it."""
    max_steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    """Optimizer steps of the whole run."""
    epochs: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Passes over the data, instead of ``max_steps``."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """"muon" trains the matrices of the layers by Muon (momentum made orthogonal) and all else by AdamW."""
    learning_rate: Rate = 1e-4
    """Peak of the schedule; with Adam, about how far a weight moves in a step."""
    warmup: Annotated[float, Field(ge=0)] = 0.01
    """Below 1: share of all steps; else steps."""
    lr_scheduler_type: Literal["linear", "cosine", "constant", "trapezoid"] = "linear"
    """What follows the warm-up: down to 0 linearly or as a cosine, level, or level and down in the last fifth."""
    weight_decay: Annotated[float, Field(ge=0, le=1_000)] = 0.01
    """Share of each weight that a step takes off, times its learning rate; not of biases and LayerNorm weights."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the mean gradient that a step keeps from those before it."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Share of the mean squared gradient that a step keeps: 0.999 remembers about 1,000 steps, 0.98 about 50."""
    adam_epsilon: Annotated[float, Field(gt=0, le=1_000)] = 1e-6
    """Added to the root of the mean squared gradient, which divides the step."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    """Gradients are scaled down to this norm; 0 leaves them as they are."""
    skip_nonfinite_steps: bool = False
    """A step whose gradient is not finite is skipped and counted; else it ends the run."""
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """"auto" is bf16 where the hardware computes it natively, and on a CPU faster than fp32, else "no" (fp32)."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more work."""
    torch_compile: bool = False
    """Compile the model with torch.compile: faster steps after a minute or two, for long runs."""
    deterministic: bool = False
    """Only deterministic algorithms of torch (slower on a GPU; a CPU is deterministic as it is)."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Of everything random: new weights, examples, masks, dropout, what is held out."""
    logging_steps: Positive = 50
    """Steps between two lines of metrics.jsonl."""
    eval_steps: Annotated[int, Field(ge=0)] = 1_000
    """Steps between two evaluations; 0 evaluates at the end only. One evaluation always ends the run."""
    save_steps: Positive = 1_000
    """Steps between two checkpoints."""
    save_total_limit: Positive = 3
    """Checkpoints kept; the oldest go first."""
    num_workers: Annotated[int, Field(ge=0)] | None = None
    """Processes per device that prepare batches ahead. If not given, two for a GPU, and 0 if a CPU does all."""
    report_to: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...] = ()
    """Trackers to log to besides metrics.jsonl, through Accelerate."""

    @model_validator(mode="after")
    def _one_length(self) -> "TrainSettings":
        if self.max_steps is not None and self.epochs is not None:
            raise ValueError("give max_steps or epochs, not both")
        return self


class PretrainRecipe(Settings):
    """All of a pretraining run but its text."""

    model: ModelSettings = ModelSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()

    @model_validator(mode="after")
    def _positions_suffice(self) -> "PretrainRecipe":
        longest = max(tokens for _, tokens in self.data.phases)
        if longest > self.model.max_position_embeddings:
            raise ValueError(
                f"data.max_seq_length {longest} is over model.max_position_embeddings "
                f"{self.model.max_position_embeddings}"
            )
        return self


class GlueTsv(Settings):
    """Where a task's columns lie in GLUE's original TSVs (quoting off)."""

    folder: str
    """Folder inside ``--data DIR``, as GLUE's download unpacks: "SST-2", "MRPC", …"""
    header: bool = True
    """Whether the first line of train and dev files holds column names."""
    text: tuple[int, ...]
    """0-based columns of the text, or of the two texts, in train and dev files."""
    label: int
    """0-based column of the label."""
    test_text: tuple[int, ...]
    """The same in the test file, which has no label."""
    test_header: bool = True
    """The same of the test file."""
    files: dict[str, str] = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
    """Split → file."""


class TaskSettings(Settings):
    """A labelled data set and what is to be learned of it."""

    dataset: str | None = None
    """Name of the dataset on the hub; not given if the rows are files of your own."""
    subset: str | None = None
    """Configuration of the hub dataset, as "sst2" of nyu-mll/glue."""
    text: tuple[str, ...] = ()
    """One column, or two for pairs of texts. If not given, recognised from the rows."""
    label: tuple[str, ...] = ()
    """One column, or several 0/1 columns for multi-label data. If not given, recognised from the rows."""
    labels: tuple[str, ...] = ()
    """Names of the classes by id. If not given, taken from the data."""
    head: str | None = None
    """Kind of task, by its name in finetuning.heads.registry. If not given, recognised from the data."""
    columns: dict[str, str] | None = None
    """Columns of what a head reads besides ``text`` and ``label``, by role: ``{question = "ask"}``."""
    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] | None = None
    """As ``transformers.PretrainedConfig.problem_type``. If not given, recognised from the data."""
    metrics: tuple[str, ...] = ()
    """Names in finetuning.metrics; the first is the headline, by which the best epoch is kept. If not given, those
    that suit the data."""
    train_split: str = "train"
    """Empty where there are no training rows."""
    validation_splits: tuple[str, ...] = ("validation",)
    """The first one chooses the best epoch; all of them are reported."""
    test_splits: tuple[str, ...] = ("test",)
    """Splits without labels, which `predict --task` answers."""
    submission: tuple[str, ...] = ()
    """File names of GLUE's leaderboard, one a test split."""
    submission_labels: tuple[str, ...] = ()
    """How the classes are written there, by id. If not given, ids (or numbers, for regression)."""
    tsv: GlueTsv | None = None
    """Where the columns lie in GLUE's original TSVs; only for tasks of GLUE."""

    @model_validator(mode="after")
    def _each_class_once(self) -> "TaskSettings":
        twice = next((name for name in self.labels if self.labels.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"labels names the class '{twice}' more than once")
        return self


class FinetuneModelSettings(Settings):
    """What is changed about the model that is fine-tuned."""

    max_position_embeddings: Annotated[int, Field(ge=8)] | None = None
    """Longest input that the model can ever read, in tokens; positions that the model lacks start as copies of those that it
    has. If not given, it keeps its own."""


class FinetuneDataSettings(Settings):
    """How labelled texts become batches."""

    max_seq_length: Annotated[int, Field(ge=4)] = 128
    """Longest input in tokens, special tokens included; what is longer is cut, the longer of a pair first."""
    overflow: Literal["truncate", "windows"] | None = None
    """Rows that are longer: "truncate" keeps their beginning, "windows" reads all in windows that overlap. If not
    given, "windows" for tags and answers, and "truncate" for other tasks."""
    stride: Annotated[int, Field(ge=0)] | None = None
    """Tokens that two windows share. If not given, a quarter of ``max_seq_length``."""
    validation_split: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the training rows held out, where no validation file is given."""
    layers: Literal["last", "sum-last-4", "concat-last-4", "weighted"] = "last"
    """Layers of a frozen encoder that are read: the last, the sum of the last four, these side by side, or all of them by
    shares that are learned."""


class FinetuneTrainSettings(TrainSettings):
    """The loop, with the defaults of the paper's fine-tuning (Devlin et al. 2018, A.3)."""

    batch_size: Positive = 32
    learning_rate: Rate = 3e-5
    warmup: Annotated[float, Field(ge=0)] = 0.1
    dropout: Probability | None = None
    """Of hidden states, attention and classifier alike. If not given, the model keeps its own."""
    from_scratch: bool = False
    """Random weights in place of the pretrained ones: the control that shows what pretraining bought."""
    encoder: Literal["trained", "frozen"] = "trained"
    """"frozen" leaves embeddings and layers as they are, with their dropout off: pooler and head alone are trained."""
    classifier: Literal["linear", "bilstm"] = "linear"
    """What reads a frozen encoder: a linear layer, or two layers of a BiLSTM, each direction as wide as the encoder, and then
    the linear one."""
    frozen_layers: Annotated[int, Field(ge=0)] | None = None
    """The embeddings and so many of the lowest layers stay as they are, with their dropout off; 0 is the embeddings alone."""
    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """What the learning rate is multiplied by, once a layer from the top down to the embeddings; 1 is the same for all."""
    early_stopping_patience: Positive | None = None
    """Evaluations without a better headline metric after which a run ends."""
    calibrate: bool = False
    """Fit one temperature on the first validation split at the end, and divide the last layer by it: of the answers given
    with 80 %, about 80 % are then right. The classes stay the same where each row is read at once."""
    class_weights: Literal["none", "balanced"] = "none"
    """"balanced" weighs each class by the inverse of its share of the training rows."""
    eval_steps: Annotated[int, Field(ge=0)] = 0
    """0 evaluates after every epoch."""

    @model_validator(mode="after")
    def _frozen_once(self) -> "FinetuneTrainSettings":
        if self.encoder == "frozen" and self.frozen_layers is not None:
            raise ValueError('encoder = "frozen" leaves all layers as they are: leave frozen_layers out')
        if self.encoder == "frozen" and self.layerwise_lr_decay != 1:
            raise ValueError('layerwise_lr_decay is of layers that are trained: leave it out with encoder = "frozen"')
        return self


class FinetuneRecipe(Settings):
    """All of a fine-tuning run but its model."""

    task: TaskSettings = TaskSettings()
    model: FinetuneModelSettings = FinetuneModelSettings()
    data: FinetuneDataSettings = FinetuneDataSettings()
    train: FinetuneTrainSettings = FinetuneTrainSettings()

    @model_validator(mode="after")
    def _features_are_frozen(self) -> "FinetuneRecipe":
        if self.reads_features and self.train.encoder != "frozen":
            raise ValueError("data.layers and train.classifier read a frozen encoder: add --set train.encoder=frozen")
        return self

    @property
    def reads_features(self) -> bool:
        """Whether the encoder is read otherwise than by a linear layer on its last layer."""
        return (self.data.layers, self.train.classifier) != ("last", "linear")
