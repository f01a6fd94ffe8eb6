"""Scores of a codec on images that it has not been trained on, each beside what a simpler codec reaches."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.order import spread
from luoxia.media.image.extractors.base import Extractor
from luoxia.metrics.frechet import Gaussian, frechet_distance, frechet_interval
from luoxia.metrics.intervals import Estimate, mean
from luoxia.metrics.reconstruction import PrincipalCodec, bits_of, nearest_rows, psnr
from luoxia.metrics.score import HIGHER, LOWER, Score
from luoxia.metrics.tokens import book_use, perplexity, uniform_perplexity, uniform_use
from luoxia.nn.autoencoder import perturbed
from luoxia.tasks.image_codec.model import ImageCodec

Images = NDArray[np.uint8]
Indices = NDArray[np.int64]
VERSION = 1
"""Raise it whenever a score's value would change."""
SEARCHED = 2**26
"""Numbers in the training images that are searched for the nearest, at most."""
COMPONENTS = 3000
"""Training images whose principal components are taken, at most."""
PERTURBED = 0.25
"""Share of the tokens that become near ones before pFD."""
MEANINGS = {
    "PSNR": HIGHER("Likeness of held-out images to what they become, in decibels."),
    "rFD": LOWER("Distance between the feature statistics of held-out images and of what they become."),
    "pFD": LOWER(
        "The same after a quarter of the tokens have become near ones, as a generator's errors are."
    ),
    "PSNR over nearest": HIGHER(
        "Decibels above answering with the nearest training image: what is decoded is more than remembered."
    ),
    "book use": HIGHER("Share of the codes that occur in the tokens of held-out images."),
    "perplexity": HIGHER("So many codes, equally used, would be as varied as the tokens are."),
}


class CodecScores:
    """The originals' side: ``unseen`` images, and what simple codecs that know the ``train`` images make of them.

    Both are images (n, h, w, c), which may be memory-mapped, and the rows of those that count. Without an ``extractor``
    there is no rFD and no pFD. ``most``: images that are scored, at most.
    """

    def __init__(
        self,
        train: tuple[Images, Indices],
        unseen: tuple[Images, Indices],
        *,
        extractor: Extractor | None,
        seed: int,
        most: int,
    ) -> None:
        images, rows = unseen
        self.images: Images = np.asarray(images[spread(rows, most)])
        self.extractor, self.seed = extractor, seed
        images, rows = train
        self.train: Images = np.asarray(images[spread(rows, max(2, SEARCHED // self.images[0].size))])
        self.digest = hashlib.sha256(str(self.images.shape).encode() + self.images.tobytes()).hexdigest()[:16]

    def of(self, codec: ImageCodec) -> list[Score]:
        """All scores of a codec, in the order of their headings."""
        made = codec.reconstruct(self.images)
        scores = [self._likeness(codec, made)]
        tokens = codec.encode(self.images) if codec.vocabulary else None
        if self.extractor is not None:
            scores.append(self._distance("rFD", "authenticity", made, {}))
            if tokens is not None:
                noisy = codec.decode(self._perturbed(codec, tokens), self.images.shape[1:3])
                scores.append(self._distance("pFD", "plausibility", noisy, {"perturbed": PERTURBED}))
        gain = mean(psnr(made, self.images) - self._nearest)
        scores.append(
            self._score(
                "PSNR over nearest", "creativity", gain, 0.0, {"reference": "the nearest training image"}
            )
        )
        return scores + (
            [] if tokens is None else book_scores(tokens.numpy(), codec, self._signed({}), self.seed)
        )

    def _likeness(self, codec: ImageCodec, made: Images) -> Score:
        rows, columns = codec.grid(*self.images.shape[1:3])
        bits = bits_of(rows * columns * codec.codebooks, codec.vocabulary)
        reference = self._principal(bits) if bits else None
        settings = {"bits": bits, "reference": "as many bits of principal components"} if bits else {}
        return self._score("PSNR", "authenticity", mean(psnr(made, self.images)), reference, settings)

    def _principal(self, bits: int) -> float:
        """Decibels of principal components with as many bits."""
        some = self.train[spread(np.arange(len(self.train)), COMPONENTS)]
        made = np.clip(np.rint(PrincipalCodec(some, bits)(self.images)), 0, 255)
        return float(psnr(made, self.images).mean())

    @cached_property
    def _nearest(self) -> NDArray[np.float64]:
        """Decibels of the nearest training image, for each image."""
        flat = self.images.reshape(len(self.images), -1)
        return psnr(nearest_rows(self.train.reshape(len(self.train), -1), flat), flat)

    @cached_property
    def _real(self) -> tuple[Gaussian, float | None]:
        """The originals' statistics, and the distance between two halves of them, scaled as in ``Reference``."""
        assert self.extractor is not None
        features = self.extractor.features(self.images)
        half = len(features) // 2
        if half < 2:
            return Gaussian.fit(features), None
        rows = np.random.default_rng(self.seed).permutation(len(features))
        one, other = (Gaussian.fit(features[part]) for part in (rows[:half], rows[half:]))
        return Gaussian.fit(features), frechet_distance(one, other) / 2

    def _distance(self, name: str, heading: str, made: Images, settings: Mapping[str, Any]) -> Score:
        assert self.extractor is not None
        features = self.extractor.features(made)
        real, floor = self._real
        few = {"caveat": "fewer images than features"} if len(features) <= features.shape[1] else {}
        signed = {**self.extractor.signature, "reference": "one half of the images against the other"}
        return self._score(
            name, heading, frechet_interval(features, real), floor, {**signed, **settings, **few}
        )

    def _perturbed(self, codec: ImageCodec, tokens: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        quantizer = codec.network.quantizer
        share = torch.full((len(tokens),), PERTURBED)
        device = codec.device
        if device.type != "cpu":
            generator = torch.Generator(device).manual_seed(self.seed)
        return perturbed(quantizer, tokens.to(device), share.to(device), generator).cpu()

    def _signed(self, settings: Mapping[str, Any]) -> dict[str, str | int | float]:
        return {
            "images": len(self.images),
            "real": self.digest,
            "seed": self.seed,
            "version": VERSION,
            **settings,
        }

    def _score(
        self,
        name: str,
        heading: str,
        estimate: Estimate,
        reference: float | None,
        settings: Mapping[str, Any],
    ) -> Score:
        return Score(name, *estimate, reference, heading, self._signed(settings), *MEANINGS[name])


def book_scores(
    tokens: NDArray[Any], codec: ImageCodec, signature: Mapping[str, Any], seed: int
) -> list[Score]:
    """How the book is used, beside as many uniform draws."""
    vocabulary, count = codec.vocabulary, tokens.size
    settings = {**signature, "tokens": count, "codes": vocabulary, "reference": "as many uniform draws"}
    values = {
        "book use": (book_use(tokens, vocabulary), uniform_use(count, vocabulary)),
        "perplexity": (perplexity(tokens, vocabulary), uniform_perplexity(count, vocabulary, seed)),
    }
    return [
        Score(name, value, None, None, reference, "creativity", settings, *MEANINGS[name])
        for name, (value, reference) in values.items()
    ]


def quick_scores(codec: ImageCodec, images: Images) -> tuple[list[Score], float]:
    """PSNR and book use in about a second, and the mean root of the squared error, which falls as PSNR rises."""
    made = codec.reconstruct(images)
    likeness = psnr(made, images)
    signature: dict[str, Any] = {"images": len(images), "version": VERSION}
    scores = [Score("PSNR", *mean(likeness), None, "authenticity", signature, *MEANINGS["PSNR"])]
    if codec.vocabulary:
        scores += book_scores(codec.encode(images).numpy(), codec, signature, 0)
    return scores, float((255 * 10 ** (-likeness / 20)).mean())
