"""Evaluation: evaluate.py goes over what was asked for, recording.py makes and keeps one measurement."""
