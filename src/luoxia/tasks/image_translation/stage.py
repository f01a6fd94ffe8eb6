"""Training on two sides of images: translations of the same held-out images, scores against the other side's."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.names import many
from luoxia.core.order import holdout_split, spread
from luoxia.media.image.batches import CropBatches
from luoxia.media.image.images import ImageDataset
from luoxia.media.image.meanings import CYCLE_ERROR
from luoxia.media.image.reference import Reference
from luoxia.media.image.scores import ImageMeasurement, measure_samples
from luoxia.media.image.writer import write_grid
from luoxia.metrics.intervals import mean
from luoxia.metrics.score import Score
from luoxia.tasks.image_translation.model import ImageTranslator
from luoxia.tasks.image_translation.networks.cyclegan import ModuleGroup, Translators
from luoxia.tasks.image_translation.objective import UnpairedBatch
from luoxia.tasks.image_translation.recipes import UnpairedRecipe
from luoxia.tasks.shared.image_stage import ImageStage, Indices, Real, make_reference, write_neighbor_grid
from luoxia.training.objective import Phase, Rng, hashed

ROWS = 8
"""Images of each side in a sample grid: always the same."""
OBSERVED = 4
"""Images of each side for the objective's ``observe``, which is outside mixed precision."""
Images = NDArray[np.uint8]


class UnpairedStage(ImageStage):
    """The training of a translator of images."""

    network: ClassVar[str] = "generators"
    recipe: UnpairedRecipe

    def prepare(self) -> None:
        """Hold some images of each side back, and serve the rest in batches."""
        recipe, dataset = self.recipe, self.data
        self.splits = {side: split(getattr(dataset, side), recipe) for side in "ab"}
        self.batches = {
            side: CropBatches(
                getattr(dataset, side), train, recipe.batch, hashed(recipe.seed, side), self.world,
                size=(dataset.spec.height, dataset.spec.width), mirror=recipe.mirror,
            )
            for side, (train, _) in self.splits.items()
        }  # fmt: skip

    def batch(self, phase: Phase, index: int) -> UnpairedBatch:
        """Real images of each side, drawn apart."""
        return UnpairedBatch(*(self.batches[side](phase, index).samples for side in "ab"))

    def observe(self, rng: Rng) -> tuple[UnpairedBatch, UnpairedBatch | None]:
        """Some images of either kind."""
        train, heldout = (self._pick(kind, rng) for kind in (0, 1))
        assert train is not None
        return train, heldout

    def _pick(self, kind: int, rng: Rng) -> UnpairedBatch | None:
        rows = {side: splits[kind] for side, splits in self.splits.items()}
        if any(len(chosen) == 0 for chosen in rows.values()):
            return None
        sides = []
        for side, indices in rows.items():
            drawn = rng.integers(0, len(indices), min(len(indices), OBSERVED)).cpu().numpy()
            sides.append(self.batches[side].gather(indices[drawn]).samples)
        return UnpairedBatch(*sides)

    # ------------------------------------------------------------------ samples and scores

    def model(self) -> ImageTranslator:
        """What is sampled and measured, in the precision of training."""
        return ImageTranslator(
            copy.deepcopy(self.exported()),
            channels=self.data.spec.channels,
            details=self.context.details(),
            device=self.world.device,
            dtype=self.context.dtype,
        )

    def preview(self, out: Path) -> None:
        """Held-out images, their translations, and these translated back: a row for each image."""
        translator, columns = self.model(), []
        for direction in translator.directions:
            real = take(self._centered[direction[0]], unseen(self.splits[direction[0]]), ROWS)
            columns += [real, *journey(translator, real, direction)]
        rows = min(map(len, columns))
        tiles = np.stack([column[:rows] for column in columns], axis=1)
        write_grid(
            out.with_suffix(".png"), tiles.reshape(-1, *tiles.shape[2:]), self.context.details(), len(columns)
        )

    @cached_property
    def _centered(self) -> dict[str, ImageDataset]:
        return {side: self.data.centered(side) for side in "ab"}

    @property
    def real(self) -> Real:
        """Side B."""
        return self._centered["b"], *self.splits["b"]

    def results(self, most: int) -> Images:
        """Translations of held-out images of side A."""
        return self.model().translate(take(self._centered["a"], unseen(self.splits["a"]), most))

    def evaluate(self) -> list[dict[str, Any]]:
        """All scores of the present average, and the picture of its nearest neighbors on side B."""
        measurement, translated, real = evaluate(
            self.model(),
            self._centered,
            self.splits,
            {"b": self.reference},
            self.recipe,
            seed=self.score_seed,
        )
        write_neighbor_grid(self.context.run, translated, real, measurement)
        return [score.as_dict() for score in measurement.scores]

    # ------------------------------------------------------------------ the model folder

    def exported(self) -> ModuleGroup:
        """The translators, without what only training needs."""
        trained: Any = self.context.eval_model(self.network)
        networks = {way: getattr(trained, way) for way in self.recipe.directions}
        sizes = getattr(trained, "config", None)  # networks of one's own may have none
        return ModuleGroup(networks) if sizes is None else Translators(sizes, networks)

    def describe_model(self) -> dict[str, Any]:
        """The size that was trained on, and the directions."""
        spec = self.data.spec
        keys = ("height", "width", "channels")
        return {"spec": {key: getattr(spec, key) for key in keys}, "directions": list(self.recipe.directions)}

    def describe_data(self) -> dict[str, Any]:
        """Both sides, for run.json."""
        return super().describe_data() | {
            "task": "image translation",
            "against": self.recipe.against,
            "counts": {side: len(getattr(self.data, side)) for side in "ab"},
            "train": {side: len(train) for side, (train, _) in self.splits.items()},
            "heldout": {side: len(heldout) for side, (_, heldout) in self.splits.items()},
            "classes": [],
            "labeled": False,
        }

    def card(self) -> str:
        """The model card."""
        spec, a, b = self.data.spec, self.data.a, self.data.b
        return self.write_card(
            f"A translator of images, {' and '.join(self.recipe.directions)}",
            f"crops of {spec.height} × {spec.width} ({spec.channels} channels): side A {a.source} "
            f"({many(len(a), 'image')}), side B {b.source} ({len(b):,})",
            'images = luoxia.load("PATH/TO/THIS/FOLDER").translate(images, direction="a2b")  # uint8 (n, h, w, c)',
            "What it makes is synthetic, whatever it was made of.",
        )


# ------------------------------------------------------------------ what measuring again shares

Splits = dict[str, tuple[Indices, Indices]]
"""Side → the images that were trained on, and those held out."""


def split(images: ImageDataset, recipe: UnpairedRecipe) -> tuple[Indices, Indices]:
    """(train, held-out) of one side; ``holdout=0`` holds none out."""
    return holdout_split(len(images), recipe.holdout, recipe.seed)


def unseen(splits: tuple[Indices, Indices]) -> Indices:
    """The held-out images; those trained on where fewer than two are held out."""
    train, heldout = splits
    return heldout if len(heldout) > 1 else train


def take(images: ImageDataset, indices: Indices, most: int) -> Images:
    """At most so many of them, evenly spaced, (n, h, w, c)."""
    taken: Images = np.asarray(images.images[spread(indices, most)])
    return taken


def journey(translator: ImageTranslator, images: Images, direction: str) -> list[Images]:
    """Translations, and these translated back where the model knows the way."""
    there = translator.translate(images, direction)
    back = direction[::-1]
    return [there, translator.translate(there, back)] if back in translator.directions else [there]


def of_translators(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights that translate."""
    return {name: value for name, value in weights.items() if name.startswith(("a2b.", "b2a."))}


def evaluate(
    translator: ImageTranslator,
    centered: dict[str, ImageDataset],
    splits: Splits,
    references: dict[str, Reference],
    recipe: UnpairedRecipe,
    *,
    seed: int,
    extractor: str | None = None,
    n: int | None = None,
) -> tuple[ImageMeasurement, Images, Images]:
    """All scores of a translator on images it was not trained on, its translations to side B, and what is real there.

    Side B has every score. The other direction has distances, and each the error of going there and back.
    ``references`` are real sides that are at hand.
    """
    most, chosen = n or recipe.score_samples, extractor or recipe.extractor
    scores: list[Score] = []
    results: dict[str, tuple[ImageMeasurement, Images, Images]] = {}
    for direction in translator.directions:
        here, there = direction[0], direction[-1]
        reference = references.get(there) or make_reference(
            chosen,
            centered[there],
            *splits[there],
            seed=seed,
            limit=max(most, 10_000),
            device=translator.device,
        )
        real = take(centered[here], unseen(splits[here]), most)
        translated, *back = journey(translator, real, direction)
        measurement = measure_samples(reference, translated)
        results[direction] = measurement, translated, reference.real
        own = measurement.scores
        if direction != "a2b":
            own = [replace(s, name=f"{s.name} {direction}") for s in own if s.name.startswith(("FD", "KID"))]
        scores += own
        scores += [_cycle_error(reference, real, images, direction) for images in back]
    measurement, translated, real = results["a2b"]
    return replace(measurement, scores=scores), translated, real


def _cycle_error(reference: Reference, real: Images, back: Images, direction: str) -> Score:
    """The mean difference between an image and itself translated there and back, in levels of 255."""
    errors = np.abs(real.astype(np.int16) - back).mean((1, 2, 3))
    return reference.score(
        f"cycle error {direction}", "plausibility", mean(errors), 0.0, len(real), CYCLE_ERROR
    )
