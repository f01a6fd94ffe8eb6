"""A trained decoder to begin with, or to export: a run's, or that of a Hugging Face folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.interchange.config import Config
from luoxia.interchange.huggingface import Loaded, load_folder, read_transformer
from luoxia.interchange.peft import load_adapter, save_adapter
from luoxia.interchange.saving import fitting
from luoxia.interchange.tensors import read_json
from luoxia.interchange.tokenizers import FILES, end_tokens
from luoxia.media.text.chat import ChatTemplate
from luoxia.media.text.tokenizer import FILE, Tokenizer
from luoxia.nn.lora import adapters, add_lora, fold
from luoxia.nn.transformer import Decoder
from luoxia.provenance.label import Label
from luoxia.tasks.base import article
from luoxia.tasks.language_modeling.encoder import TextEncoder
from luoxia.tasks.language_modeling.model import TextGenerator
from luoxia.tasks.loading import usable
from luoxia.tasks.networks import no_larger_than
from luoxia.tasks.record import ModelRecord

FOREIGN = "huggingface"
"""Of a model folder whose weights began in a Hugging Face folder: the small files of that folder."""
ADAPTER = "adapter"


@dataclass(frozen=True)
class BaseModel:
    """A decoder with its weights; ``foreign``: the folder with the small files of the toolkit it began in.

    ``details`` says where it comes from.
    """

    network: Decoder
    foreign: Path | None
    details: Label

    @classmethod
    def open(cls, path: str, adapter: str | None = None) -> BaseModel:
        """Of a run or a model folder, or of a Hugging Face folder, with a PEFT ``adapter`` merged."""
        record = ModelRecord.open(path)
        if record.is_foreign:
            foreign_tokenizer(record.folder)  # refuses one that does not fit
            loaded = merged(load_folder(record.folder), adapter)
            if not isinstance(loaded.network, Decoder):
                raise UsageError(f"{path} is an encoder and cannot generate text: give a model that can")
            return cls(loaded.network, record.folder, foreign_details(loaded, record.folder))
        refuse_adapter(path, adapter)
        if record.kind != "language model":
            raise UsageError(f"{path} contains {article(record.kind)}, expected a language model")
        with usable(record.folder):
            weights = record.weights()
            with no_larger_than(weights):
                model = record.task.load(record, weights, details=Label(), device="cpu")
        foreign = record.folder / FOREIGN
        return cls(model.network, foreign if foreign.is_dir() else None, record.details)

    @property
    def like(self) -> Loaded | None:
        """What its small files say, for saving it as it came."""
        if self.foreign is None:
            return None
        config = read_json(self.foreign / "config.json")
        return Loaded(self.network, str(config.get("model_type")), self.foreign, config)


def base_tokenizer(path: str) -> Tokenizer:
    """The tokenizer of such a folder; ``UsageError`` where it has none."""
    record = ModelRecord.open(path)
    tokenizer = foreign_tokenizer(record.folder) if record.is_foreign else Tokenizer.load(record.folder)
    if tokenizer is None:
        raise UsageError(
            f"{path} has no tokenizer.json, and text cannot be learned without: save the tokenizer there"
        )
    return tokenizer


def base_chat(path: str) -> ChatTemplate:
    """How the model of such a folder writes chats."""
    record = ModelRecord.open(path)
    return ChatTemplate.of(record.folder if record.is_foreign else record.folder / FOREIGN)


def foreign_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a Hugging Face folder; None where none lies there.

    ``LuoxiaError`` where it has tokens that the network's embedding lacks.
    """
    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_huggingface(folder, next(iter(end_tokens(folder)), None))
    elif (folder / FILE).is_file():
        tokenizer = Tokenizer.load(folder)
    else:
        return None
    rows = read_transformer(Config(folder / "config.json"))[1].vocabulary
    if tokenizer.vocabulary > rows:
        beyond = [name for name, token in tokenizer.specials.items() if token >= rows]
        named = f", such as {', '.join(beyond[:3])}," if beyond else ""
        raise LuoxiaError(
            f"the tokenizer in {folder} has {tokenizer.vocabulary:,} tokens and the network's embedding only {rows:,} "
            f"rows: tokens were added{named} without a row for each; in transformers, "
            "model.resize_token_embeddings(len(tokenizer)) adds them"
        )
    return tokenizer


def load_foreign(
    folder: Path, device: torch.device, adapter: str | Path | None = None, **precise: Any
) -> TextGenerator | TextEncoder:
    """The model of a Hugging Face folder, with its tokenizer where one lies there and a PEFT ``adapter`` merged."""
    tokenizer, loaded = foreign_tokenizer(folder), merged(load_folder(folder), adapter)
    controls = {} if adapter is None else {"adapter": Path(adapter).resolve().name}
    details = replace(foreign_details(loaded, folder), controls=controls)
    common: dict[str, Any] = {"details": details, "device": device, **precise}
    if isinstance(loaded.network, Decoder):
        chat = ChatTemplate.of(folder)
        return TextGenerator(loaded.network, tokenizer, ends=end_tokens(folder), chat=chat, **common)
    return TextEncoder(loaded.network, tokenizer, **common)


def foreign_details(loaded: Loaded, folder: Path) -> Label:
    """Where a model of another toolkit comes from."""
    return Label(recipe=loaded.architecture, run=folder.resolve().name)


def merged(loaded: Loaded, adapter: str | Path | None) -> Loaded:
    """The network with the adapter of a PEFT folder in its weights."""
    if adapter is not None:
        load_adapter(loaded.network, adapter, loaded.architecture)
        fold(loaded.network)
    return loaded


def refuse_adapter(path: str | Path, adapter: str | Path | None) -> None:
    """PEFT's adapters are made for the folders of its toolkit."""
    if adapter is not None:
        raise UsageError(
            f"adapter={adapter} needs a Hugging Face folder, the one it was trained on, and {path} is none: "
            f"write one with luoxia export {path} out=FOLDER"
        )


def learned_ends(folder: Path, tokenizer: Tokenizer) -> tuple[int, ...]:
    """What ends the texts of a fine-tuned model: its tokenizer's end, which it learned, and those it came with."""
    own = () if tokenizer.eos is None else (tokenizer.eos,)
    return (*own, *end_tokens(folder / FOREIGN))


def copy_foreign(base: BaseModel, model: Path, new: Path) -> None:
    """Keep the small files of the toolkit that the weights began in, so that they can go back there.

    Into the ``new`` model folder, from where they began, or from the ``model`` folder so far.
    """
    if base.foreign is None:
        return
    (new / FOREIGN).mkdir()
    for name in ("config.json", *FILES):
        candidates = (place / name for place in (base.foreign, model / FOREIGN) if (place / name).is_file())
        if (source := next(candidates, None)) is not None:
            shutil.copyfile(source, new / FOREIGN / name)


def write_adapter(network: Decoder, base: BaseModel, path: str, model: Path) -> None:
    """The adapters as a PEFT folder, where PEFT's toolkit has the network's architecture."""
    kind = None if base.like is None else base.like.architecture
    try:
        fitting(network.config, kind, encoder=False)
    except LuoxiaError:
        return
    save_adapter(network, model / ADAPTER, kind, path)


def load_adapted(network: Decoder, weights: dict[str, Any], sizes: Callable[[], tuple[int, float]]) -> None:
    """Take over weights with or without adapters beside them, whose rank and α are ``sizes``, and make one of both."""
    if any(name.endswith(".base.weight") for name in weights):
        add_lora(network, *sizes())
    network.load_state_dict(weights)
    if any(True for _ in adapters(network)):
        fold(network)
