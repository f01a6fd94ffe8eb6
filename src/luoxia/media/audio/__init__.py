"""Sound files: reading, converting, batches, spectrograms, comparing."""
