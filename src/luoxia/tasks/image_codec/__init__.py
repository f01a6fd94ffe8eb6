"""Images into tokens on a grid, and back."""
