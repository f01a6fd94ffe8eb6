"""A setting found by trial: short trainings on the user's data, one for each value, and the best is kept."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, cast

from luoxia.core.errors import UsageError
from luoxia.core.files import write_file
from luoxia.runs.display import Display
from luoxia.runs.run import Run
from luoxia.tasks.base import Task
from luoxia.tasks.image_generation.recipes.adversarial import AdversarialRecipe
from luoxia.training.distributed import World
from luoxia.training.recipe import resolve
from luoxia.training.session import Session

if TYPE_CHECKING:
    from luoxia.tasks.image_generation.stage import GeneratorStage


def settled_by_trial(
    task: Task, recipe: AdversarialRecipe, run: Run, dataset: Any, world: World, display: Display
) -> AdversarialRecipe:
    """The recipe with what it leaves to trials replaced by the values that scored best; itself where there are none.

    ``sweep.json`` in the run's folder keeps the table: each value, its Fréchet distance and its seconds.
    """
    for key, values in recipe.trials(dataset.spec).items():
        if recipe.extractor == "none":
            raise UsageError(f"{key}=sweep picks by score: set extractor=self, or give {key} a value")
        rows: list[dict[str, Any]] = []
        reference = None
        for value in values:
            began = time.perf_counter()
            trial = _Trial(task, recipe, key, value, run, dataset, world, display, reference)
            distance, reference = trial.distance(), trial.reference
            seconds = time.perf_counter() - began
            rows.append({key: str(value), "distance": distance, "seconds": round(seconds, 1)})
            display.tell(f"{key}={value}: Fréchet distance {distance:.4g} after {trial.steps:,} steps")
        best = min(range(len(values)), key=lambda i: rows[i]["distance"])
        if not math.isfinite(rows[best]["distance"]):
            raise UsageError(f"{key}=sweep found no value that trains: lower lr, or give {key} a value")
        display.tell(f"{key}={values[best]} is taken")
        if world.main:
            table = {"key": key, "chosen": str(values[best]), "steps": trial.steps, "trials": rows}
            write_file(run.path / "sweep.json", json.dumps(table, indent=2) + "\n")
        recipe = recipe.model_copy(update={key: values[best]})
    return recipe


class _Trial:
    """One short training, which writes nothing."""

    def __init__(
        self,
        task: Task,
        recipe: Any,
        key: str,
        value: Any,
        run: Run,
        dataset: Any,
        world: World,
        display: Display,
        reference: Any,
    ) -> None:
        self.steps = min(recipe.sweep_steps, recipe.steps or recipe.sweep_steps)
        tried = resolve(recipe, {**task.settle(recipe, dataset), key: value})
        session = Session(task, tried, run, dataset, world, display)
        self.trainer, self.stage = session.trainer, cast("GeneratorStage", session.stage)
        if reference is not None:  # the real side is the same for all
            self.stage.reference = reference
        self.world = world

    @property
    def reference(self) -> Any:
        """The real side of the scores, in the main process."""
        return self.stage.reference if self.world.main else None

    def distance(self) -> float:
        """Train, and measure: the Fréchet distance, infinite where training broke down; the same in all processes."""
        trainer = self.trainer
        for _ in range(self.steps):
            trainer.step()
        distance = math.inf
        if trainer.is_finite() and self.world.main:
            score = self.stage.quick_score()
            distance = math.inf if score is None else score.distance
        self.world.barrier()  # patient with the main process, which trained an extractor, perhaps
        return self.world.broadcast(distance)
