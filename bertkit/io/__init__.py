"""Files in every form and compression, atomic writes, locks, the hub."""
