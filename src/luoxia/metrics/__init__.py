"""Scores of generated content, each with its signature.

Import the submodules for the work itself; this module imports neither torch nor numpy.
"""

from luoxia.metrics.score import Score

__all__ = ["Score"]
