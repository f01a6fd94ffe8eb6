"""Fine-tuning a generator of images: whose weights are gone on with, which fit, and how it is then trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.nn.transfer import Classes, carry_over, class_axes
from luoxia.tasks.base import article
from luoxia.tasks.loading import usable
from luoxia.tasks.record import ModelRecord
from luoxia.training.checkpoint import load_latest
from luoxia.training.objective import Objective

KIND = "image generator"
NAMED = 6
"""Fresh tensors, or classes, that the terminal names."""


@dataclass(frozen=True)
class ImageOrigin:
    """A trained pair: the averaged generator, and the discriminator of the last checkpoint where there is one."""

    record: ModelRecord
    generator: dict[str, Tensor]
    discriminator: dict[str, Tensor] | None

    @classmethod
    def open(cls, path: str) -> ImageOrigin:
        """Of a run, or of a model folder, which has no discriminator; ``UsageError`` if it holds no such model."""
        record = ModelRecord.open(path)
        if record.kind != KIND:
            raise UsageError(f"{path} contains {article(record.kind)}, expected {article(KIND)}")
        with usable(record.folder):
            generator = record.weights()
        if record.run is None or not record.run.checkpoints.is_dir():
            return cls(record, generator, None)
        return cls(record, generator, load_latest(record.run.checkpoints).tensors.get("discriminator"))

    def carry(self, objective: Objective, classes: Sequence[str]) -> dict[str, Any]:
        """Give the objective's networks, for data of these ``classes``, what fits; the record of it for run.json."""
        generator, discriminator = (objective.networks[name] for name in ("generator", "discriminator"))
        named = Classes(self.record.config.get("classes") or (), classes)
        carried = carry_over(generator, self.generator, named)
        if not carried.taken:
            raise UsageError(
                f"no weight of the generator at {self.record.path} fits these networks: "
                "keep the recipe and the width of that run"
            )
        networks = {
            "generator": carried,
            "discriminator": carry_over(discriminator, self.discriminator or {}, named),
        }
        conditional = class_axes(generator) or class_axes(discriminator)
        return {
            "path": str(self.record.path.resolve()),
            **self.record.details.as_dict(),
            "networks": {name: found.as_dict() for name, found in networks.items()},
            **({"classes": named.as_dict()} if conditional and named.before else {}),
        }


def sentences(origin: dict[str, Any]) -> list[str]:
    """What was carried over, a sentence a network, and one for the classes."""
    found = [f"{name}: {_sentence(facts, origin)}" for name, facts in origin["networks"].items()]
    if classes := origin.get("classes"):
        words = {"carried": "carried over by name", "fresh": "learned afresh", "left": "left behind"}
        parts = [f"{word} {_names(classes[key])}" for key, word in words.items() if classes[key]]
        found.append(f"classes: {'; '.join(parts)}")
    return found


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _sentence(facts: dict[str, Any], origin: dict[str, Any]) -> str:
    if facts["tensors"] == 0:
        return f"nothing is there to carry over from {origin['run']}; it begins anew"
    share = facts["values"] / facts["of_values"]
    counted = f"{facts['tensors']:,} of {facts['of_tensors']:,} tensors ({share:.1%} of the numbers)"
    anew = f"; anew: {_names(facts['fresh'])}" if facts["fresh"] else ""
    return f"{counted} carried over from {origin['run']}, step {origin['step']:,}{anew}"
