"""Training on images: grids of fixed latents, scores of samples against the real images."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.names import many
from luoxia.core.order import holdout_split
from luoxia.media.image.batches import ImageBatches
from luoxia.media.image.images import ImageDataset, ImageSpec, open_images
from luoxia.media.image.writer import write_grid
from luoxia.nn.transfer import freeze
from luoxia.runs.display import Display
from luoxia.tasks.image_generation import transfer
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.tasks.menu import AdversarialRecipe, Recipe
from luoxia.tasks.shared.image_training import PictureSession, Real
from luoxia.tasks.stored import spec_of
from luoxia.training.objective import Batch, Objective, Phase, Rng
from luoxia.training.session import absolute

GRID = 64
"""Images in a sample grid: always those of the same latents."""


class ImageSession(PictureSession):
    """The training of an image generator."""

    exported: ClassVar[str] = "image generator"
    network: ClassVar[str] = "generator"
    recipe: AdversarialRecipe
    dataset: ImageDataset

    @staticmethod
    def open_data(recipe: AdversarialRecipe, display: Display | None = None) -> ImageDataset:
        """The images that a recipe's ``data``, ``size``, ``crop`` and ``channels`` name."""
        progress = display.decoding if display else None
        return open_images(recipe.data, recipe.size, recipe.crop, recipe.channels, progress=progress)

    @staticmethod
    def settle(recipe: AdversarialRecipe, dataset: ImageDataset) -> dict[str, Any]:
        """The data's size and channels, what the recipe makes of them, and where the weights come from."""
        spec = dataset.spec
        origin = {} if recipe.init is None else {"init": absolute(recipe.init)}
        return {
            "size": (spec.height, spec.width),
            "channels": spec.channels,
            **recipe.settled(spec),
            **origin,
        }

    @classmethod
    def tuned(cls, model: str, settings: dict[str, Any]) -> tuple[str | type[Recipe], dict[str, Any]]:
        """The model's own recipe and settings, for fewer steps at a lower learning rate."""
        return transfer.tuned(model, cls.exported, settings)

    @staticmethod
    def announce(dataset: ImageDataset) -> str:
        """Number, shape and classes."""
        spec = dataset.spec
        classes = f", {len(dataset.classes)} classes" if dataset.classes else ""
        shape = f"{spec.height} × {spec.width} × {spec.channels}"
        return f"{many(len(dataset), 'image')} of {shape}{classes}, {dataset.source}"

    def prepare(self) -> None:
        """Hold some images back, and serve the rest in batches."""
        recipe, dataset = self.recipe, self.dataset
        self.origin: dict[str, Any] = {}
        train, self.heldout_indices = holdout_split(len(dataset), recipe.holdout, recipe.seed)
        self.train_indices, labeled = train, recipe.condition != "none"
        self.batches = ImageBatches(dataset, train, recipe.batch, recipe.seed, self.world, labeled)

    def objective(self) -> Objective:
        """The recipe's, with the weights that are gone on with; a resumed run has them in its checkpoints."""
        objective, recipe = super().objective(), self.recipe
        if recipe.init is not None and not self.resumed:
            origin = transfer.ImageOrigin.open(recipe.init, self.exported)
            self.origin = origin.carry(objective, self.dataset.classes)
        if recipe.freeze_d:
            freeze(objective.networks["discriminator"], recipe.freeze_d)
        return objective

    def start(self, command: str) -> None:
        """Say what was carried over, too."""
        super().start(command)
        if self.origin:
            for sentence in transfer.told(self.origin):
                self.display.tell(sentence)

    def describe_origin(self) -> dict[str, Any]:
        """Which weights are those of the run it goes on from."""
        return self.origin

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

    def generator(self) -> ImageGenerator:
        """What is sampled and measured."""
        network = self.averaged(self.network)
        if network is self.trainer.networks[self.network]:
            network = copy.deepcopy(network)
        spec = self.dataset.spec
        return ImageGenerator(
            network,
            classes=self.dataset.classes,
            details=self.details(),
            device=self.world.device,
            shape=(spec.height, spec.width, spec.channels),
        )

    def sample(self, step: int) -> None:
        """A grid of the same latents, a column a class."""
        generator = self.generator()
        columns = (
            len(self.dataset.classes) if generator.conditional and len(self.dataset.classes) <= 16 else None
        )
        n = columns * max(1, GRID // columns) if columns else GRID
        images = generator.sample(n, seed=self.recipe.seed)
        path = self.run.path / "samples" / f"step_{step:06d}.png"
        write_grid(path, images, self.details().asked({}, seed=self.recipe.seed), columns)

    @property
    def real(self) -> Real:
        """All images, by label if they have any."""
        return self.dataset, self.train_indices, self.heldout_indices

    def made(self, most: int) -> NDArray[np.uint8]:
        """Samples of another seed than the grids'."""
        return self.generator().sample(most, seed=self.score_seed)

    # ------------------------------------------------------------------ the model folder

    @staticmethod
    def open_model(
        recipe: AdversarialRecipe,
        config: dict[str, Any],
        weights: dict[str, torch.Tensor],
        folder: Path,
        **common: Any,
    ) -> ImageGenerator:
        """The generator of images."""
        spec = spec_of(ImageSpec, config["spec"])
        network = recipe.build_generator(spec)
        network.load_state_dict(weights)
        shape = (spec.height, spec.width, spec.channels)
        return ImageGenerator(network, classes=tuple(config.get("classes", ())), shape=shape, **common)

    def describe_model(self) -> dict[str, Any]:
        """The shape of the images, and the classes."""
        spec = self.dataset.spec
        keys = ("height", "width", "channels", "classes")
        return {"spec": {key: getattr(spec, key) for key in keys}, "classes": list(self.dataset.classes)}

    def describe_data(self) -> dict[str, Any]:
        """The images, for run.json."""
        return super().describe_data() | {
            "train": len(self.train_indices),
            "heldout": len(self.heldout_indices),
            "classes": list(self.dataset.classes),
            "labeled": self.dataset.labels is not None,
        }

    def card(self) -> str:
        """The model card."""
        spec = self.dataset.spec
        return self.write_card(
            f"A generator of {spec.height} × {spec.width} images ({spec.channels} channels)",
            f"{self.dataset.source} ({many(len(self.dataset), 'image')})",
            'images = luoxia.load("PATH/TO/THIS/FOLDER").sample(16, seed=0)  # uint8 (n, h, w, c)',
            "What it generates is synthetic. It can resemble its training images: see the neighbors in the run's "
            "report.",
        )
