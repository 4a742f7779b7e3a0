"""Photos: from a file or an array to upright pixels, to a network's input, and a map's way back."""
