"""Sampling, as a verb: images of a model, written with their label as they are made."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from luoxia.core.names import many
from luoxia.core.old_names import warn_of_old_name
from luoxia.tasks.image_generation.requests import check_request, needing_styles
from luoxia.tasks.image_generation.settings import SampleSettings
from luoxia.tasks.outputs import claimed, numbered
from luoxia.tasks.record import ModelRecord

VERBS = {"interpolate": "interpolate RUN", "mix": "mix RUN", "direction": "directions RUN direction=0"}
"""Keys of ``sample`` → the commands that do the same."""
LARGE = 2**30
"""Bytes of samples from which on a message says what will be written."""


def sample(record: ModelRecord, /, **settings: Any) -> Path:
    """Write samples, and return where; ``settings`` are those of ``SampleSettings``."""
    chosen: SampleSettings = SampleSettings.from_settings(settings)
    _warn_of_verbs(chosen)
    return write_samples(record, chosen)


def write_samples(record: ModelRecord, chosen: SampleSettings) -> Path:
    """Write the samples that are asked for, and return where."""
    check_request(record, chosen.label, needing_styles(chosen.mix, chosen.mix_layers, chosen.noise))
    out = _output(record, chosen)
    from luoxia.tasks.loading import load_model
    from luoxia.training.hardware import choose_device, choose_precision

    dtype = choose_precision(chosen.precision, choose_device(chosen.device))
    generator = load_model(record, ema=chosen.ema, device=chosen.device, dtype=dtype)
    return _write(record, generator, out, chosen)


def _warn_of_verbs(chosen: SampleSettings) -> None:
    """The line for a key that is a verb now."""
    for key, command in VERBS.items():
        if getattr(chosen, key) != SampleSettings.model_fields[key].default:
            verb = command.partition(" ")[0]
            warn_of_old_name(
                f"sample {key}= is now the verb {verb}: luoxia {command}; the key works until 1.0"
            )


def _output(record: ModelRecord, chosen: SampleSettings) -> Path:
    """Where to write, checked before work starts."""
    if chosen.out is None:
        return numbered(record, ".gif" if chosen.interpolate else ".png")
    wanted = (".gif",) if chosen.interpolate else (".png", ".npz", "")
    return claimed(record, chosen.out, wanted, chosen.overwrite)


def _write(record: ModelRecord, generator: Any, out: Path, chosen: SampleSettings) -> Path:
    """Write images as they are made."""
    from luoxia.formats.places import form_of
    from luoxia.media.image import writer as writer
    from luoxia.tasks.labeling import label_of

    label = generator.class_asked(chosen.label)
    controls: dict[str, Any] = {"label": label, "truncation": chosen.truncation}
    given = {"mix": chosen.mix, "mix_layers": chosen.mix_layers}
    controls |= {key: value for key, value in given.items() if value is not None}
    controls |= {} if chosen.noise == "const" else {"noise": chosen.noise}
    request = {**controls, "ema": chosen.ema, "n": chosen.n}
    request |= {} if chosen.precision == "fp32" else {"precision": chosen.precision}
    if chosen.interpolate:
        request |= {"interpolate": chosen.interpolate}
    elif chosen.direction is not None:
        request |= {"direction": chosen.direction, "strength": chosen.strength}
    made = label_of(generator, record, ema=chosen.ema).asked(request, seed=chosen.seed)
    if chosen.interpolate:
        _say_how_much(chosen.n * chosen.interpolate, generator.shape)
        frames = generator.stream_interpolation(chosen.n, chosen.interpolate, chosen.seed, **controls)
        return writer.write_gif(out, frames, made)
    kind = form_of(out, chosen.out or "")
    if kind == ".png":
        writer.check_grid(chosen.n, generator.shape, chosen.columns)
    _say_how_much(chosen.n, generator.shape)
    shift = None
    if chosen.direction is not None:
        shift = generator.towards(chosen.direction, chosen.strength)
    images = generator.stream(chosen.n, chosen.seed, shift=shift, **controls)
    if kind == ".npz":
        labels = generator.labels(chosen.n, label)
        own = None if labels is None else labels.numpy()
        return writer.write_npz(out, images, own, made, chosen.n)
    if kind == ".png":
        return writer.write_grid(out, images, made, chosen.columns, chosen.n)
    return writer.write_folder(out, images, made)


def _say_how_much(n: int, shape: tuple[int, int, int]) -> None:
    """Say how much many images are, before they are made."""
    if (size := n * math.prod(shape)) >= LARGE:
        from luoxia.runs.display import Display

        amount = f"{many(n, 'image')} of {shape[0]} × {shape[1]} × {shape[2]}"
        Display().tell(f"{amount}: {size / 2**30:,.1f} GiB before they are packed, written as they are made")
