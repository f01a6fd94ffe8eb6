"""Files → arrays → batches."""

from luoxia.data.batches import Order, holdout_split
from luoxia.data.cache import cache_folder
from luoxia.data.describe import Description, describe
from luoxia.data.files import Skipped
from luoxia.data.images import ImageDataset, ImageSpec, open_images

__all__ = [
    "Description",
    "ImageDataset",
    "ImageSpec",
    "Order",
    "Skipped",
    "cache_folder",
    "describe",
    "holdout_split",
    "open_images",
]
