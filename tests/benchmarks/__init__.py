"""How fast bertkit is beside what a person would use instead, on the same data, model and precision."""
