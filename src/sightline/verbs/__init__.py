"""The verbs behind `import sightline` and the results that they give."""
