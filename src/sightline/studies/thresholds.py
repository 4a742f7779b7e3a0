"""What counts as much, as little and as enough in an audit, each with its reason."""

from __future__ import annotations

LOSS = 0.1
"""Of accuracy lost when the surroundings change. A tenth is what a user of the model notices, and much less cannot be
told from none with the 20 to 100 photos of a class that people have: of 30 photos that lose nothing the interval
reaches up to 0.08."""
REPLACED = 0.1
"""Of accuracy lost when another class's object takes the object's place. Below it the object hardly matters."""
FEWEST = 20
"""Photos of a class below which it is undecided whatever they say: one of them more or less moves a rate by 5 points
and more, and resampling so few tells little of what others would do."""
RISE = 0.1
"""Of probability, that object and surroundings bring together. A share of less than that is a share of noise."""
LEVEL = 0.95
"""Of the intervals of the classes that are called, all together (FCR)."""
SURE = 0.99
"""Of the intervals that end the sampling early, instead of LEVEL: they are looked at several times."""
STEADY = 0.3
"""Share of an expected loss's variance that its donors may cause, at most, where sampling ends early."""
