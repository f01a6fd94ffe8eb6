"""Images of one kind into images of another, without pairs."""
