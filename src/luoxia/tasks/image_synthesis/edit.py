"""Editing, as a verb: a part of a picture is painted, the rest stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.core.skips import Unusable
from luoxia.tasks.image_synthesis.sample import check_request, spec_in, wanted_of
from luoxia.tasks.image_synthesis.settings import EditSettings
from luoxia.tasks.outputs import claimed, numbered
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.fields import sort_fields

if TYPE_CHECKING:
    from luoxia.provenance.label import Label

HALF = 128
"""From this gray on a mask is white, below this opacity it is transparent."""
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def edit(record: ModelRecord, file: str, /, **settings: Any) -> Path:
    """Write edited pictures and return where; ``settings`` are those of ``EditSettings``, and the model's fields."""
    spec = spec_in(record)
    fields, others = sort_fields(settings, spec.field_names, EditSettings)
    chosen: EditSettings = EditSettings.from_settings(others)
    check_request(spec, chosen, fields)
    inputs = [Path(file), None if chosen.mask is None else Path(chosen.mask)]
    if chosen.out is None:
        out = numbered(record, ".png")
    else:
        out = claimed(record, chosen.out, (".png", ".npz", ""), chosen.overwrite, *inputs)
    image, mask = read_canvas(file, chosen.mask, record.config["spec"]["channels"], chosen.outpaint)
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.tasks.loading import load_model

    model = load_model(record, ema=chosen.ema, device=chosen.device)
    wanted = wanted_of(chosen, fields)
    edited = model.edit(image, mask, n=chosen.n, seed=chosen.seed, strength=chosen.strength, **wanted)
    own = chosen.model_dump(exclude_defaults=True, include={"strength", "outpaint"})
    label = label_of(model, record, ema=chosen.ema).asked(
        {**wanted, **own, "n": chosen.n, "ema": chosen.ema},
        seed=chosen.seed,
        parents=[one for path in inputs for one in parent(path)],
    )
    return _write(out, chosen.out or "", edited, label)


def _write(out: Path, wanted: str, images: Pixels, label: Label) -> Path:
    """One picture as it is; several as a sheet, a folder or arrays."""
    from luoxia.formats import png
    from luoxia.formats.places import form_of
    from luoxia.media.image import writer

    kind = form_of(out, wanted)
    if kind == ".png":
        return png.write(images[0], label, out) if len(images) == 1 else writer.write_grid(out, images, label)
    return (
        writer.write_npz(out, images, None, label)
        if kind == ".npz"
        else writer.write_folder(out, images, label)
    )


def read_canvas(
    file: str, mask: str | None, channels: int, outpaint: tuple[int, ...] = ()
) -> tuple[Pixels, Mask | None]:
    """A picture, uint8 (h, w, channels), and what of it is painted, (h, w) bool; None: all, where nothing says what.

    Without a ``mask`` the transparent part of the picture is painted. ``outpaint``: pixels added left, above, right
    and below, which are painted, too.

    Raises:
        UsageError: a file holds no picture, or their sizes differ.
    """
    image, opaque = _read(file, channels)
    painted = None if opaque.all() else ~opaque
    if mask is not None:
        gray, solid = _read(mask, 1)
        if gray.shape[:2] != image.shape[:2]:
            (height, width), (h, w) = image.shape[:2], gray.shape[:2]
            raise UsageError(
                f"mask={mask} has {w} × {h} pixels and {file} has {width} × {height}: give a mask of the same size"
            )
        painted = (gray[:, :, 0] >= HALF) | ~solid
    if any(outpaint):
        left, top, right, bottom = outpaint if len(outpaint) == 4 else outpaint * 4
        margins = ((top, bottom), (left, right))
        painted = np.zeros(image.shape[:2], np.bool_) if painted is None else painted
        painted = np.pad(painted, margins, constant_values=True)
        image = np.pad(image, (*margins, (0, 0)), mode="edge")
    if painted is not None and not painted.any():
        where = f"mask={mask}" if mask is not None else file
        raise UsageError(f"{where} has nothing white or transparent, so that nothing would be painted")
    return image, painted


def _read(file: str, channels: int) -> tuple[Pixels, Mask]:
    """A picture of its own size, uint8 (h, w, channels), and where it is opaque (h, w)."""
    from luoxia.media.image.convert import Conversion, convert, image_bytes, read_header

    content, name = image_bytes(file), Path(file).name
    try:
        header = read_header(content)
        to = [Conversion(header.height, header.width, number, "center") for number in (channels, 2)]
        image, alpha = (convert(content, name, one) for one in to)
    except Unusable as verdict:
        raise UsageError(f"image {file} cannot be used: {verdict}") from verdict
    return image, alpha[:, :, 1] >= HALF
