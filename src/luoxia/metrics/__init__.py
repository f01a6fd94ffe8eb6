"""Scores of generated content, each with its signature."""
