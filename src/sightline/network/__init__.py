"""The borrowed network: the only room that registers hooks or touches modes, flags and weights."""
