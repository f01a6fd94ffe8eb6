"""A trained network under other words, classes and fields: what is known by name is carried over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from luoxia.core.errors import UsageError
from luoxia.nn.lora import adapters
from luoxia.nn.transfer import load_matching
from luoxia.tasks.base_weights import trained_weights
from luoxia.tasks.image_synthesis.spec import ConditionSpec
from luoxia.tasks.networks import spec_of
from luoxia.tasks.record import ModelRecord
from luoxia.training.objective import Objective


def condition_spec(record: ModelRecord) -> ConditionSpec:
    """What a trained model can be asked for."""
    return spec_of(ConditionSpec, record.config["condition"])


def load_base(stage: Any, objective: Objective) -> dict[str, Any]:
    """Give the network of ``objective`` what fits of the model at the recipe's ``init``; the record for run.json.

    Raises:
        UsageError: nothing fits.
    """
    record = ModelRecord.open(stage.recipe.init)
    network = objective.networks[stage.network]
    trained = trained_weights(record, stage)[stage.network]
    own: dict[str, Tensor] = network.state_dict()
    fitting = carried(trained, own, condition_spec(record), stage.spec)
    report = load_matching(network, _beneath_adapters(network, fitting))
    if not report.loaded:
        raise UsageError(
            f"no weight of the {stage.network} at {record.path} fits this network: "
            "keep the recipe and the width of that run"
        )
    return {
        "path": str(record.path.resolve()),
        **record.details.as_dict(),
        "networks": {stage.network: report.as_dict()},
    }


def _beneath_adapters(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names that layers have within their adapters."""
    adapted = {name for name, _ in adapters(network)}
    return {
        f"{layer}.base.{kind}" if layer in adapted else f"{layer}{dot}{kind}": value
        for (layer, dot, kind), value in ((name.rpartition("."), value) for name, value in weights.items())
    }


def extended(before: ConditionSpec, now: ConditionSpec) -> ConditionSpec:
    """What a model of ``before`` is trained further on, for data of ``now``: its own words, then those that are new."""
    if now.text != "words" or before.text != "words":
        return now
    known = set(before.words)
    return replace(now, words=(*before.words, *(word for word in now.words if word not in known)))


def carried(
    trained: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    before: ConditionSpec,
    now: ConditionSpec,
    conditioner: str = "conditioner.",
) -> dict[str, Tensor]:
    """The ``trained`` weights of a network of ``before`` as those of one of ``now``, whose fresh weights are ``own``.

    The rows of tables of words, classes and the values of fields go to the same word, class or value; what is new
    keeps its fresh row. ``conditioner``: how the names of its `ImageConditioner`'s weights begin.
    """
    tables = conditioner + "tables."
    moved = {name: value for name, value in trained.items() if not name.startswith(tables)}
    words = conditioner + "text.content.tokens.weight"
    if before.text == now.text == "words" and words in trained and words in own:
        rows = [("", *spec.words) for spec in (before, now)]
        moved[words] = _by_name(trained[words], own[words], *rows)
    was = {name: (place, values) for place, (name, values) in enumerate(_tables(before))}
    for place, (name, values) in enumerate(_tables(now)):
        if name not in was:
            continue
        former, known = was[name]
        for key, value in trained.items():
            if not key.startswith(f"{tables}{former}."):
                continue
            target = f"{tables}{place}.{key.removeprefix(f'{tables}{former}.')}"
            by_row = key.endswith("content.weight")
            moved[target] = _by_name(value, own[target], known, values) if by_row else value
    return moved


def _tables(spec: ConditionSpec) -> list[tuple[str, tuple[str, ...]]]:
    """Name and values of each table, in order; the classes have no name of their own."""
    return [*([("", spec.classes)] if spec.classes else []), *spec.fields]


def _by_name(trained: Tensor, own: Tensor, before: Sequence[str], now: Sequence[str]) -> Tensor:
    """``own`` with the rows of ``trained`` whose names have stayed."""
    places = {name: place for place, name in enumerate(before)}
    rows = [(place, places[name]) for place, name in enumerate(now) if name in places]
    made = own.clone()
    if rows and trained.shape[1:] == own.shape[1:]:
        to, of = (list(side) for side in zip(*rows, strict=True))
        made[to] = trained[of].to(made.dtype)
    return made
