"""The functions of ``import bertkit``: they take keywords and plain data, and are imported when they are first used."""

from bertkit import cores

cores.share_cores()
