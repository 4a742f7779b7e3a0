"""From heat to picture: figures, files and pages. No maths of methods."""
