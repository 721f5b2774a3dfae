"""Labelled rows: read from files, looked at, and told apart."""
