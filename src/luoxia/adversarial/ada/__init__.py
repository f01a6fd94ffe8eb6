"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676)."""

from luoxia.adversarial.ada.adaptive import Ada

__all__ = ["Ada"]
