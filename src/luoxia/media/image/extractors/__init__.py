"""Networks that turn images into features: the protocol, and one module for each extractor."""

from luoxia.media.image.extractors.base import Extractor, open_extractor

__all__ = ["Extractor", "open_extractor"]
