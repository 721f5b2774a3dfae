"""What ``import bertkit`` offers: each function takes keywords and plain data, and is imported when it is first used."""

from bertkit import cores

cores.share_cores()
