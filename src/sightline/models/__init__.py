"""Where models come from, what they know about their photos, and what they predict."""
