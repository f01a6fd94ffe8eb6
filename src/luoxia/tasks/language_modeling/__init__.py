"""Text from a prompt, a chat or a condition."""
