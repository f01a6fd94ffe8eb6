"""Containers: arrays and texts with a label in, one file out, and back. The only place that encodes generated files."""
