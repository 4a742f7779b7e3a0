"""Drawn scenes with the answer known, and the training of the embedded model on them."""
