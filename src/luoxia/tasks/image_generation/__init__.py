"""Images from nothing or from a class: the GANs."""
