"""LoRA adapters as PEFT stores them: ``adapter_config.json`` and ``adapter_model.safetensors``.

Our projections hold several of theirs (queries, keys and values in one matrix). An adapter of ours is theirs with A
shared and B cut by rows; theirs are one of ours with their A's one under the other and their B's along a diagonal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import whole_folder
from luoxia.core.tensors import store
from luoxia.interchange.adapter_config import AdapterSettings
from luoxia.interchange.rules import Rule
from luoxia.interchange.saving import fitting, refuse_taken
from luoxia.interchange.tensors import FolderTensors
from luoxia.nn.lora import LoRALinear, adapters, replace_module
from luoxia.nn.transformer import Decoder, Encoder

FILE = "adapter_model.safetensors"
OUTER = "base_model.model."
Pair = tuple[Tensor, Tensor]


def projections(network: Decoder | Encoder, architecture: str | None) -> Iterator[tuple[str, Rule, str]]:
    """Name of each linear layer of ours, the rule of its matrix, and what stands before their names."""
    encoder = isinstance(network, Encoder)
    family = fitting(network.config, architecture, encoder)
    for rule in family.rules(network.config):
        if rule.ours.startswith("stack.") and len(rule.shape) == 2 and not rule.ours.endswith("norm.weight"):
            yield rule.ours.removesuffix(".weight"), rule, "" if encoder else family.prefix


def save_adapter(
    network: Decoder | Encoder, path: str | Path, architecture: str | None = None, base: str = ""
) -> Path:
    """Write the network's LoRA adapters as a PEFT folder for the model ``base`` (its name or folder).

    PEFT knows one rank and one scale: smaller adapters are filled with zeros up to the largest rank.
    ``UsageError`` when there are no adapters, their scales differ, or the folder is not empty.
    """
    path = Path(path)
    refuse_taken(path)
    layers = dict(adapters(network))
    if not layers:
        raise UsageError("the network has no LoRA adapters: add them by add_lora")
    if len({layer.scale for layer in layers.values()}) > 1:
        raise UsageError("a PEFT folder needs LoRA adapters of one scale: add them by add_lora")
    rank = max(layer.rank for layer in layers.values())
    some = next(iter(layers.values()))
    linear = list(projections(network, architecture))
    tensors: dict[str, Tensor] = {}
    for name, rule, prefix in linear:
        if name in layers:
            tensors |= _their_adapters(layers[name], rule, prefix, rank)
    config = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION" if isinstance(network, Encoder) else "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": some.scale * rank,
        "lora_dropout": some.dropout.p,
        "target_modules": _targets(linear, set(tensors)),
        "fan_in_fan_out": any(rule.transposed for _, rule, _ in linear),
        "bias": "none",
        "inference_mode": True,
    }
    with whole_folder(path) as folder:
        store(tensors, folder / FILE)
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path


def _targets(linear: list[tuple[str, Rule, str]], written: set[str]) -> list[str]:
    """Their names of the adapted layers: the last part alone where all layers of that name are adapted."""
    adapted = {True: set[str](), False: set[str]()}
    for _, rule, prefix in linear:
        for name, _ in _pairs(rule, prefix):
            adapted[name in written].add(name.removeprefix(OUTER).split(".lora_")[0])
    spared = {name.rpartition(".")[2] for name in adapted[False]} | {"dense"}  # BERT's pooler has one too
    lasts = {name: name.rpartition(".")[2] for name in adapted[True]}
    return sorted({name if last in spared else last for name, last in lasts.items()})


def _their_adapters(layer: LoRALinear, rule: Rule, prefix: str, rank: int) -> dict[str, Tensor]:
    """A and the rows of B for each of their projections, in float32."""
    extra = rank - layer.rank
    a = nn.functional.pad(layer.a.detach().cpu(), (0, 0, 0, extra))
    b = nn.functional.pad(layer.b.detach().cpu(), (0, extra))
    tensors = {}
    for (name_a, name_b), rows in zip(_pairs(rule, prefix), torch.split(b, rule.rows), strict=True):
        tensors[name_a], tensors[name_b] = a.clone(), rows.clone()
    return tensors


def load_adapter(network: Decoder | Encoder, path: str | Path, architecture: str | None = None) -> list[str]:
    """Put the adapters of a PEFT folder around the layers of ``network``; returns the names of these layers.

    ``LuoxiaError`` for kinds of adapters that are not plain LoRA, and for tensors that do not fit.
    """
    folder = Path(path)
    if any(True for _ in adapters(network)):
        raise UsageError("the network has LoRA adapters already: fold them into its weights first")
    settings = AdapterSettings.read(folder)
    file = folder / FILE
    if not file.is_file():
        raise UsageError(f"{folder} holds no {FILE}")
    tensors = FolderTensors(folder, [file])
    left = set(tensors.entries)
    pairs: dict[str, list[Pair]] = {}
    for name, rule, prefix in projections(network, architecture):
        parts = _parts(tensors, rule, prefix, settings)
        if any(len(a) for a, _ in parts):
            pairs[name] = parts
        for pair, (a, _) in zip(_pairs(rule, prefix), parts, strict=True):
            left -= set(pair) if len(a) else set()
    if left or not pairs:
        unread = ", ".join(sorted(left)[:3]) or "none"
        raise LuoxiaError(f"{file} adapts what this network does not have: {unread}")
    network.requires_grad_(False)
    for name, parts in pairs.items():
        layer = _ours(network.get_submodule(name), parts, settings.scale, settings.dropout)
        replace_module(network, name, layer)
    return list(pairs)


def _pairs(rule: Rule, prefix: str) -> list[tuple[str, str]]:
    """Where A and B of each part stand."""
    outer = [f"{OUTER}{prefix}{part.removesuffix('.weight')}" for part in rule.parts]
    return [(f"{name}.lora_A.weight", f"{name}.lora_B.weight") for name in outer]


def _parts(tensors: FolderTensors, rule: Rule, prefix: str, settings: AdapterSettings) -> list[Pair]:
    """A (r, in) and B (rows, r) of each of their projections; r = 0 where it has no adapter."""
    inputs, parts = rule.shape[1], []
    for (a, b), rows in zip(_pairs(rule, prefix), rule.rows, strict=True):
        if a not in tensors.entries or b not in tensors.entries:
            parts.append((torch.zeros(0, inputs), torch.zeros(rows, 0)))
            continue
        layer = a.removeprefix(OUTER).removesuffix(".lora_A.weight")
        if not settings.adapts(layer):
            raise LuoxiaError(
                f"{settings.config.path} does not target {layer}, which has an adapter in {FILE}: "
                "name it in target_modules, or remove its tensors"
            )
        rank = prod(tensors.entries[a].shape) // inputs
        if tensors.entries[a].shape != (rank, inputs) or tensors.entries[b].shape != (rows, rank):
            raise LuoxiaError(
                f"the adapter's tensors {a} and {b} do not fit a layer of {inputs} inputs and {rows} outputs"
            )
        expected, scale = settings.of(layer)
        if rank != expected:
            raise LuoxiaError(
                f"{settings.config.path} gives {layer} the rank {expected}, and {FILE} has one of {rank}"
            )
        parts.append((tensors.read(a).float(), tensors.read(b).float() * scale))
    return parts


def _ours(linear: nn.Module, parts: list[Pair], scale: float, dropout: float) -> LoRALinear:
    """One adapter for all parts: B·A holds each part's product in its own rows."""
    assert isinstance(linear, nn.Linear)
    down, up = zip(*parts, strict=True)
    if all(torch.equal(a, down[0]) for a in down):
        a, b = down[0], torch.cat(up)
    else:
        a, b = torch.cat(down), torch.block_diag(*up)  # type: ignore[no-untyped-call]
    layer = LoRALinear(linear, len(a), scale, dropout)
    with torch.no_grad():
        layer.a.copy_(a)
        layer.b.copy_(b)
    return layer
