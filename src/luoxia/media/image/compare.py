"""Images against images, whatever made them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.media.image.extractors.base import open_extractor
from luoxia.media.image.images import ImageDataset, open_images
from luoxia.media.image.keys import CompareSettings
from luoxia.media.image.reference import Reference
from luoxia.media.image.scores import ImageMeasurement, measure_samples
from luoxia.training.hardware import choose_device


def compare(data: Any, against: Any, chosen: CompareSettings) -> ImageMeasurement:
    """Scores of images against others: paths, arrays or data sets. Labels are those of ``against``."""
    known = open_images(against) if isinstance(against, str) else against
    reference = known.images if isinstance(known, ImageDataset) else _checked(known, "against")
    labels, classes, fingerprint = (
        (known.labels, known.classes, known.fingerprint)
        if isinstance(known, ImageDataset)
        else (None, (), None)
    )
    height, width, channels = reference.shape[1:]
    if isinstance(data, str):
        data = open_images(data, (height, width), channels=channels)
    measured = data.images if isinstance(data, ImageDataset) else _checked(data, "data")
    opened = open_extractor(
        chosen.extractor, reference, labels, fingerprint=fingerprint, device=choose_device(chosen.device)
    )
    real = Reference(
        reference, extractor=opened, labels=labels, classes=classes, seed=chosen.seed, limit=chosen.n
    )
    return measure_samples(real, measured)


def _checked(images: Any, key: str) -> NDArray[np.uint8]:
    """Images as the metrics take them; ``UsageError`` for other arrays."""
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or not 1 <= array.shape[3] <= 4 or len(array) < 2:
        raise UsageError(
            f"{key}= is {array.dtype} {array.shape}: give a path, or two images or more as uint8 "
            "(n, height, width, 1 to 4 channels)"
        )
    return array
