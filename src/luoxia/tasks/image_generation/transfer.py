"""Fine-tuning a generator of images: whose weights are gone on with, which fit, and how it is then trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from luoxia.core.config import merge
from luoxia.core.errors import UsageError
from luoxia.nn.transfer import Classes, carry_over, class_axes
from luoxia.runs.folder import model_folder, require_model
from luoxia.tasks.menu import AdversarialRecipe, Recipe
from luoxia.tasks.shared.image_recipe import ImageRecipe
from luoxia.tasks.stored import Stored, usable
from luoxia.training.checkpoint import load_latest
from luoxia.training.objective import Objective
from luoxia.training.recipe import NO_LIMIT

HOW = {"batch", "accumulate", "average_checkpoints", "optimizer", "schedule", "ema"}
"""Of the keys that all recipes of images share, those that say how a generator was trained."""
ANEW = set(ImageRecipe.model_fields) - HOW | {"d_lr", "init", "freeze_d"}
"""Keys that are no part of what a generator is, nor of how it was trained: a fine-tuning has its own."""
SHARE_OF_STEPS, SHARE_OF_LR = 4, 2
"""A fine-tuning does this part of its origin's steps, at this part of its learning rate, unless told otherwise."""
NAMED = 6
"""Fresh tensors, or classes, that the terminal names."""


@dataclass(frozen=True)
class ImageOrigin:
    """A trained pair: the averaged generator, and the discriminator of the last checkpoint where there is one."""

    path: Path
    stored: Stored
    generator: dict[str, Tensor]
    discriminator: dict[str, Tensor] | None

    @classmethod
    def open(cls, path: str, exported: str) -> ImageOrigin:
        """Of a run, or of a model folder, which has no discriminator; ``UsageError`` if it holds no such model."""
        stored = _stored(path, exported)
        with usable(stored.folder):
            generator = stored.weights()
        checkpoints = Path(path) / "checkpoints"
        if stored.folder == Path(path) or not checkpoints.is_dir():
            return cls(Path(path), stored, generator, None)
        return cls(Path(path), stored, generator, load_latest(checkpoints).tensors.get("discriminator"))

    def carry(self, objective: Objective, classes: Sequence[str]) -> dict[str, Any]:
        """Give the objective's networks, for data of these ``classes``, what fits; the record of it for run.json."""
        generator, discriminator = (objective.networks[name] for name in ("generator", "discriminator"))
        named = Classes(self.stored.config.get("classes") or (), classes)
        carried = carry_over(generator, self.generator, named)
        if not carried.taken:
            raise UsageError(
                f"no weight of the generator at {self.path} fits these networks: "
                "keep the recipe and the width of that run"
            )
        networks = {
            "generator": carried,
            "discriminator": carry_over(discriminator, self.discriminator or {}, named),
        }
        conditional = class_axes(generator) or class_axes(discriminator)
        return {
            "path": str(self.path.resolve()),
            **self.stored.details.as_dict(),
            "networks": {name: found.as_dict() for name, found in networks.items()},
            **({"classes": named.as_dict()} if conditional and named.before else {}),
        }


def tuned(path: str, exported: str, settings: dict[str, Any]) -> tuple[type[Recipe], dict[str, Any]]:
    """The recipe of a trained generator, and the settings of a training that goes on from it."""
    if "data" not in settings:
        raise UsageError(f"finetune needs images to learn: luoxia finetune {path} data=PATH")
    stored = _stored(path, exported)
    recipe = stored.recipe
    if not isinstance(recipe, AdversarialRecipe):
        raise UsageError(f"{path} holds a {exported} that cannot be fine-tuned")
    own, usual = recipe.model_dump(mode="json"), type(recipe)().model_dump(mode="json")
    taken = {key: value for key, value in own.items() if value != usual[key] and key not in ANEW}
    taken |= {"size": own["size"], "channels": own["channels"]}
    taken["lr"] = recipe.lr / SHARE_OF_LR
    if recipe.d_lr is not None:
        taken["d_lr"] = recipe.d_lr / SHARE_OF_LR
    if "budget" not in settings:
        whole = usual["steps"] if recipe.steps >= NO_LIMIT else recipe.steps
        taken["steps"] = max(1, whole // SHARE_OF_STEPS)
    return type(recipe), merge({"init": path, **taken}, settings)


def told(origin: dict[str, Any]) -> list[str]:
    """What was carried over, a sentence a network, and one for the classes."""
    sentences = [f"{name}: {_sentence(facts, origin)}" for name, facts in origin["networks"].items()]
    if classes := origin.get("classes"):
        words = {"carried": "carried over by name", "fresh": "learned afresh", "left": "left behind"}
        parts = [f"{word} {_names(classes[key])}" for key, word in words.items() if classes[key]]
        sentences.append(f"classes: {'; '.join(parts)}")
    return sentences


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


def _stored(path: str, exported: str) -> Stored:
    require_model(Path(path))
    folder = model_folder(path)
    with usable(folder):
        stored = Stored.read(folder)
        kind = stored.config["kind"]
    if kind != exported:
        raise UsageError(f"{path} holds no {exported}, but of the kind '{kind}'")
    return stored
