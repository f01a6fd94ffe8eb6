"""How a network's tensors are made of another toolkit's: one rule for each of ours, read in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

from luoxia.interchange.config import Config
from luoxia.nn.transformer_config import TransformerConfig


@dataclass(frozen=True)
class Rule:
    """Our tensor ``ours`` of ``shape`` is their ``parts`` (name → shape there), transposed or not, row under row."""

    ours: str
    shape: tuple[int, ...]
    parts: Mapping[str, tuple[int, ...]]
    transposed: bool = False

    def join(self, read: Callable[[str], Tensor], out: Tensor) -> None:
        """Fill ``out``, our tensor, one part at a time."""
        for rows, name in zip(torch.split(out, self.rows), self.parts, strict=True):
            part = read(name)
            rows.copy_((part.T if self.transposed else part).view_as(rows))

    def split(self, tensor: Tensor) -> dict[str, Tensor]:
        """Their tensors."""
        return {
            name: (rows.T if self.transposed else rows).reshape(shape)
            for rows, (name, shape) in zip(torch.split(tensor, self.rows), self.parts.items(), strict=True)
        }

    @property
    def rows(self) -> list[int]:
        """How many of our rows each part has."""
        return [prod(shape) // prod(self.shape[1:]) for shape in self.parts.values()]


TASKS = (
    "CausalLM", "MaskedLM", "PreTraining", "SequenceClassification", "TokenClassification", "QuestionAnswering",
    "NextSentencePrediction", "MultipleChoice",
)  # fmt: skip
"""Ends of transformers' names for a network with a head."""


@dataclass(frozen=True)
class Family:
    """What must be known of one kind of folder."""

    kind: str  # "model_type" of config.json
    architecture: str  # the class that opens it there
    prefix: str  # before each name, where the folder was not saved from the bare network
    encoder: bool
    read: Callable[[Config], TransformerConfig]
    config: Callable[[TransformerConfig], dict[str, Any]]
    rules: Callable[[TransformerConfig], Iterable[Rule]]  # names without the prefix
    harmless: frozenset[str] = frozenset()  # keys of config.json that change no logits, beside the usual
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names of keys → those that are read
    kept: str = "(?!)"  # pattern of tensors with no place in the network that are kept for saving
    ignored: str = "(?!)"  # pattern of tensors that hold nothing of the network
    renamed: tuple[tuple[str, str], ...] = ()  # ends of names of older folders → their names today

    @property
    def classes(self) -> str:
        """A pattern of the names of transformers' own classes that have this network inside."""
        name = re.sub(r"(LMHeadModel|ForCausalLM|Model)$", "", self.architecture)
        return f"{name}(Model|LMHeadModel|DoubleHeadsModel|For({'|'.join(TASKS)}))"


def vector(ours: str, theirs: str, length: int) -> Rule:
    """A tensor (length,) that is the same in both."""
    return Rule(ours, (length,), {theirs: (length,)})


def matrix(ours: str, theirs: str, rows: int, columns: int) -> Rule:
    """A tensor (rows, columns) that is the same in both."""
    return Rule(ours, (rows, columns), {theirs: (rows, columns)})


def linear(
    ours: str,
    theirs: Mapping[str, int],
    inputs: int,
    *,
    bias: bool,
    transposed: bool = False,
) -> list[Rule]:
    """A linear layer of ours from one or several of theirs, each with its number of outputs."""
    outputs = sum(theirs.values())
    parts = {f"{name}.weight": (inputs, n) if transposed else (n, inputs) for name, n in theirs.items()}
    rules = [Rule(f"{ours}.weight", (outputs, inputs), parts, transposed)]
    if bias:
        rules.append(Rule(f"{ours}.bias", (outputs,), {f"{name}.bias": (n,) for name, n in theirs.items()}))
    return rules


def layer_norm(ours: str, theirs: str, width: int) -> list[Rule]:
    """A LayerNorm with gain and offset."""
    return [vector(f"{ours}.{name}", f"{theirs}.{name}", width) for name in ("weight", "bias")]


def heads(transformer: TransformerConfig, names: Sequence[str]) -> dict[str, int]:
    """Outputs of the projections of queries, keys and values, under their ``names``."""
    sizes = [transformer.heads * transformer.d_k, *[transformer.groups * transformer.d_k] * 2]
    return dict(zip(names, sizes, strict=True))
