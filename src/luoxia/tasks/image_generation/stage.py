"""Training on images: grids of fixed latents, scores of samples against the real images."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from luoxia.core.names import many
from luoxia.core.order import holdout_split
from luoxia.media.image.batches import ImageBatches
from luoxia.media.image.writer import write_grid
from luoxia.nn.transfer import freeze
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.tasks.image_generation.recipes.adversarial import AdversarialRecipe
from luoxia.tasks.shared.image_stage import ImageStage, Real
from luoxia.training.objective import Batch, Objective, Phase, Rng

GRID = 64
"""Images in a sample grid: always those of the same latents."""


class GeneratorStage(ImageStage):
    """The training of an image generator."""

    network: ClassVar[str] = "generator"
    recipe: AdversarialRecipe

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the images."""
        return tuple(self.data.classes)

    def prepare(self) -> None:
        """Hold some images back, and serve the rest in batches."""
        recipe, dataset = self.recipe, self.data
        train, self.heldout_indices = holdout_split(len(dataset), recipe.holdout, recipe.seed)
        self.train_indices, labeled = train, recipe.condition != "none"
        self.batches = ImageBatches(dataset, train, recipe.batch, recipe.seed, self.world, labeled)

    def objective(self) -> Objective:
        """The recipe's, the first blocks of its discriminator frozen where that is asked for."""
        objective = super().objective()
        freeze(objective.networks["discriminator"], self.recipe.freeze_d)
        return objective

    def batch(self, phase: Phase, index: int) -> Batch:
        """Real images."""
        return self.batches(phase, index)

    def observe(self, rng: Rng) -> tuple[Batch, Batch | None]:
        """Some images of either side."""
        return self._pick(self.train_indices, rng), self._pick(self.heldout_indices, rng)  # type: ignore[return-value]

    def _pick(self, indices: Any, rng: Rng) -> Batch | None:
        if len(indices) == 0:
            return None
        rows = rng.integers(0, len(indices), min(len(indices), max(64, self.recipe.batch))).cpu().numpy()
        return self.batches.gather(indices[rows])

    # ------------------------------------------------------------------ samples and scores

    def model(self) -> ImageGenerator:
        """What is sampled and measured."""
        network = self.context.eval_model(self.network)
        if self.context.is_training(network):
            network = copy.deepcopy(network)
        spec = self.data.spec
        return ImageGenerator(
            network,
            classes=self.data.classes,
            details=self.context.details(),
            device=self.world.device,
            shape=(spec.height, spec.width, spec.channels),
        )

    def preview(self, out: Path) -> None:
        """A grid of the same latents, a column a class."""
        generator = self.model()
        columns = len(self.data.classes) if generator.conditional and len(self.data.classes) <= 16 else None
        n = columns * max(1, GRID // columns) if columns else GRID
        images = generator.sample(n, seed=self.recipe.seed)
        write_grid(
            out.with_suffix(".png"), images, self.context.details().asked({}, seed=self.recipe.seed), columns
        )

    @property
    def real(self) -> Real:
        """All images, by label if they have any."""
        return self.data, self.train_indices, self.heldout_indices

    def results(self, most: int) -> NDArray[np.uint8]:
        """Samples of another seed than the grids'."""
        return self.model().sample(most, seed=self.score_seed)

    # ------------------------------------------------------------------ the model folder

    def describe_model(self) -> dict[str, Any]:
        """The shape of the images, and the classes."""
        spec = self.data.spec
        keys = ("height", "width", "channels", "classes")
        return {"spec": {key: getattr(spec, key) for key in keys}, "classes": list(self.classes)}

    def describe_data(self) -> dict[str, Any]:
        """The images, for run.json."""
        return super().describe_data() | {
            "train": len(self.train_indices),
            "heldout": len(self.heldout_indices),
            "classes": list(self.data.classes),
            "labeled": self.data.labels is not None,
        }

    def card(self) -> str:
        """The model card."""
        spec = self.data.spec
        return self.write_card(
            f"A generator of {spec.height} × {spec.width} images ({spec.channels} channels)",
            f"{self.data.source} ({many(len(self.data), 'image')})",
            'images = luoxia.load("PATH/TO/THIS/FOLDER").sample(16, seed=0)  # uint8 (n, h, w, c)',
            "What it generates is synthetic. It can resemble its training images: see the neighbors in the run's "
            "report.",
        )
