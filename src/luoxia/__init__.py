"""Luoxia: train, measure and sample generative models of your own files."""

__version__ = "0.1.0"
