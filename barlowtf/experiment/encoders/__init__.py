"""Encoders as every later job takes them: opened from a run, a file, a SavedModel or nothing, and their features."""
