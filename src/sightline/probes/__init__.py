"""What happens if a photo is changed: edits, controls, shares, minimal evidence, sweeps of one photo."""
