"""The loop, and what it stands on. Knows neither corpus nor tasks."""
