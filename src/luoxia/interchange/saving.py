"""Writing a network as a Hugging Face folder that ``transformers`` and vLLM open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import whole_folder
from luoxia.core.tensors import store
from luoxia.interchange.config import Config
from luoxia.interchange.huggingface import FAMILIES, HEAD, Loaded, all_rules
from luoxia.interchange.rules import Family
from luoxia.interchange.tensors import INDEX, SINGLE
from luoxia.interchange.tokenizers import special_ids, write_tokenizer
from luoxia.nn.lora import merged_state
from luoxia.nn.transformer import Decoder, Encoder, TransformerConfig

if TYPE_CHECKING:
    from luoxia.media.text.tokenizer import Tokenizer

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHARD = 5_000_000_000
"""Bytes of the largest file."""


def save_folder(
    network: Decoder | Encoder,
    path: str | Path,
    architecture: str | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    like: Loaded | None = None,
    dtype: str | None = None,
    shard: int = SHARD,
) -> Path:
    """Write ``network`` as a Hugging Face folder; it appears whole or not at all, and ``path`` must be new or empty.

    Args:
        network: a decoder or encoder; LoRA adapters are merged in what is written, not in the network.
        path: the folder to write.
        architecture: a key of `FAMILIES`; None takes that of ``like``, or the first that can express the network.
        tokenizer: written as ``tokenizer.json``; None copies the files of ``like``.
        like: what the network was loaded from: its tokenizer, its special tokens, BERT's pooler.
        dtype: float32, bfloat16 or float16; None keeps the network's own.
        shard: bytes of a file before the next is begun.

    Raises:
        UsageError: no family has this architecture, the folder is not empty, or the weights are of 8 bits.
        LuoxiaError: the disk refuses.
    """
    path = Path(path)
    if dtype is not None and dtype not in TYPES:
        raise UsageError(f"unknown dtype {dtype!r}; known are {', '.join(TYPES)}")
    refuse_taken(path)
    if architecture is None and like is not None:
        architecture = like.architecture
    family = fitting(network.config, architecture, isinstance(network, Encoder))
    tensors = their_tensors(network, family, None if dtype is None else TYPES[dtype])
    stored = next(iter(tensors.values())).dtype
    if like is not None and family.kind == like.architecture:
        tensors |= {name: tensor.to(stored) for name, tensor in like.kept.items()}
    config = {
        "model_type": family.kind,
        "architectures": [family.architecture],
        **family.config(network.config),
        **special_ids(tokenizer, like.config if like else {}),
        "torch_dtype": str(stored).removeprefix("torch."),
    }
    with whole_folder(path) as folder:
        write_tensors(tensors, folder, shard)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write_tokenizer(folder, tokenizer, like.folder if like else None)
    return path


def refuse_taken(path: Path) -> None:
    """Never write over what is there: stale shards beside new ones would be read."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} already exists: choose a new folder, or remove it first")


def their_tensors(network: Decoder | Encoder, family: Family, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Every tensor under the family's name, on the CPU."""
    state = merged_state(network)
    rules = all_rules(family, network.config)
    if state.keys() != {rule.ours for rule in rules}:
        odd = min(state.keys() ^ {rule.ours for rule in rules})
        raise UsageError(
            f"this network's tensors are not those of a {family.kind} ({odd}): "
            "save it before its weights are made of 8 bits"
        )
    prefix = "" if family.encoder else family.prefix
    tensors = {}
    for rule in rules:
        for name, tensor in rule.split(state[rule.ours]).items():
            stored = name if name == HEAD else prefix + name
            tensors[stored] = tensor.detach().to("cpu", dtype).clone(memory_format=torch.contiguous_format)
    return tensors


def write_tensors(tensors: dict[str, Tensor], folder: Path, shard: int) -> None:
    """One safetensors file, or several of at most ``shard`` bytes and their index."""
    shards = list(_shards(tensors, shard))
    names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    names = [SINGLE] if len(shards) == 1 else names
    for name, part in zip(names, shards, strict=True):
        store(part, folder / name)
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
            "weight_map": {key: name for name, part in zip(names, shards, strict=True) for key in part},
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")


def _shards(tensors: dict[str, Tensor], most: int) -> Iterator[dict[str, Tensor]]:
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if part and size + tensor.nbytes > most:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += tensor.nbytes
    yield part


def fitting(transformer: TransformerConfig, architecture: str | None, encoder: bool) -> Family:
    """The family that can express ``transformer``: the one asked for, or the first.

    A family fits when the config it writes is read back as the same; what only training knows (dropout, the
    initial weights) is left out.
    """
    if architecture is not None and architecture not in FAMILIES:
        raise UsageError(f"unknown architecture {architecture!r}; known are {', '.join(FAMILIES)}")
    for family in FAMILIES.values():
        if family.encoder == encoder and architecture in (None, family.kind):
            try:
                again = family.read(Config(Path("config.json"), family.config(transformer)))
            except LuoxiaError:
                continue
            if _form(again, encoder) == _form(transformer, encoder):
                return family
    known = f"{architecture} has" if architecture else "the families of Hugging Face have"
    raise UsageError(
        "this network cannot be saved as a Hugging Face folder: none of the architectures "
        f"that {known} is {transformer}"
    )


def _form(transformer: TransformerConfig, encoder: bool) -> TransformerConfig:
    """The settings without what does not change the function of the trained network."""
    return replace(
        transformer,
        kv_heads=transformer.groups,
        hidden=transformer.d_ff,
        head_width=transformer.d_k,
        qkv_bias=transformer.bias if transformer.qkv_bias is None else transformer.qkv_bias,
        encoder_layers=None,
        dropout=0.0,
        attention_dropout=0.0,
        init="gpt2",
        tied=transformer.tied or encoder,  # an encoder has no head
        rope_original=transformer.rope_original if transformer.rope_high else 0,
    )
