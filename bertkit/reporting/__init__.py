"""What people look at: the report of runs, its plots, and the attention of a text, each as one self-contained page."""
