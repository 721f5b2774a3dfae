"""Files in every format and compression, atomic writes, locks, the hub."""
