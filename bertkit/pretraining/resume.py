"""Whether a resume of ``bertkit pretrain`` is the run that was begun."""

from pathlib import Path

from bertkit import console
from bertkit.console import listed
from bertkit.errors import BertkitError
from bertkit.pretraining.job import Setup
from bertkit.pretraining.request import ResolvedRequest, decided_already
from bertkit.pretraining.texts import Prepared
from bertkit.training import resume_checks
from bertkit.training.record import RunRecord


def check_asked(request: ResolvedRequest) -> None:
    """Refuses what can be told before anything is prepared: another kind of run, another base model, other options.

    Raises:
        BertkitError: the message names both.
    """
    out, asked = request.folder, request.asked
    resume_checks.check_same_kind(out, "pretrain")
    resume_checks.check_same_base(out, asked.model)
    resume_checks.check_same_given(out, asked.given)


def check_prepared(run: Setup) -> None:
    """Refuses other text, other settings, and other held-out text; says if the precision is another.

    Raises:
        BertkitError: the message names what differs.
    """
    request, out = run.request, run.request.folder
    _check_same_text(out, request, run.corpus)
    resume_checks.check_same_maths(out, run.recipe, run.corpus.fingerprint, decided_already(request.asked))
    _check_same_held_out(out, request.before, run.corpus)
    resume_checks.say_other_precision(out, run.accelerator.mixed_precision)


def say_finished(request: ResolvedRequest, record: RunRecord) -> None:
    """Says that there is nothing to resume. The texts are compared by their names: preparing them may take hours.

    Raises:
        BertkitError: the run that is finished has other settings than this one.
    """
    out = request.folder
    resume_checks.check_same_settings(out, request.recipe, decided_already(request.asked))
    console.note(console.plain(f"{out} is finished: nothing to resume"))
    texts = {"corpus": ("text", request.names), "validation": ("held-out text", request.validation_names)}
    for field, (what, now) in texts.items():
        if (began := record.facts.get(field, now)) != now:
            theirs, ours = (listed(names, 3) or "a share of the text" for names in (began, now))
            told = (
                f"it was made with other {what}: {theirs}, not {ours}, which is not read (--out names another folder)"
            )
            console.warn(console.plain(told))


def _check_same_text(out: Path, request: ResolvedRequest, corpus: Prepared) -> None:
    """Refuses a resume with text of other names and contents; ``resume_checks.check_same_maths`` does, if its names are the same.

    Raises:
        BertkitError: the message names both texts.
    """
    before, now = request.before, request.names
    if before.data_fingerprint not in ("", corpus.fingerprint) and before.corpus != now:
        raise BertkitError(
            f"cannot resume {out} with the text {listed(now, 3)}: it was begun with {listed(before.corpus, 3)}; give the same, "
            "or start anew with --overwrite"
        )


def _check_same_held_out(out: Path, before: RunRecord, corpus: Prepared) -> None:
    """Refuses a resume with other held-out text: what is trained on goes by it, and so do all figures.

    Raises:
        BertkitError: the message says what the run began with.
    """
    if before.validation_fingerprint is not None:
        given = f"--validation {listed(before.validation, 3)}" if before.validation else ""
        was = given or "a share of the text held out (no --validation)"
        is_same = before.validation_fingerprint == corpus.validation_fingerprint
    else:  # a run of before it was recorded
        was = f"{before.held_out_tokens:,} tokens held out, and these are {corpus.held_out_tokens:,}"
        is_same = before.facts.get("held_out_tokens", corpus.held_out_tokens) == corpus.held_out_tokens
    if not is_same:
        names = corpus.validation_names
        now = f"with --validation {listed(names, 3)}" if names else "without --validation"
        was += ", whose text was another" if names and names == before.validation else ""
        raise BertkitError(
            f"cannot resume {out} {now}: it was begun with {was}; give the same, or start anew with --overwrite"
        )
