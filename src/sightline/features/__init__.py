"""Feature visualization: canvases, transforms, the ascent; what layers hold and answer."""
