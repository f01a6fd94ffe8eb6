"""The tensors of a folder of safetensors files: every header is checked before a byte of the data is used.

A file is 8 bytes (the header's length, little-endian), a JSON header, and the data; the header gives each tensor's
type, shape and place. A header can lie, so nothing in it is believed: not its length, not the places, not the sizes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.regular import bytes_of, open_regular

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
LARGEST_JSON = 10_000_000
"""Bytes of a header, an index or a config: fifty times what the largest models need."""

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Type → bytes of one value; the newer 8-bit and 4-bit floats belong to quantized checkpoints."""
FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class Entry:
    """Where one tensor stands: its file, type, shape, and first and last + 1 byte of the data."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class FolderTensors:
    """Names and shapes at once, values on demand: ``entries`` from the checked headers, ``read`` maps the file."""

    def __init__(self, folder: Path, files: Iterable[Path] | None = None) -> None:
        """Read the headers of ``files``, or of the model in ``folder``; ``LuoxiaError`` for a damaged one."""
        self.entries: dict[str, Entry] = {}
        for file in tensor_files(folder) if files is None else files:
            for name, entry in read_header(file).items():
                if name in self.entries:
                    raise LuoxiaError(
                        f"{folder} holds the tensor {name} twice, in {self.entries[name].file.name} and {file.name}"
                    )
                self.entries[name] = entry
        self._open: dict[Path, Any] = {}

    def read(self, name: str) -> Tensor:
        """The tensor's values, as they are stored."""
        from safetensors import SafetensorError, safe_open

        file = self.entries[name].file
        try:
            if file not in self._open:
                self._open[file] = safe_open(file, "pt")
            tensor: Tensor = self._open[file].get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise LuoxiaError(f"{file} cannot be read: {' '.join(str(error).split())[:200]}") from error
        return tensor


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file; ``LuoxiaError`` says what else it is."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise LuoxiaError(
                f"{path} is larger than {LARGEST_JSON:,} bytes, so it is not a file of this kind"
            )
        content = json.loads(bytes_of(path))
    except OSError as error:
        raise LuoxiaError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise LuoxiaError(f"{path} is not valid JSON: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise LuoxiaError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def tensor_files(folder: Path) -> list[Path]:
    """The safetensors file of ``folder``, or the shards that its index names."""
    if (folder / INDEX).is_file():
        return _shards(folder)
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    pickled = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickled:
        raise UsageError(
            f"{folder} holds its weights only as {pickled[0]}, a pickle that could run code; open it once where you "
            'trust it, AutoModel.from_pretrained(…).save_pretrained("NEW") in transformers, and load NEW'
        )
    raise UsageError(f"{folder} holds no {SINGLE} and no {INDEX}")


def _shards(folder: Path) -> list[Path]:
    weights = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise LuoxiaError(f"{folder / INDEX} has no weight_map from tensors to files")
    names = set()
    for name in weights.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise LuoxiaError(
                f"{folder / INDEX} names {str(name)[:100]!r}, which is not a safetensors file in its folder"
            )
        names.add(name)
    for name in sorted(names):
        if not (folder / name).is_file():
            raise LuoxiaError(f"{folder} lacks the shard {name} that {INDEX} names; copy it there too")
    if SINGLE not in names and (folder / SINGLE).is_file():
        raise LuoxiaError(
            f"{folder} holds {SINGLE} and {INDEX}, which names other files: remove the weights that do not count"
        )
    return [folder / name for name in sorted(names)]


def read_header(file: Path) -> dict[str, Entry]:
    """The checked header of one safetensors file; ``LuoxiaError`` names what is wrong with it."""
    try:
        return _read_header(file)
    except OSError as error:
        raise LuoxiaError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise LuoxiaError(f"{file} is not a readable safetensors file: {str(error)[:300]}") from error


def _read_header(file: Path) -> dict[str, Entry]:
    size = file.stat().st_size
    with open_regular(file) as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"its header claims {length:,} bytes in a file of {size:,}")
        if length > LARGEST_JSON:
            raise ValueError(f"its header claims {length:,} bytes, more than the {LARGEST_JSON:,} allowed")
        header = json.loads(stream.read(length), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    header.pop("__metadata__", None)
    entries = {name: _entry(file, name, described) for name, described in header.items()}
    _check_places(entries, size - 8 - length)
    return entries


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"its header has the key {key[:100]!r} twice")
        result[key] = value
    return result


def _entry(file: Path, name: str, described: Any) -> Entry:
    """One tensor's description, checked for its own sake."""
    keys = ("dtype", "shape", "data_offsets")
    if not isinstance(described, dict) or sorted(described) != sorted(keys):
        raise ValueError(f"the tensor {name[:100]} is not described by dtype, shape and data_offsets")
    dtype, shape, places = (described[key] for key in keys)
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise ValueError(
            f"the tensor {name[:100]} has the type {str(dtype)[:20]!r}; only {', '.join(BYTES)} are known, for shorter "
            "ones are of quantized weights: give the folder that these were made from"
        )
    if not _naturals(shape) or not _naturals(places) or len(places) != 2:
        raise ValueError(f"the shape or place of the tensor {name[:100]} is not made of whole numbers")
    if places[1] - places[0] != math.prod(shape) * BYTES[dtype]:
        raise ValueError(f"the tensor {name[:100]} of shape {shape} does not fill its place {places}")
    return Entry(file, dtype, tuple(shape), *places)


def _naturals(values: Any) -> bool:
    """Whether ``values`` is a short list of whole numbers from 0 that fit in 64 bits."""
    if not isinstance(values, list) or len(values) > 8:
        return False
    return all(type(value) is int and 0 <= value < 2**63 for value in values)


def _check_places(entries: dict[str, Entry], size: int) -> None:
    """The tensors must tile the data: no gap, no overlap, nothing beyond the end."""
    place = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.stop > size:
            raise ValueError(
                f"the tensor {name[:100]} ends at byte {entry.stop:,} of {size:,}; the file is cut off"
            )
        if entry.start != place:
            kind = "overlaps the tensor before it" if entry.start < place else "leaves a gap before it"
            raise ValueError(f"the tensor {name[:100]} {kind}")
        place = entry.stop
    if place != size:
        raise ValueError(f"{size - place:,} bytes follow its last tensor")
