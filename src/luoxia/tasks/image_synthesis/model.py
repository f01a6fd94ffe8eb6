"""A trained synthesizer: images from a text, a class, fields such as a style; and images painted in part."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.config import checked
from luoxia.core.errors import UsageError
from luoxia.core.sentences import shown
from luoxia.provenance.label import Label
from luoxia.tasks.image_synthesis.conditions import ConditionBatch, TextReader, reader_of, request
from luoxia.tasks.image_synthesis.settings import DRAWING, EditSettings, SynthesisSampleSettings
from luoxia.tasks.image_synthesis.spec import ConditionSpec
from luoxia.tasks.shared.chunks import CHUNK, joined
from luoxia.training.objective import hashed

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Settings:
    """How images are drawn.

    ``guidance`` s leads from what is drawn without a condition u (or with the negative one) to that with it c:
    u + s · (c − u), so that 1 is none; it applies within ``interval``, shares of the course of sampling, 0 the start.
    ``steps``: of those that take some, None for the recipe's. ``top_k`` 0 and ``top_p`` 1: draw from all codes.
    ``strength``: how much of what is painted may change, 1 all of it.
    """

    guidance: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    steps: int | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    strength: float = 1.0


@dataclass(frozen=True)
class Known:
    """An image for each row, uint8 (n, h, w, c), and where all are painted: mask (h, w) bool, True = painted."""

    image: Pixels = field(repr=False)
    mask: NDArray[np.bool_] = field(repr=False)


class Generator(Protocol):
    """What draws images: a prior over a codec's tokens, or a flow."""

    edits: bool
    """Whether it can paint a part of an image."""

    def draw(
        self,
        conditions: ConditionBatch,
        negative: ConditionBatch | None,
        seed: int,
        numbers: Sequence[int],
        settings: Settings,
        known: Known | None,
    ) -> Tensor:
        """Images, uint8 (n, h, w, c), of n conditions; image i is a function of its row, seed and numbers[i].

        ``negative``: what guidance leads away from, None for no condition. ``known``: what stays of an image.
        """
        ...


class ImageSynthesizer:
    """A trained synthesizer of images.

    ``spec`` says what it can be asked for, ``shape`` is that of an image (height, width, channels), ``defaults`` how it
    draws if nothing else is asked. No call changes it, so that several threads may use one.
    """

    details: Label

    def __init__(
        self,
        generator: Generator,
        spec: ConditionSpec,
        *,
        shape: tuple[int, int, int],
        details: Label,
        device: str | torch.device = "cpu",
        defaults: Settings = Settings(),
        encoder: TextReader | None = None,
    ) -> None:
        self.generator, self.spec, self.shape = generator, spec, shape
        self.details, self.device, self.defaults = details, torch.device(device), defaults
        self.reader = reader_of(spec, encoder)

    CHECKED: ClassVar[tuple[str, ...]] = ("seed", *DRAWING)

    @checked(SynthesisSampleSettings, "n", *CHECKED)
    def sample(self, n: int = 16, seed: int = 0, **wanted: Any) -> Pixels:
        """N images, uint8 (n, height, width, channels); image i is a pure function of (seed, i) and what is asked.

        ``wanted``: ``text``, one or a list of which images take turns; ``label``, a class by name or number;
        ``negative``, a text that guidance leads away from; ``guidance``, 1 for none, ``guidance_low`` and
        ``guidance_high``, the shares of sampling between which it applies; ``steps``, ``temperature``, ``top_k``,
        ``top_p``; and the model's own fields, such as ``style``. What is not asked for is left open; without any
        condition the classes take turns.

        Raises:
            UsageError: the model lacks what is asked for.
        """
        return joined(self.stream(n, seed, **wanted), n, self.shape)

    @checked(SynthesisSampleSettings, "n", *CHECKED)
    def stream(self, n: int = 16, seed: int = 0, **wanted: Any) -> Iterator[Pixels]:
        """The images of ``sample``, at most ``CHUNK`` at a time, each chunk made when it is asked for."""
        conditions, negative, settings = self._wanted(n, wanted)
        return self._chunks(conditions, negative, seed, settings)

    @checked(EditSettings, "n", "strength", *CHECKED)
    def edit(
        self,
        image: Pixels,
        mask: NDArray[np.bool_] | None = None,
        *,
        n: int = 1,
        seed: int = 0,
        strength: float = 1.0,
        **wanted: Any,
    ) -> Pixels:
        """N images, uint8 (n, height, width, channels), that are ``image`` where ``mask`` is False.

        ``image``: uint8 (height, width, channels), of the model's shape or larger: then windows of that shape are
        painted one after the other, those with most around them known first. ``mask``: bool (height, width), True =
        painted; None paints all, which is a variation with ``strength`` below 1. ``wanted``: as in ``sample``.

        Raises:
            UsageError: the model cannot edit, lacks what is asked for, or a shape does not fit.
        """
        painted = self._check_canvas(image, mask)
        conditions, negative, settings = self._wanted(n, wanted)
        settings = replace(settings, strength=strength)
        canvas = np.repeat(image[None], n, axis=0)
        height, width = self.shape[:2]
        for number, (top, left) in enumerate(windows(painted, height, width)):
            rows, columns = slice(top, top + height), slice(left, left + width)
            known = Known(canvas[:, rows, columns], painted[rows, columns])
            own = seed if number == 0 else hashed(seed, number)
            chunks = self._chunks(conditions, negative, own, settings, known)
            canvas[:, rows, columns] = joined(chunks, n, self.shape)
            painted[rows, columns] = False
        return canvas

    def paint(
        self, images: Pixels, mask: NDArray[np.bool_], conditions: ConditionBatch, seed: int = 0
    ) -> Pixels:
        """Images, uint8 (n, height, width, channels), painted where ``mask`` (height, width) is True, by conditions."""
        self.check_edits()
        chunks = self._chunks(conditions, None, seed, self.defaults, Known(images, mask))
        return joined(chunks, len(conditions), self.shape)

    def draw(self, conditions: ConditionBatch, seed: int = 0, **drawing: Any) -> Pixels:
        """An image for each row of ``conditions``, uint8 (n, height, width, channels), by the defaults."""
        settings = self._settings(drawing)
        return joined(self._chunks(conditions, None, seed, settings), len(conditions), self.shape)

    def labels(self, n: int, **wanted: Any) -> NDArray[np.int64] | None:
        """The classes (n,) of the images that ``sample`` draws; None where no class is asked for."""
        conditions = self._wanted(n, wanted)[0]
        if conditions.label is None or conditions.no_label is None or conditions.no_label.any():
            return None
        return conditions.label.numpy()

    def check_edits(self) -> None:
        """``UsageError`` where the model cannot paint a part of an image."""
        if not self.generator.edits:
            raise UsageError(
                "this model draws images from top to bottom (order=raster) and cannot edit: train one with "
                "order=random, or a flow"
            )

    def _wanted(
        self, n: int, wanted: dict[str, Any]
    ) -> tuple[ConditionBatch, ConditionBatch | None, Settings]:
        """Conditions, negative ones, and how to draw."""
        drawing = {key: wanted[key] for key in DRAWING if key in wanted}
        rest = {key: value for key, value in wanted.items() if key not in drawing}
        against = rest.pop("negative", None)
        self.spec.check_text("negative", against)
        conditions = request(self.spec, n, reader=self.reader, **rest)
        negative = None
        if against is not None:
            negative = request(self.spec, n, text=against, reader=self.reader)
        self._warn_of_unknown(rest.get("text"), against)
        return conditions, negative, self._settings(drawing)

    def _warn_of_unknown(self, *texts: str | Sequence[str] | None) -> None:
        listed = [one for text in texts if text for one in ([text] if isinstance(text, str) else text)]
        if sentence := self.spec.warning(listed):
            warnings.warn(sentence, stacklevel=4)

    def _settings(self, drawing: dict[str, Any]) -> Settings:
        given = {key: value for key, value in drawing.items() if value is not None}
        low = given.pop("guidance_low", self.defaults.interval[0])
        high = given.pop("guidance_high", self.defaults.interval[1])
        if low > high:
            raise UsageError(f"guidance_low={low:g} is above guidance_high={high:g}: lower it")
        return replace(self.defaults, interval=(low, high), **given)

    @torch.inference_mode()
    def _chunks(
        self,
        conditions: ConditionBatch,
        negative: ConditionBatch | None,
        seed: int,
        settings: Settings,
        known: Known | None = None,
    ) -> Iterator[Pixels]:
        n = len(conditions)
        for first in range(0, n, CHUNK):
            many = min(CHUNK, n - first)
            rows = torch.arange(first, first + CHUNK).clamp_max(first + many - 1)  # the last one fills up
            own, other = (
                None if batch is None else batch.take(rows).to(self.device)
                for batch in (conditions, negative)
            )
            assert own is not None
            numbers = range(first, first + CHUNK)
            given = None if known is None else Known(known.image[rows.numpy()], known.mask)
            images = self.generator.draw(own, other, seed, numbers, settings, given)[:many].cpu().numpy()
            if given is not None:  # whatever a codec makes of them, known pixels stay as they are
                images = np.where(given.mask[:, :, None], images, given.image[:many])
            yield images

    def _check_canvas(self, image: Any, mask: Any) -> NDArray[np.bool_]:
        """What is painted, (height, width) bool, of an image that fits."""
        self.check_edits()
        height, width, channels = self.shape
        shape: tuple[int, ...] = getattr(image, "shape", ())
        if len(shape) != 3 or shape[2] != channels or image.dtype != np.uint8:
            raise UsageError(
                f"edit needs an image of uint8 (height, width, {channels}), not {shown(image)}: convert it"
            )
        if shape[0] < height or shape[1] < width:
            raise UsageError(
                f"edit needs an image of {width} × {height} pixels or larger, not {shape[1]} × {shape[0]}: enlarge it, "
                "or add a margin with outpaint="
            )
        if mask is None:
            return np.ones(image.shape[:2], np.bool_)
        if getattr(mask, "shape", None) != image.shape[:2] or mask.dtype != np.bool_:
            raise UsageError(f"mask must be bool {image.shape[:2]} (height, width), not {shown(mask)}")
        return np.array(mask)


def windows(painted: NDArray[np.bool_], height: int, width: int) -> Iterator[tuple[int, int]]:
    """Where (top, left) windows of that shape paint a larger canvas (h, w); it is read again after each.

    Windows stand half their size apart. The next is that with most known pixels among those with painted ones.
    """
    tops, lefts = (
        sorted({*range(0, total - side, max(1, side // 2)), total - side})
        for total, side in zip(painted.shape, (height, width), strict=True)
    )
    while painted.any():
        candidates = [(int(painted[t : t + height, x : x + width].sum()), t, x) for t in tops for x in lefts]
        _, top, left = min(one for one in candidates if one[0])
        yield top, left
