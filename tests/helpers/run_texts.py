"""Parts of split corpora, of documents of several shapes."""

from bertkit.pretraining.split import split_documents
from bertkit.pretraining.texts import RunText
from bertkit.settings.schema import DataSettings
from helpers.stores import random_documents, write_store


def text_of(folder, documents, share=0.0):
    store = write_store(folder, documents)
    return RunText(store, split_documents(store, share, 1)[0])


def sentences(*lengths):
    """A document of sentences of so many tokens."""
    return [[7] * length for length in lengths]


def data_of(objective, length=24):
    return DataSettings(max_seq_length=length, sentence_objective=objective, short_seq_prob=0.0)


SHAPES = {
    "rows": [sentences(9)] * 20,
    "short documents": [sentences(3, 4), sentences(5, 2), sentences(1, 6), sentences(7, 1)],
    "rows and short documents": [sentences(3, 3), sentences(2, 4), *[sentences(11)] * 5],
    "long documents": random_documents(12),
    "a long row among short ones": [sentences(40), *[sentences(2, 3)] * 9],
    "one short document": [sentences(4, 4, 4, 4)],
    "one long document": [sentences(*[4, 5, 6] * 20)],
}
