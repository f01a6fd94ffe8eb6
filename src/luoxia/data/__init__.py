"""Files → arrays → batches."""
