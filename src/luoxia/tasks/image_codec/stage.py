"""The training of a codec: originals beside what it makes of them, scores on held-out images."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from luoxia.adversarial.augment import mirror, translation
from luoxia.adversarial.codec import CodecObjective
from luoxia.core.names import many
from luoxia.core.order import holdout_split, spread
from luoxia.media.image.batches import ImageBatches
from luoxia.media.image.extractors.base import open_extractor
from luoxia.media.image.writer import write_grid
from luoxia.tasks.image_codec.model import ImageCodec
from luoxia.tasks.image_codec.recipes import ImageCodecRecipe
from luoxia.tasks.image_codec.scores import CodecScores, quick_scores
from luoxia.tasks.shared.image_stage import ImageStage, Indices, Real
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Batch, Phase, Rng, hashed

SHOWN = 24
"""Images in a sample grid: always the same."""
OBSERVED = 64
"""Images of each side that the doctor sees."""
Images = NDArray[np.uint8]


class CodecStage(ImageStage):
    """The training of a codec of images."""

    name: ClassVar[str] = "codec"
    network: ClassVar[str] = "autoencoder"
    recipe: ImageCodecRecipe

    def prepare(self) -> None:
        """Hold some images back, and serve the rest in batches."""
        self.train, self.heldout = holdout_split(len(self.data), self.recipe.holdout, self.recipe.seed)
        self.batches = ImageBatches(
            self.data, self.train, self.recipe.batch, self.recipe.seed, self.world, labeled=False
        )

    def objective(self) -> CodecObjective:
        """The recipe's, with the number of tokens that the data has for each code."""
        objective: CodecObjective = super().objective()  # type: ignore[assignment]
        perceptual: Any = objective.perceptual
        if perceptual is not None:
            perceptual.extractor.to(self.world.device)
        autoencoder: Any = objective.networks[self.network]
        if vocabulary := autoencoder.quantizer.vocabulary:
            rows, columns = (-(-side // self.recipe.factor) for side in self.data.spec.shape[1:])
            objective.tokens_per_code = len(self.train) * rows * columns / vocabulary
        return objective

    def batch(self, phase: Phase, index: int) -> Batch:
        """Training images, each moved by some pixels."""
        recipe, height, width = self.recipe, self.data.spec.height, self.data.spec.width
        x = self.batches(phase, index).samples
        rng = Rng(hashed(recipe.seed, "views", phase.name, index, self.world.rank), x.device)
        if recipe.shift:
            x = translation(x, rng, recipe.shift / max(height, width))
        return Batch(mirror(x, rng) if recipe.mirror else x)

    def observe(self, rng: Rng) -> tuple[Batch, Batch | None]:
        """The same images of either side each time."""
        held = self.heldout if len(self.heldout) else None
        return self._some(self.train), None if held is None else self._some(held)

    def _some(self, indices: Indices) -> Batch:
        return self.batches.gather(spread(indices, OBSERVED))

    # ------------------------------------------------------------------ samples and scores

    def model(self) -> ImageCodec:
        """What is measured, in the precision of training."""
        network: Any = self.context.eval_model(self.network)
        if self.context.is_training(network):
            network = copy.deepcopy(network)
        spec = self.data.spec
        return ImageCodec(
            network,
            shape=(spec.height, spec.width, spec.channels),
            details=self.context.details(),
            device=self.world.device,
        )

    @property
    def unseen(self) -> Indices:
        """The held-out images; those trained on where fewer than two are held out."""
        return self.heldout if len(self.heldout) > 1 else self.train

    def preview(self, out: Path) -> None:
        """Held-out images, each beside what it becomes."""
        real: Images = np.asarray(self.data.images[spread(self.unseen, SHOWN)])
        pairs = np.stack([real, self.model().reconstruct(real)], axis=1)
        columns = 2 * max(1, round((len(real) / 2) ** 0.5))
        write_grid(
            out.with_suffix(".png"), pairs.reshape(-1, *real.shape[1:]), self.context.details(), columns
        )

    @property
    def scored(self) -> bool:
        """Always: most scores need no extractor."""
        return True

    def prepare_scores(self) -> None:
        """What the scores of codecs need once."""
        _ = self.scores

    @property
    def real(self) -> Real:
        """All images."""
        return self.data, self.train, self.heldout

    def results(self, most: int) -> Images:
        """Held-out images, encoded and decoded."""
        return self.model().reconstruct(np.asarray(self.data.images[spread(self.unseen, most)]))

    def quick_score(self) -> QuickScore:
        """The error on held-out images, and the use of the book."""
        real = np.asarray(self.data.images[spread(self.unseen, 256)])
        scores, error = quick_scores(self.model(), real)
        return QuickScore([score.as_dict() for score in scores], error, 0.0, {}, "error of reconstructions")

    def evaluate(self) -> list[dict[str, Any]]:
        """All scores of the present average."""
        return [score.as_dict() for score in self.scores.of(self.model())]

    @cached_property
    def scores(self) -> CodecScores:
        """The originals' side of every score."""
        extractor = None
        if self.recipe.extractor != "none":
            extractor = open_extractor(
                self.recipe.extractor, self.data.images, self.data.labels,
                fingerprint=self.data.fingerprint, device=self.world.device,
            )  # fmt: skip
        return CodecScores(
            (self.data.images, self.train),
            (self.data.images, self.unseen),
            extractor=extractor,
            seed=self.score_seed,
            most=self.recipe.score_samples,
        )

    # ------------------------------------------------------------------ the model folder

    def describe_model(self) -> dict[str, Any]:
        """The shape of the images, and what the tokens are."""
        spec, codec = self.data.spec, self.model()
        return {
            "spec": {key: getattr(spec, key) for key in ("height", "width", "channels")},
            "codebooks": codec.codebooks,
            "vocabulary": codec.vocabulary,
            "fingerprint": codec.fingerprint,
        }

    def describe_data(self) -> dict[str, Any]:
        """The images, for run.json."""
        return super().describe_data() | {
            "train": len(self.train),
            "heldout": len(self.heldout),
            "classes": [],
            "labeled": False,
        }

    def card(self) -> str:
        """The model card."""
        spec, factor = self.data.spec, self.recipe.factor
        return self.write_card(
            f"A codec of images of {spec.height} × {spec.width} ({spec.channels} channels), "
            f"a token for {factor} × {factor} pixels",
            f"{self.data.source} ({many(len(self.data), 'image')})",
            'codec = luoxia.load("PATH/TO/THIS/FOLDER")\n'
            "tokens = codec.encode(images)  # uint8 (n, h, w, c) → int64 (n, rows, columns, 1)\n"
            "images = codec.decode(tokens)",
            "What it decodes is not what was encoded: details are made up. Tokens are those of this codec alone; "
            "one that is trained further has others.",
        )
