"""One file for each kind of task; everything else knows only their interface (``base.py``)."""
