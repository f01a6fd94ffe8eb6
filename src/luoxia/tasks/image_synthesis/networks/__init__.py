"""What turns conditions into vectors, and the networks that read them."""
