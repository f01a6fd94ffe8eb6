"""The adversarial game: losses, penalties, augmentations, and the objective around any two networks."""
