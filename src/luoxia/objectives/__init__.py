"""What a training step optimises: losses, penalties, and the phases that use them."""
