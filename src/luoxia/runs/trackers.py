"""``log=``: the numbers of metrics.jsonl in TensorBoard, Weights & Biases or MLflow too. Nothing leaves this machine.

W&B runs offline and MLflow writes into the run's folder, unless their own environment variables (``WANDB_MODE``,
``MLFLOW_TRACKING_URI``) ask for a server.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from luoxia.core.errors import LuoxiaError, MissingExtraError

MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
Write = Callable[[dict[str, float], int], None]
"""Takes numbers by name, and the step that they are of, counted on from stage to stage: a seam does not put it back."""


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers in a record of metrics.jsonl, under the names that trackers group by; {} for an event.

    >>> scalars({"kind": "log", "step": 50, "losses": {"generator": {"adversarial": 0.7}}, "lr": {"generator": 2e-4}})
    {'losses/generator/adversarial': 0.7, 'lr/generator': 0.0002}
    """
    if record.get("kind") == "log":
        return dict(_leaves({key: value for key, value in record.items() if key not in ("kind", "step")}))
    if record.get("kind") == "score":
        prefix = "final scores" if record.get("final") else "scores"
        return dict(_leaves({f"{prefix}/{score['name']}": score["value"] for score in record["scores"]}))
    return {}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}/{key}" if name else str(key))
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield name, value


def open_tracker(
    name: str, folder: Path, config: Mapping[str, Any], step: int
) -> contextlib.AbstractContextManager[Write]:
    """The writer of a tracker for the run in ``folder`` with this ``config``, which continues after ``step``.

    Its own run ends with the context, so that another training of this process begins another.
    ``MissingExtraError`` or ``LuoxiaError`` where its package is not installed.
    """
    return {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}[name](folder, config, step)


def check_installed(name: str) -> None:
    """Say before training that a tracker's package is missing; "none" needs none."""
    if name != "none":
        _package(name)


def _package(name: str) -> Any:
    try:
        return import_module(MODULES[name])
    except ImportError as error:
        if name == "tensorboard":
            raise MissingExtraError("log=tensorboard", "log") from error
        raise LuoxiaError(f"log={name} needs a package: pip install {name}") from error


@contextlib.contextmanager
def _tensorboard(folder: Path, config: Mapping[str, Any], step: int) -> Iterator[Write]:
    """Event files in RUN/tensorboard; what was written after ``step`` is no longer shown."""
    writers = _package("tensorboard")
    writer = writers.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(values: dict[str, float], at: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, at)
        writer.flush()

    with contextlib.closing(writer):
        yield write


@contextlib.contextmanager
def _wandb(folder: Path, config: Mapping[str, Any], step: int) -> Iterator[Write]:
    """A run of W&B's in RUN/wandb, offline unless ``WANDB_MODE`` says otherwise; ``wandb sync`` uploads it."""
    run = _package("wandb").init(
        project=os.environ.get("WANDB_PROJECT", "luoxia"), name=folder.name, dir=str(folder), config=dict(config),
        mode=os.environ.get("WANDB_MODE", "offline"),
    )  # fmt: skip
    try:
        yield lambda values, at: run.log(values, step=at)
    finally:
        run.finish()


@contextlib.contextmanager
def _mlflow(folder: Path, config: Mapping[str, Any], step: int) -> Iterator[Write]:
    """A run of MLflow's in RUN/mlruns, unless ``MLFLOW_TRACKING_URI`` names a server."""
    mlflow = _package("mlflow")
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", (folder / "mlruns").resolve().as_uri()))
    mlflow.set_experiment("luoxia")
    run = mlflow.start_run(run_name=folder.name)
    mlflow.log_params({key: str(value)[:500] for key, value in config.items()})
    try:
        yield lambda values, at: mlflow.log_metrics(values, step=at, run_id=run.info.run_id)
    finally:
        mlflow.end_run()
