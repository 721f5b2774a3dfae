import hashlib
import lzma
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    name: str
    path: Path | None = None
    hub: tuple | None = None
def find_sources(inputs):
    return [Source(i, Path(i)) for i in inputs]
def fingerprint(sources, column):
    h=hashlib.blake2b(digest_size=16)
    for s in sources: h.update(s.path.read_bytes())
    return h.hexdigest()
def read_paragraphs(source, column, report):
    o = lzma.open if source.path.suffix=='.xz' else open
    blank=True
    for l in o(source.path,'rt',encoding='utf-8'):
        l=l.strip()
        if l: yield l; blank=False
        elif not blank: yield None; blank=True
    if not blank: yield None
