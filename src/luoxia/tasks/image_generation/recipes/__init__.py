"""The published ways to train an image generator."""
