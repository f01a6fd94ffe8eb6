"""Hugging Face folders (``config.json``, safetensors, ``tokenizer.json``), read and written.

loaded = load_folder("gpt2/")
logits = loaded.network(ids)
save_folder(loaded.network, "mine/", like=loaded)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.interchange.bert import BERT
from luoxia.interchange.config import Config
from luoxia.interchange.gpt2 import GPT2
from luoxia.interchange.llama import LLAMA, MISTRAL, QWEN2, QWEN3
from luoxia.interchange.rules import Family, Rule, matrix
from luoxia.interchange.tensors import FLOATS, Entry, FolderTensors
from luoxia.nn.transformer import Decoder, Encoder, TransformerConfig

FAMILIES = {family.kind: family for family in (GPT2, LLAMA, QWEN2, QWEN3, MISTRAL, BERT)}
HEAD = "lm_head.weight"


@dataclass
class Loaded:
    """What a folder held."""

    network: Decoder | Encoder
    architecture: str  # a key of FAMILIES
    folder: Path
    config: dict[str, Any]  # all of config.json
    kept: dict[str, Tensor] = field(
        default_factory=dict
    )  # BERT's pooler: not in the network, but saved again

    @property
    def transformer(self) -> TransformerConfig:
        """The settings of the network."""
        return self.network.config


def load_folder(path: str | Path, dtype: torch.dtype | None = torch.float32) -> Loaded:
    """The network of a Hugging Face folder, in evaluation mode on the CPU, its weights in ``dtype`` (None: as stored).

    Families: gpt2, llama, qwen2, qwen3, mistral (a `Decoder`) and bert (an `Encoder`). Nothing of the folder is run.
    ``UsageError`` for a folder or family that cannot be read, ``LuoxiaError`` naming the tensors or keys at fault.
    """
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} holds no config.json, so it is no Hugging Face folder")
    config = Config(folder / "config.json")
    family, transformer = read_transformer(config)
    tensors = FolderTensors(folder)
    names = bare_names(tensors.entries, family)
    loaded = Loaded(build(family, transformer, tensors, names, dtype), family.kind, folder, config.values)
    for name, stored in names.items():
        if re.fullmatch(family.kept, name):
            loaded.kept[name] = tensors.read(stored).clone()
    return loaded


def read_transformer(config: Config) -> tuple[Family, TransformerConfig]:
    """The family and the Transformer that a config.json describes; refuses every key that could change them."""
    family = family_of(config)
    for alias, key in family.aliases.items():
        if alias in config.values:
            config.values[key] = config.values.pop(alias)  # it counts before the other, as in transformers
    try:
        transformer = family.read(config)
    except UsageError as error:  # of its settings
        raise LuoxiaError(f"{config.path} describes no network: {error}") from error
    config.refuse_unread(family.kind, family.harmless)
    return family, transformer


def family_of(config: Config) -> Family:
    """The family that ``model_type`` names; refuses others, code of the folder's own and quantized weights."""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise UsageError(
            f"{config.path}: the architecture {str(kind)[:60]!r} is not supported, only {', '.join(FAMILIES)} are"
        )
    if config.get("quantization_config") is not None:
        raise UsageError(
            f"{config.path} describes quantized weights: give the folder of the model they were made from, "
            "and make them of 8 bits here"
        )
    family = FAMILIES[kind]
    names = config.get("architectures")
    named = names if isinstance(names, list) else []
    foreign = [name for name in named if not (isinstance(name, str) and re.fullmatch(family.classes, name))]
    if foreign or (config.get("auto_map") and not named):
        what = (
            f"architectures names {str(foreign[0])[:60]!r}"
            if foreign
            else "it has an auto_map, no architectures"
        )
        raise UsageError(
            f"{config.path}: {what}: only transformers' own classes for {kind} are supported, such as "
            f"{family.architecture}, and code that comes with a folder is never run"
        )
    return family


def bare_names(entries: Iterable[str], family: Family) -> dict[str, str]:
    """Each tensor's name in the bare network, as today's folders have it → its name in the file."""
    names: dict[str, str] = {}
    for stored in entries:
        name = stored.removeprefix(family.prefix)
        for old, new in family.renamed:
            name = name.removesuffix(old) + new if name.endswith(old) else name
        if name in names:
            raise LuoxiaError(f"the folder holds one tensor under two names, {names[name]} and {stored}")
        names[name] = stored
    return names


def all_rules(family: Family, transformer: TransformerConfig) -> list[Rule]:
    """The family's rules, and that of an untied head."""
    rules = list(family.rules(transformer))
    if not family.encoder and not transformer.tied:
        rules.append(matrix("output.weight", HEAD, transformer.vocabulary, transformer.width))
    return rules


def build(
    family: Family,
    transformer: TransformerConfig,
    tensors: FolderTensors,
    names: Mapping[str, str],
    dtype: torch.dtype | None,
) -> Decoder | Encoder:
    """The network with its weights: memory is taken once, after all names and shapes have been compared."""
    if transformer.layers > len(names):  # before as many layers are built
        raise LuoxiaError(
            f"config.json speaks of {transformer.layers:,} layers, the weights are {len(names)} tensors"
        )
    rules = all_rules(family, transformer)
    compare(rules, {name: tensors.entries[stored] for name, stored in names.items()}, family)
    first = tensors.read(names[next(iter(rules[0].parts))])
    with torch.device("meta"):
        network = (Encoder if family.encoder else Decoder)(transformer)
    network.to(dtype or first.dtype).to_empty(device="cpu")
    state = network.state_dict()
    with torch.no_grad():
        for rule in rules:
            rule.join(lambda name: tensors.read(names[name]), state[rule.ours])
    if HEAD in names and transformer.tied and not torch.equal(tensors.read(names[HEAD]), first):
        raise LuoxiaError(
            f"config.json ties the head to the embedding, but {HEAD} differs: set tie_word_embeddings=false"
        )
    return network.eval()


def compare(rules: Iterable[Rule], entries: Mapping[str, Entry], family: Family) -> None:
    """Refuse a folder with missing, extra or misshapen tensors; the message names the first of them."""
    wanted = {name: shape for rule in rules for name, shape in rule.parts.items()}
    others = re.compile(f"{family.kept}|{family.ignored}" + ("" if family.encoder else f"|{re.escape(HEAD)}"))
    problems = {
        "lacks": [name for name in wanted if name not in entries],
        "has, beyond what its config.json describes,": [
            name for name in entries if name not in wanted and not others.fullmatch(name)
        ],
        "has another shape than its config.json describes in": [
            f"{name} {list(entries[name].shape)} instead of {list(shape)}"
            for name, shape in wanted.items()
            if name in entries and entries[name].shape != shape
        ],
        "has no floating-point numbers in": [
            f"{name} ({entries[name].dtype})"
            for name in wanted
            if name in entries and entries[name].dtype not in FLOATS
        ],
    }
    for problem, found in problems.items():
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise LuoxiaError(f"the folder {problem} the tensors {', '.join(found[:3])}{more}")
