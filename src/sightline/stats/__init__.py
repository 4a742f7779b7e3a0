"""Figures about figures: running means and their standard errors."""
