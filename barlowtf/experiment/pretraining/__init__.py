"""Pre-training: run.py reads top to bottom; parts.py makes each part of a run from its section of the recipe."""
