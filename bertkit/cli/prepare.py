"""``bertkit prepare``: prepares a corpus without training on it."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertkit import console
from bertkit.cli import options
from bertkit.errors import BertkitError
from bertkit.io.atomic import check_new_or_empty
from bertkit.settings.recipes import load

if TYPE_CHECKING:
    from bertkit.corpus.preparation import Engine
    from bertkit.corpus.store import CorpusStore

_OF_TEXT = ("data.column", "data.language", "data.deduplicate")
_READ = f"tokenizer.*, {', '.join(_OF_TEXT[:-1])} and {_OF_TEXT[-1]}"


def prepare(
    corpus: Annotated[
        list[str],
        typer.Argument(metavar="CORPUS", help="Files, folders, globs, URLs (s3://, hf://), - or a hub dataset."),
    ],
    out: Annotated[Path | None, options.out("an entry of the cache")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", help="A folder, vocab.txt or hub name.", show_default="word pieces learned from the corpus"
        ),
    ] = None,
    vocab_size: options.VocabSize = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Only part I of N (1/8 … 8/8); needs --tokenizer.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine", metavar="ray", help="Prepare parts (whole files) as tasks of Ray; RAY_ADDRESS names a cluster."
        ),
    ] = None,
    column: options.Column = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check all that is prepared already, for a text or in folders, for damage."),
    ] = False,
    sets: options.Set = None,
) -> None:
    """Turn text into token ids on disk, ready for `bertkit pretrain`."""
    from bertkit.corpus.store import open_verified
    from bertkit.models.tokenizer_loading import load_tokenizer
    from bertkit.pretraining.prepare import is_prepared, preparation_of, prepare_corpus
    from bertkit.pretraining.request import check_effect
    from bertkit.pretraining.text_notes import say_changes
    from bertkit.settings.schema import PretrainRecipe

    given = options.overrides(sets, vocab_size=vocab_size, column=column)
    resolved = load(PretrainRecipe, "pretrain", "tiny", given)
    recipe, typed = resolved.settings, {one.origin for one in given}
    if recipe.data.mix is not None:
        raise BertkitError("data.mix is of pretrain and inspect, which prepare each text: leave it out")
    for setting in (name for name, origin in resolved.origins.items() if origin in typed and not _is_read(name)):
        raise BertkitError(
            f"{setting} is of training, and prepare reads {_READ} alone: leave it out, and give it to pretrain"
        )
    if verify and is_prepared(corpus):
        made = {"--out": out, "--tokenizer": tokenizer, "--shard": shard, "--engine": engine}
        options.refuse("--verify of what is prepared", "text", made)
        for folder in corpus:
            _print_store(open_verified(Path(folder)))
        return
    check_effect(given, corpus, f"--tokenizer {tokenizer}" if tokenizer else "")
    with _engine(engine, shard) as engine_or_none:
        preparation = preparation_of(corpus, recipe, _parse_shard(shard, tokenizer), engine_or_none)
        if out is not None:
            check_new_or_empty(out)
        given_tokenizer = load_tokenizer(tokenizer) if tokenizer else None
        store, text = prepare_corpus(preparation, recipe.tokenizer, given_tokenizer, out, verify)
    say_changes(text)
    _print_store(store)


def _is_read(setting: str) -> bool:
    return setting.startswith("tokenizer.") or setting in _OF_TEXT


def _engine(name: str | None, shard: str | None) -> "AbstractContextManager[Engine | None]":
    if name is None:
        return nullcontext()
    if name != "ray":
        raise BertkitError(f"--engine must be ray, got '{name}'")
    if shard is not None:
        raise BertkitError("--engine cuts the corpus into parts by itself: leave out --shard")
    from bertkit.corpus.engine import ray_engine

    return ray_engine()


def _print_store(store: "CorpusStore") -> None:
    console.note(
        f"{console.counted(store.info.documents, 'document', 'documents')}, "
        f"{console.counted(store.info.sentences, 'sentence', 'sentences')}, {store.info.tokens:,} tokens, "
        f"{store.info.vocab_size:,} word pieces"
    )
    console.print_path(store.folder)


def _parse_shard(shard: str | None, tokenizer: str | None) -> tuple[int, int]:
    if shard is None:
        return 0, 1
    part, _, parts = shard.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise BertkitError(f"--shard must be I/N with I from 1 to N, such as 1/8, got '{shard}'")
    if tokenizer is None:
        raise BertkitError("--shard needs --tokenizer: all parts must be prepared with the same one")
    return int(part) - 1, int(parts)
