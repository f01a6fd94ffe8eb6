"""What trainings on tokens share: the model folder, with the tokenizer in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch

from luoxia.media.text.spec import TextSpec
from luoxia.media.text.tokenizer import FILE, Tokenizer
from luoxia.nn.transformer_config import TransformerConfig
from luoxia.tasks.networks import network_of, spec_of
from luoxia.tasks.record import ModelRecord
from luoxia.training.stage import Stage


class TokenStage(Stage):
    """A training whose data set has a ``tokenizer``."""

    model_files: ClassVar[tuple[str, ...]] = (FILE,)
    card_text: ClassVar[tuple[str, str, str]]
    """What the card says: what the model is, a call of it, a warning."""

    def network_copy(self) -> Any:
        """A copy of what is sampled and measured, for models in use do not train."""
        return copy.deepcopy(self.context.eval_model(self.network))

    def common(self) -> dict[str, Any]:
        """What every model is made with besides its network and its tokenizer."""
        return {"details": self.context.details(), "device": self.world.device}

    def describe_model(self) -> dict[str, Any]:
        """What the network's form and the model need of the data."""
        return {"spec": asdict(self.data.spec)}

    def write_model(self, folder: Path) -> None:
        """The tokenizer beside the weights."""
        self.data.tokenizer.save(folder)

    def describe_data(self) -> dict[str, Any]:
        """The text and its tokens, for run.json."""
        return {
            "source": self.data.source,
            "path": self.recipe.data,
            "fingerprint": self.data.fingerprint,
            "count": len(self.data),
            "tokenizer": self.data.tokenizer.kind,
            "vocabulary": self.data.tokenizer.vocabulary,
            "skipped": self.data.data.skips.count,
        }

    def card(self) -> str:
        """The model card."""
        what, example, warning = self.card_text
        return self.write_card(
            what, self.data.source, f'luoxia.load("PATH/TO/THIS/FOLDER"){example}', warning
        )


def base_tokenizer(recipe: Any) -> Tokenizer | str:
    """The tokenizer of the model at ``init``; without one the recipe's kind, which is to be learned."""
    if recipe.init is None:
        return str(recipe.tokenizer)
    return Tokenizer.load(ModelRecord.open(recipe.init).folder)


def open_network(
    record: ModelRecord,
    weights: dict[str, torch.Tensor],
    fill: Callable[[Any, dict[str, torch.Tensor]], Any] = torch.nn.Module.load_state_dict,
) -> tuple[Any, Tokenizer]:
    """(The network of a model folder, with its weights; its tokenizer)."""
    spec = spec_of(TextSpec, record.config["spec"])
    if spec.shape is not None:
        spec_of(TransformerConfig, spec.shape)
    network = network_of(record, weights, lambda recipe: recipe.build_generator(spec))
    fill(network, weights)
    return network, Tokenizer.load(record.folder)
