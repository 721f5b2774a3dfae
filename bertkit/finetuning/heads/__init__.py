"""What differs between tasks, a file a kind of task; all else knows only the seam (``base.py``)."""
