"""Training on images with conditions: what the stages of all recipes share."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from luoxia.core.files import in_force
from luoxia.core.names import many
from luoxia.core.order import holdout_split, spread
from luoxia.media.image.batches import ImageBatches
from luoxia.media.image.captions import CaptionedImages
from luoxia.media.image.writer import write_grid
from luoxia.nn.lora import add_lora, merged_state
from luoxia.tasks.image_synthesis.conditions import (
    ConditionBatch,
    ConditionData,
    Conditioned,
    reader_of,
    request,
    spec_for,
)
from luoxia.tasks.image_synthesis.encoder import FOLDER, FolderEncoder
from luoxia.tasks.image_synthesis.model import Generator, ImageSynthesizer
from luoxia.tasks.image_synthesis.recipes import SynthesisRecipe
from luoxia.tasks.image_synthesis.scores import Judged
from luoxia.tasks.image_synthesis.settings import RESERVED
from luoxia.tasks.image_synthesis.spec import ConditionSpec
from luoxia.tasks.image_synthesis.transfer import condition_spec, extended
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.image_stage import ImageStage, Real, write_neighbor_grid
from luoxia.training.objective import Phase, Rng

GRID = 64
"""Images in a sample grid: always those of the same seeds and conditions."""
OBSERVED = 64
"""Images of either side whose loss the doctor follows."""
PROMPTS = 16
"""Captions of a sample grid."""


class SynthesisStage(ImageStage):
    """The training of what draws images; a recipe's own stage says how, in ``generator``."""

    model_files: ClassVar[tuple[str, ...]] = (FOLDER,)
    recipe: SynthesisRecipe
    data: CaptionedImages
    spec: ConditionSpec

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the images."""
        return tuple(self.data.classes)

    def prepare(self) -> None:
        """Hold some images back, and serve the rest with their conditions."""
        recipe, data = self.recipe, self.data
        self.train_indices, self.heldout_indices = holdout_split(len(data), recipe.holdout, recipe.seed)
        self.encoder = self._open_encoder()
        self.spec = self._spec()
        self.conditions = ConditionData(self.spec, data, recipe.seed, reader_of(self.spec, self.encoder))
        self.images = ImageBatches(
            data, self.train_indices, recipe.batch, recipe.seed, self.world, labeled=False
        )

    def _spec(self) -> ConditionSpec:
        """What can be learned of the data, beside what the model at ``init`` knows; a resumed run knows it itself."""
        if self.context.resumed and (self.context.run.model / "config.json").is_file():
            return condition_spec(ModelRecord.open(self.context.run.path))
        spec = spec_for(
            self.data,
            self.train_indices,
            condition=self.recipe.condition,
            text_length=self.recipe.text_length,
            encoder=None if self.encoder is None else (self.encoder.fingerprint, self.encoder.width),
            reserved=RESERVED,
        )
        if self.recipe.init is None:
            return spec
        return extended(condition_spec(ModelRecord.open(self.recipe.init)), spec)

    def adapt(self, network: nn.Module) -> None:
        """With ``lora``, train adapters only, and the tables of conditions, which may hold new words."""
        recipe = self.recipe
        if recipe.lora:
            generator = torch.Generator().manual_seed(recipe.seed)
            add_lora(network, recipe.lora, recipe.alpha, generator=generator)
            network.get_submodule("conditioner").requires_grad_(True)

    def _open_encoder(self) -> FolderEncoder | None:
        """The frozen text encoder, of the run's own copy where there is one; None for a learned table."""
        if self.recipe.text_encoder == "words":
            return None
        own = in_force(self.context.run.model) / FOLDER
        folder = own if own.is_dir() else self.recipe.text_encoder
        return FolderEncoder(folder, self.recipe.text_length, self.world.device)

    def batch(self, phase: Phase, index: int) -> Conditioned:
        """Images and conditions."""
        indices = self.images.drawn(phase, index)
        return self.gather(indices, phase.name, index, self.world.rank)

    def gather(self, indices: NDArray[np.int64], *key: object) -> Conditioned:
        """These images with conditions drawn for ``key``, on the device."""
        conditions = self.conditions.draw(indices, *key).to(self.world.device)
        return Conditioned(self.images.pixels(indices), conditions)

    def observe(self, rng: Rng) -> tuple[Any, Any | None]:
        """Some images of either side, always the same."""
        sides = (self.train_indices, self.heldout_indices)
        train, heldout = (self.observed(spread(side, OBSERVED)) if len(side) else None for side in sides)
        return train, heldout

    def observed(self, rows: NDArray[np.int64]) -> Any:
        """These images as a batch that is the same each time."""
        return self.gather(rows, "observe")

    # ------------------------------------------------------------------ samples and scores

    def generator(self) -> Generator:
        """What draws images with the weights of this moment."""
        raise NotImplementedError

    def network_now(self) -> nn.Module:
        """The network that is sampled, frozen: a copy where it is being trained."""
        network = self.context.eval_model(self.network)
        if self.context.is_training(network):
            network = copy.deepcopy(network)
        return network.eval().requires_grad_(False)

    def model(self) -> ImageSynthesizer:
        """What is sampled and measured."""
        spec = self.data.spec
        return ImageSynthesizer(
            self.generator(),
            self.spec,
            shape=(spec.height, spec.width, spec.channels),
            details=self.context.details(),
            device=self.world.device,
            defaults=self.recipe.defaults(),
            encoder=self.encoder,
        )

    def preview(self, out: Path) -> None:
        """A grid of the same seeds: a column a class, or a row for each four images of a caption."""
        rows, columns = self._shown()
        images = self.model().draw(rows, self.recipe.seed)
        write_grid(
            out.with_suffix(".png"), images, self.context.details().asked({}, seed=self.recipe.seed), columns
        )

    def prompts(self) -> NDArray[np.int64]:
        """The images by whose captions previews are drawn: held-out ones where there are enough."""
        side = self.heldout_indices if len(self.heldout_indices) >= PROMPTS else self.train_indices
        captioned = np.array([bool(self.data.captions.texts[index]) for index in side], np.bool_)
        chosen = side[captioned] if captioned.any() else side
        return spread(chosen, min(PROMPTS, len(chosen)))

    def prompt_texts(self) -> list[str]:
        """What the grid of a preview is asked for, in its order, each several times."""
        if not self.spec.text:
            return []
        captions = self.data.captions
        captioned = ((*captions.texts[i], *captions.keywords[i], "") for i in self.prompts())
        return [texts[0] for texts in captioned]

    def _shown(self) -> tuple[ConditionBatch, int | None]:
        """The conditions of a preview, and its columns."""
        if self.spec.text:
            prompts = self.prompts()
            each = max(1, GRID // len(prompts))
            return self.conditions.whole(np.repeat(prompts, each)), 2 * each
        classes = len(self.spec.classes)
        columns = classes if 0 < classes <= 16 else None
        n = columns * max(1, GRID // columns) if columns else GRID
        return request(self.spec, n), columns

    @property
    def real(self) -> Real:
        """All images."""
        return self.data, self.train_indices, self.heldout_indices

    def judged(self, most: int) -> Judged:
        """The model of this moment, ready to be scored."""
        sides = self.train_indices, self.heldout_indices
        return Judged(self.model(), self.data, self.conditions, *sides, seed=self.score_seed, n=most)

    def results(self, most: int) -> NDArray[np.uint8]:
        """Samples of another seed than the grids', asked for as the images of training are described."""
        return self.judged(most).samples

    def evaluate(self) -> list[dict[str, Any]]:
        """All final scores, and the picture of the nearest training images."""
        judged = self.judged(self.recipe.score_samples)
        measurement = judged.measure(self.reference)
        write_neighbor_grid(self.context.run, judged.samples, self.reference.real, measurement)
        return [score.as_dict() for score in measurement.scores]

    # ------------------------------------------------------------------ the model folder

    def weights(self) -> dict[str, torch.Tensor]:
        """Adapters merged."""
        return merged_state(self.context.eval_model(self.network))

    def describe_model(self) -> dict[str, Any]:
        """The shape of the images, and what can be asked for."""
        spec = self.data.spec
        keys = ("height", "width", "channels", "classes")
        return {
            "spec": {key: getattr(spec, key) for key in keys},
            "classes": list(self.spec.classes),
            "condition": asdict(self.spec),
        }

    def write_model(self, folder: Path) -> None:
        """The frozen text encoder."""
        if self.encoder is not None and self.spec.text == "encoder":
            self.encoder.copy_to(folder)

    def describe_data(self) -> dict[str, Any]:
        """The images and what is said of them, for run.json."""
        captions = self.data.captions
        return super().describe_data() | {
            "train": len(self.train_indices),
            "heldout": len(self.heldout_indices),
            "classes": list(self.data.classes),
            "labeled": self.data.labels is not None,
            "captions": captions.count(),
            "captioned": captions.captioned,
            "prompts": self.prompt_texts(),
            "fields": {name: list(values) for name, values in self.spec.fields},
        }

    def card(self) -> str:
        """The model card."""
        spec = self.data.spec
        example = (
            'text="…", '
            if self.spec.text
            else f'label="{self.spec.classes[0]}", '
            if self.spec.classes
            else ""
        )
        return self.write_card(
            f"A synthesizer of {spec.height} × {spec.width} images ({spec.channels} channels)",
            f"{self.data.source} ({many(len(self.data), 'image')})",
            f'images = luoxia.load("PATH/TO/THIS/FOLDER").sample(16, {example}seed=0)  # uint8 (n, h, w, c)',
            "What it generates is synthetic. It can resemble its training images: see the neighbors in the run's "
            "report.",
        )
