"""A frozen text encoder: a BERT-shaped folder of another toolkit, of which a model keeps a copy."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.interchange.tensors import tensor_files
from luoxia.interchange.tokenizers import FILES
from luoxia.tasks.base import article
from luoxia.tasks.loading import load_model
from luoxia.tasks.record import ModelRecord
from luoxia.training.checkpoint_files import sha256_of

FOLDER = "text_encoder"
"""Its copy within a model folder."""
ROWS = 64
"""Texts encoded together."""


class FolderEncoder:
    """The vectors of a text's tokens, without the marks around them; the weights are read when they are needed.

    Raises:
        UsageError: the folder holds no text encoder.
    """

    def __init__(self, folder: str | Path, length: int, device: str | torch.device = "cpu") -> None:
        self.folder, self.length, self.device = Path(folder), length, device
        record = ModelRecord.open(self.folder)
        if record.kind != "text encoder":
            raise UsageError(
                f"text_encoder={folder} is {article(record.kind)}: give the folder of a BERT, or words for a "
                "learned table"
            )

    @cached_property
    def model(self) -> Any:
        """A ``TextEncoder``, on the CPU unless another device was given."""
        return load_model(ModelRecord.open(self.folder), device=self.device)

    @cached_property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.model.network.config.width)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of its files."""
        digests = "".join(f"{file.name} {sha256_of(file)}\n" for file in self._files())
        return hashlib.sha256(digests.encode()).hexdigest()[:32]

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Of each text its first ``length`` tokens' vectors (t, width), float32, whatever it is read with."""
        tokenizer = self.model.tokenizer
        before, after = list(tokenizer.prefix), list(tokenizer.suffix)
        rows = [list(map(int, ids))[: self.length] for ids in tokenizer.encode_batch(list(texts))]
        wide = len(before) + self.length + len(after)  # always, for products round by their shapes
        vectors: list[NDArray[np.float32]] = []
        for first in range(0, len(rows), ROWS):
            some = rows[first : first + ROWS]
            ids, mask = np.zeros((ROWS, wide), np.int64), np.zeros((ROWS, wide), np.bool_)
            mask[:, 0] = True
            for place, row in enumerate(some):
                whole = [*before, *row, *after]
                ids[place, : len(whole)], mask[place, : len(whole)] = whole, True
            hidden = self.model.hidden(ids, mask).cpu().numpy()
            vectors += [hidden[place, len(before) : len(before) + len(row)] for place, row in enumerate(some)]
        return vectors

    def copy_to(self, model: Path) -> None:
        """Keep a copy in a model folder."""
        place = model / FOLDER
        place.mkdir()
        for file in self._files():
            shutil.copyfile(file, place / file.name)

    def _files(self) -> list[Path]:
        index = self.folder / "model.safetensors.index.json"
        small = [self.folder / name for name in ("config.json", *FILES)]
        return [*sorted(tensor_files(self.folder)), *(file for file in (*small, index) if file.is_file())]
