"""The weights that a training begins with: those of a trained model, as far as they fit the networks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.core.files import whole_folder
from luoxia.nn.transfer import Classes, class_axes, load_matching
from luoxia.tasks.loading import usable
from luoxia.tasks.record import ModelRecord
from luoxia.training.checkpoint import load_latest
from luoxia.training.checkpoint_files import FROZEN, OPTIMIZERS
from luoxia.training.objective import Objective
from luoxia.training.stage import Stage


def load_base(stage: Stage, objective: Objective) -> dict[str, Any]:
    """Give the networks of ``objective`` what fits of the model at the recipe's ``init``; the record for run.json.

    Raises:
        UsageError: nothing fits the network that the stage leaves.
    """
    record = ModelRecord.open(stage.recipe.init)
    classes = Classes(record.config.get("classes") or (), stage.classes)
    trained = trained_weights(record, stage)
    networks = objective.networks
    reports = {
        name: load_matching(network, trained.get(name, {}), classes) for name, network in networks.items()
    }
    if trained.get(stage.network) and not reports[stage.network].loaded:
        raise UsageError(
            f"no weight of the {stage.network} at {record.path} fits this network: "
            "keep the recipe and the width of that run"
        )
    by_class = classes.before and any(map(class_axes, networks.values()))
    return {
        "path": str(record.path.resolve()),
        **record.details.as_dict(),
        "networks": {name: report.as_dict() for name, report in reports.items()},
        **({"classes": classes.as_dict()} if by_class else {}),
    }


def trained_weights(record: ModelRecord, stage: Stage) -> dict[str, dict[str, Tensor]]:
    """Network → its trained weights: of the model folder, and of the last checkpoint what is not in that folder.

    Averages stand for what they are averages of. A model folder that is in no run has no other networks than its own.
    """
    last = record.task.stages(record.recipe)[-1].name == stage.name
    root = (
        None if record.run is None else record.run.path if last else record.run.path / "stages" / stage.name
    )
    trained: dict[str, dict[str, Tensor]] = {}
    with usable(record.folder):
        if root is not None and (root / "checkpoints").is_dir():
            tensors = load_latest(root / "checkpoints", networks_only=True).tensors
            names = [name for name in tensors if not name.startswith("ema_")]
            trained = {name: {**tensors[name], **tensors.get(f"ema_{name}", {})} for name in names}
        if last:
            trained[stage.network] = {**trained.get(stage.network, {}), **record.weights()}
    return {name: _own(weights, stage) for name, weights in trained.items()}


def keep_base(init: str, folder: Path) -> None:
    """Copy to ``folder`` what ``load_base`` reads of the model at ``init``, so that it may go away."""
    record, optimizers = ModelRecord.open(init), shutil.ignore_patterns(*(f"{name}*" for name in OPTIMIZERS))
    with whole_folder(folder) as new:
        if record.run is None:
            shutil.copytree(record.folder, new, dirs_exist_ok=True)
            return
        shutil.copytree(record.folder, new / "model")
        shutil.copyfile(record.run.path / "run.json", new / "run.json")
        for stage in (".", *(f"stages/{kind.name}" for kind in record.task.stages(record.recipe)[:-1])):
            source, copy = (root / stage / "checkpoints" for root in (record.run.path, new))
            if not source.is_dir():
                continue
            newest = f"step_{load_latest(source, networks_only=True).step:06d}"
            shutil.copytree(source / newest, copy / newest, ignore=optimizers)
            if (source / FROZEN).is_file():
                shutil.copyfile(source / FROZEN, copy / FROZEN)


def _own(weights: dict[str, Tensor], stage: Stage) -> dict[str, Tensor]:
    """Without those that the stage takes from the stages before it."""
    return {name: value for name, value in weights.items() if not name.startswith(stage.from_earlier)}
