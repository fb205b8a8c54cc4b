"""Exports: export.py reads top to bottom; formats.py holds what can be written."""
