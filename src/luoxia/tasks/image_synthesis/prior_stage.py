"""The training of ``image-gpt``: tokens of a codec that the run has trained, or was given."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia import registry
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.image.captions import CaptionedImages
from luoxia.tasks.image_synthesis.image_gpt import CODEC, ImageGPT
from luoxia.tasks.image_synthesis.prior_generator import PriorGenerator
from luoxia.tasks.image_synthesis.prior_objective import GridBatch, NextToken
from luoxia.tasks.image_synthesis.prior_scores import Heldout
from luoxia.tasks.image_synthesis.stage import SynthesisStage
from luoxia.tasks.image_synthesis.views import token_views
from luoxia.tasks.nested import adopt, open_left, part_of
from luoxia.tasks.record import ModelRecord
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Phase, Rng, hashed

QUICK = 256
"""Held-out images of a score between two steps: always the same."""
Indices = NDArray[np.int64]


class PriorStage(SynthesisStage):
    """The training of a prior."""

    name: ClassVar[str] = "prior"
    network: ClassVar[str] = "prior"
    recipe: ImageGPT
    data: CaptionedImages

    def prepare(self) -> None:
        """Open the codec, and encode the images."""
        super().prepare()
        self.codec = self._open_codec()
        tokens = self.world.run_collectively(lambda: self._encode() if self.world.main else None)
        self.tokens = self._encode() if tokens is None else tokens

    def _encode(self) -> Any:
        """Tokens (views, images, places, codebooks), by the cache."""
        recipe, data = self.recipe, self.data
        return token_views(
            self.codec,
            data.images,
            data.fingerprint,
            views=recipe.views,
            shift=recipe.shift,
            mirror=recipe.mirror,
            tell=self.context.tell,
        )

    def _open_codec(self) -> Any:
        """The codec of the run: what its first stage left, or what ``codec`` or ``init`` names, which it then keeps."""
        folder = self.context.left.get("codec")
        if folder is None:
            source = str(self.recipe.codec or self.recipe.init)

            def read() -> Any:
                config, weights = part_of(ModelRecord.open(source), registry.task(CODEC), "codec")
                check_codec(source, config, self.data.spec.channels)
                return config, weights

            folder = adopt(self.context.run, "codec", read, self.world)
        codec = open_left(folder, self.world.device)
        known = self.context.run.manifest.get("data", {}).get("codec")
        if known is not None and known != codec.fingerprint:
            raise LuoxiaError(
                f"{folder} holds another codec than the one whose tokens this run learns ({codec.fingerprint[:8]}, not "
                f"{known[:8]}): put back the one that was there"
            )
        self.folder = folder
        return codec

    # ------------------------------------------------------------------ what is learned

    def objective(self) -> NextToken:
        """The next token; with ``lora`` by adapters, and by the tables of conditions, which may hold new words."""
        spec, recipe = self.data.spec, self.recipe
        prior = recipe.build_prior(self.spec, self.codec, (spec.height, spec.width, spec.channels))
        self.adapt(prior)
        return NextToken(prior)

    def batch(self, phase: Phase, index: int) -> GridBatch:
        """Tokens of one view of each image, in orders of their own."""
        indices = self.images.drawn(phase, index)
        key = (phase.name, index, self.world.rank)
        draws = Rng(hashed(self.recipe.seed, "views", *key))
        views = draws.integers(0, self.recipe.views, len(indices)).numpy()
        return self._batch(indices, views, draws, *key)

    def _batch(self, indices: Indices, views: Indices, draws: Rng, *key: object) -> GridBatch:
        tokens = torch.from_numpy(self.tokens[views, indices].astype(np.int64))
        places = tokens.shape[1]
        if self.recipe.order == "random":
            order = draws.uniform(len(indices), places).argsort(1)
        else:
            order = torch.arange(places).expand(len(indices), -1).contiguous()
        return GridBatch(tokens, self.conditions.draw(indices, *key), order).to(self.world.device)

    def observed(self, rows: Indices) -> GridBatch:
        """These images in the same orders each time."""
        return self._batch(rows, np.zeros_like(rows), Rng(self.recipe.seed), "observe")

    # ------------------------------------------------------------------ samples and scores

    def generator(self) -> PriorGenerator:
        """The prior of this moment and its codec."""
        prior: Any = self.network_now()
        return PriorGenerator(prior, self.codec, order=self.recipe.order)

    @property
    def scored(self) -> bool:
        """Held-out bits need no extractor."""
        return True

    def prepare_scores(self) -> None:
        """The real side, for scores that need an extractor."""
        if super().scored:
            super().prepare_scores()

    @cached_property
    def unseen(self) -> Heldout:
        """What held-out bits are measured on."""
        sides = (self.train_indices, self.heldout_indices)
        return self.generator().unseen(self.data, self.tokens[0], *sides, self.conditions.whole)

    def quick_score(self) -> QuickScore | None:
        """Bits of held-out images."""
        if len(self.heldout_indices) == 0:
            return None
        score = self._bits(QUICK)
        record = score.as_dict()
        return QuickScore([record], score.value, 0.0, {}, "held-out bits")

    def _bits(self, most: int | None = None) -> Any:
        prior = self.context.eval_model(self.network)
        return self.unseen.bits(prior, self.recipe.order, most)

    def evaluate(self) -> list[dict[str, Any]]:
        """How it predicts held-out images, and what its samples are like."""
        bits = [self._bits().as_dict()] if len(self.heldout_indices) else []
        return bits + (super().evaluate() if super().scored else [])

    # ------------------------------------------------------------------ the model folder

    def weights(self) -> dict[str, torch.Tensor]:
        """The adapters merged, and the codec's weights beside."""
        return super().weights() | {
            f"codec.{key}": value for key, value in self.codec_record.weights().items()
        }

    @cached_property
    def codec_record(self) -> ModelRecord:
        """The codec's model folder."""
        return ModelRecord.open(self.folder)

    def describe_model(self) -> dict[str, Any]:
        """The codec too, so that the model folder needs no other."""
        return super().describe_model() | {"codec": dict(self.codec_record.config)}

    def describe_data(self) -> dict[str, Any]:
        """The images, and the codec whose tokens are learned, for run.json."""
        return super().describe_data() | {"codec": self.codec.fingerprint}


def check_codec(source: str, config: Mapping[str, Any], channels: int) -> None:
    """``UsageError`` for a codec whose tokens cannot be those of images with so many channels."""
    if not config.get("vocabulary"):
        raise UsageError(f"the codec of {source} has no tokens: train one with quantizer=fsq or vq")
    if (own := config.get("spec", {}).get("channels")) != channels:
        raise UsageError(
            f"the codec of {source} is of images with {own} channels, and these have {channels}: set channels={own}"
        )
