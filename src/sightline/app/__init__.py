"""Sightline for people: the command line. Parse, call, show; no maths."""
