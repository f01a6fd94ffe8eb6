"""What trainings on text share: the model folder, with the tokenizer in it."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch

from luoxia.media.text.spec import TextSpec
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.nn.transformer_config import TransformerConfig
from luoxia.tasks.shared.token_model import TokenModel
from luoxia.tasks.stored import spec_of
from luoxia.training.session import Session


class TokenSession(Session):
    """A training whose data set has a ``tokenizer``."""

    model: ClassVar[type[TokenModel[Any]]]
    """What ``luoxia.load`` returns."""
    told: ClassVar[tuple[str, str, str]]
    """What the card says: what the model is, a call of it, a warning."""

    @classmethod
    def open_model(
        cls,
        recipe: Any,
        config: dict[str, Any],
        weights: dict[str, torch.Tensor],
        folder: Path,
        **common: Any,
    ) -> Any:
        """The network and the tokenizer beside it."""
        spec = spec_of(TextSpec, config["spec"])
        if spec.shape is not None:
            spec_of(TransformerConfig, spec.shape)
        network = recipe.build_generator(spec)
        cls.fill(network, weights, recipe)
        tokenizer = Tokenizer.load(folder)
        return cls.model(
            network, tokenizer, **cls.beside(folder, tokenizer), **cls.controls(recipe), **common
        )

    @staticmethod
    def beside(folder: Path, tokenizer: Tokenizer) -> dict[str, Any]:
        """What the model must know of the files beside its weights."""
        return {}

    @staticmethod
    def fill(network: Any, weights: dict[str, torch.Tensor], recipe: Any) -> None:
        """Give a network its weights."""
        network.load_state_dict(weights)

    @staticmethod
    def controls(recipe: Any) -> dict[str, Any]:
        """What the model must know of its recipe."""
        return {}

    def generator(self) -> Any:
        """What is sampled and measured: a copy, for models in use do not train."""
        network = copy.deepcopy(self.averaged(self.network))
        common: dict[str, Any] = {"details": self.details(), "device": self.world.device}
        return self.model(network, self.dataset.tokenizer, **self.controls(self.recipe), **common)

    @staticmethod
    def skipped(dataset: Any) -> str:
        """How many rows could not be used."""
        return str(dataset.data.skips.amount())

    def describe_model(self) -> dict[str, Any]:
        """What the network's form and the model need of the data."""
        return {"spec": asdict(self.dataset.spec)}

    def write_model(self, folder: Path) -> None:
        """The tokenizer beside the weights."""
        self.dataset.tokenizer.save(folder)

    def describe_tokens(self) -> dict[str, Any]:
        """The text and its tokens, for run.json."""
        return {
            "source": self.dataset.source,
            "path": self.recipe.data,
            "fingerprint": self.dataset.fingerprint,
            "count": len(self.dataset),
            "tokenizer": self.dataset.tokenizer.kind,
            "vocabulary": self.dataset.tokenizer.vocabulary,
            "unit": self.unit,
        }

    def card(self) -> str:
        """The model card."""
        what, example, warning = self.told
        return self.write_card(
            what, self.dataset.source, f'luoxia.load("PATH/TO/THIS/FOLDER"){example}', warning
        )
