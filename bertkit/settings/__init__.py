"""Typed settings and the recipe files (TOML) that hold them."""
