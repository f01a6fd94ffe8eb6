"""Conditions as tensors: those of a batch of training, drawn from what is said of its images, and those asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.order import generator_for
from luoxia.media.image.captions import CATEGORY, CaptionedImages
from luoxia.tasks.image_synthesis.spec import ConditionSpec, words_of
from luoxia.training.objective import Examples

MOST_WORDS = 8192
"""Words of a learned table: the commonest of the captions."""
OMITTED = 0.25
"""Share of examples that leave a condition out where others remain, so that each can be asked for alone."""
CAPTION, TAGS, GROUP = 0.8, 0.5, 0.3
"""Shares of examples whose text has a caption, keywords, a category; where none is drawn, it is the first there is."""
TAGGED = 4
"""Keywords drawn at most."""
Indices = NDArray[np.int64]


@dataclass
class ConditionBatch(Examples):
    """The conditions of n examples; each is None where the model does not know it.

    ``label`` (n,) int64; ``fields`` (n, k) int64; ``text`` (n, s) int64 ids or (n, s, d) float32 vectors with ``mask``
    (n, s) bool, True = read, nowhere true in a row without a text. ``no_label`` (n,) and ``no_fields`` (n, k) bool:
    True where a row goes without.
    """

    rows: int
    label: Tensor | None = None
    no_label: Tensor | None = None
    fields: Tensor | None = None
    no_fields: Tensor | None = None
    text: Tensor | None = None
    mask: Tensor | None = None

    def __len__(self) -> int:
        return self.rows

    def take(self, rows: Sequence[int] | Tensor) -> ConditionBatch:
        """These rows, in this order; one may come several times."""
        index = torch.as_tensor(rows)
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rows"}
        taken = {
            name: None if value is None else value[index.to(value.device)] for name, value in values.items()
        }
        return ConditionBatch(len(index), **taken)


@dataclass
class Conditioned(Examples):
    """A batch of training: images (n, c, h, w) float32 in [−1, 1], or tokens, and their conditions."""

    samples: Tensor
    conditions: ConditionBatch

    def __len__(self) -> int:
        return len(self.samples)

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""
        moved = super().to(device)
        moved.conditions = self.conditions.to(device)
        return moved

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory of the batch until the work on this stream so far is done."""
        super().record_stream(stream)
        self.conditions.record_stream(stream)


class TextReader(Protocol):
    """What makes values of texts: ids of words, or vectors of a frozen encoder."""

    def read(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        """Of each text its words' ids (t,) int64, or its tokens' vectors (t, d) float32."""
        ...


class WordReader:
    """The ids of the words that a table has; others are left out."""

    def __init__(self, words: Sequence[str]) -> None:
        self.ids = {word: number for number, word in enumerate(words, 1)}

    def read(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Of each text its words' ids (t,)."""
        return [
            np.array([self.ids[word] for word in words_of(text) if word in self.ids], np.int64)
            for text in texts
        ]


def reader_of(spec: ConditionSpec, encoder: TextReader | None = None) -> TextReader | None:
    """What reads texts for a model; ``encoder`` is the frozen one of a spec that has one."""
    if spec.text == "encoder":
        assert encoder is not None, "a spec with an encoder needs it"
        return encoder
    return WordReader(spec.words) if spec.text == "words" else None


# ------------------------------------------------------------------ what is known of the data


def spec_for(
    data: CaptionedImages,
    train: Indices,
    *,
    condition: str,
    text_length: int,
    encoder: tuple[str, int] | None = None,
    reserved: Iterable[str] = (),
) -> ConditionSpec:
    """What a model can learn of ``data`` under the recipe's ``condition``: auto, none, class, text or both.

    ``train``: the images whose words make the table. ``encoder``: fingerprint and width of a frozen one instead of it.
    Columns whose names are ``reserved`` for keys are left out.
    """
    captions = data.captions
    described = bool(captions.captioned or any(captions.keywords))
    by_text = described and condition in ("auto", "text", "both")
    by_class = condition in ("auto", "class", "both")
    taken = {name.casefold() for name in reserved}
    known: list[tuple[str, tuple[str, ...]]] = []
    for name, values in captions.fields.items():
        part_of_text = name.lower() == CATEGORY and by_text
        if condition != "none" and not part_of_text and name.casefold() not in taken:
            known.append((name, tuple(sorted({values[i] for i in train} - {""}))))
    spec = ConditionSpec(
        classes=tuple(data.classes) if by_class else (),
        fields=tuple((name, values) for name, values in known if len(values) > 1),
        text_length=text_length,
    )
    if not by_text:
        return spec
    if encoder is not None:
        return replace(spec, text="encoder", encoder=encoder[0], encoder_width=encoder[1])
    return replace(spec, text="words", words=_table(data, train))


def _table(data: CaptionedImages, train: Indices) -> tuple[str, ...]:
    """The words of what is said of the images of training, the commonest first."""
    counts: Counter[str] = Counter()
    for texts in _said(data):
        for index in train:
            for text in texts[index]:
                counts.update(words_of(text))
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS])


def _said(data: CaptionedImages) -> tuple[Sequence[Sequence[str]], ...]:
    """Captions, keywords and category of each image."""
    captions = data.captions
    column = next((name for name in captions.fields if name.lower() == CATEGORY), None)
    categories = [()] * len(data) if column is None else [(v,) if v else () for v in captions.fields[column]]
    return captions.texts, captions.keywords, categories


class _Parts:
    """Lists of texts, one list an image, as values that are gathered without a loop over images."""

    def __init__(self, listed: Sequence[Sequence[str]], number: Mapping[str, int]) -> None:
        self.counts = np.array([len(texts) for texts in listed], np.int64)
        self.first = np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)
        self.numbers = np.array([number[text] for texts in listed for text in texts] or [0], np.int64)

    def pick(self, indices: Indices, place: Indices) -> Indices:
        """The number of text ``place`` (n,), counted around, of each image; −1 where it has none."""
        counts = self.counts[indices]
        at = self.first[indices] + place % np.maximum(counts, 1)
        return np.where(counts > 0, self.numbers[np.minimum(at, len(self.numbers) - 1)], -1)


class ConditionData:
    """The conditions of a data set's images, as batches: pure functions of (seed, key)."""

    def __init__(
        self, spec: ConditionSpec, data: CaptionedImages, seed: int, reader: TextReader | None = None
    ) -> None:
        self.spec, self.seed = spec, seed
        self.labels: Indices | None = None
        if spec.classes:
            named = (
                [""] * len(data) if data.labels is None else [data.classes[label] for label in data.labels]
            )
            self.labels = _numbers(named, spec.classes)
        unsaid = ("",) * len(data)
        columns = [_numbers(data.captions.fields.get(name, unsaid), values) for name, values in spec.fields]
        self.columns = np.stack(columns, axis=1) if columns else None
        self.parts: tuple[_Parts, ...] = ()
        if reader is not None:
            said = _said(data)
            distinct = list(dict.fromkeys(text for listed in said for texts in listed for text in texts))
            number = {text: place for place, text in enumerate(distinct)}
            self.parts = tuple(_Parts(listed, number) for listed in said)
            self.values = _Values(reader.read(distinct), spec)

    def draw(self, indices: Indices, *key: object) -> ConditionBatch:
        """Conditions for training: of several captions one, keywords and category at random, some left out."""
        n = len(indices)
        chance = generator_for("conditions", self.seed, *key).random_raw(n * 9).reshape(9, n) / 2.0**64
        batch = self._known(indices)
        others = batch.label is not None
        if batch.fields is not None and batch.no_fields is not None:
            if others or self.parts:
                left = generator_for("fields", self.seed, *key).random_raw(batch.fields.numel()) / 2.0**64
                batch.no_fields |= torch.from_numpy(left.reshape(batch.fields.shape) < OMITTED)
            others = True
        if self.parts:
            texts = self._drawn_texts(indices, chance)
            if others:
                texts[chance[7] > 1 - OMITTED] = -1
            batch.text, batch.mask = self.values.joined(texts)
            if batch.no_label is not None:
                batch.no_label |= torch.from_numpy(chance[7] < OMITTED)
        return batch

    def whole(self, indices: Indices) -> ConditionBatch:
        """All that is known of the images, of several captions the first: what samples of them are asked by."""
        batch = self._known(indices)
        if self.parts:
            first = np.stack([part.pick(indices, np.zeros_like(indices)) for part in self.parts], axis=1)
            found = first >= 0
            one = np.where(found.any(1), first[np.arange(len(first)), found.argmax(1)], -1)
            batch.text, batch.mask = self.values.joined(one[:, None])
        return batch

    def groups(self) -> dict[str, Indices]:
        """The class and each field of all images as numbers (n,), −1 where there is none; by name."""
        found = {} if self.labels is None else {"class": self.labels}
        if self.columns is not None:
            found |= dict(zip(self.spec.field_names, self.columns.T, strict=True))
        return found

    def _known(self, indices: Indices) -> ConditionBatch:
        batch = ConditionBatch(len(indices))
        if self.labels is not None:
            labels = torch.from_numpy(self.labels[indices])
            batch.label, batch.no_label = labels.clamp_min(0), labels < 0
        if self.columns is not None:
            numbers = torch.from_numpy(self.columns[indices])
            batch.fields, batch.no_fields = numbers.clamp_min(0), numbers < 0
        return batch

    def _drawn_texts(self, indices: Indices, chance: NDArray[np.float64]) -> Indices:
        """Numbers of texts (n, 2 + TAGGED): a caption, keywords that follow each other, a category; −1 for none."""
        place = (chance * 2**31).astype(np.int64)
        captions, tags, groups = self.parts
        caption = captions.pick(indices, place[3])
        few = 1 + place[5] % np.minimum(np.maximum(tags.counts[indices], 1), TAGGED)
        listed = [np.where(i < few, tags.pick(indices, place[4] + i), -1) for i in range(TAGGED)]
        group = groups.pick(indices, np.zeros_like(indices))
        drawn = np.stack([caption, *listed, group], axis=1)
        keep = np.stack([chance[0] < CAPTION, *[chance[1] < TAGS] * TAGGED, chance[2] < GROUP], axis=1)
        found = drawn >= 0
        nothing = ~(keep & found).any(1) & found.any(1)
        keep[nothing, found[nothing].argmax(1)] = True
        return np.where(keep, drawn, -1)


class _Values:
    """What a reader made of texts, one after the other in memory."""

    def __init__(self, read: Sequence[NDArray[Any]], spec: ConditionSpec) -> None:
        shape = (spec.encoder_width,) if spec.text == "encoder" else ()
        kind = np.float32 if shape else np.int64
        cut = [values[: spec.text_length] for values in read]
        self.length = spec.text_length
        self.lengths = np.array([len(values) for values in cut] or [0], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        self.flat = np.concatenate([np.zeros((1, *shape), kind), *(v.reshape(-1, *shape) for v in cut)])

    def joined(self, numbers: Indices) -> tuple[Tensor, Tensor]:
        """Texts by number (n, m), −1 for none, one after the other → values (n, s[, d]), mask (n, s)."""
        present = numbers >= 0
        rows = np.where(present, numbers, 0)
        lengths = np.where(present, self.lengths[rows], 0)
        ends = np.cumsum(lengths, axis=1)
        slots = np.arange(self.length)
        part = (ends[:, None, :] <= slots[:, None]).sum(-1)  # (n, s): the text that a slot is in
        mask = part < numbers.shape[1]
        part = np.minimum(part, numbers.shape[1] - 1)
        line = np.arange(len(numbers))[:, None]
        offset = slots - (ends - lengths)[line, part]
        at = np.where(mask, 1 + self.starts[rows[line, part]] + offset, 0)
        return torch.from_numpy(self.flat[at]), torch.from_numpy(mask)


def _numbers(values: Sequence[str], known: Sequence[str]) -> Indices:
    place = {value: number for number, value in enumerate(known)}
    return np.array([place.get(value, -1) for value in values], np.int64)


# ------------------------------------------------------------------ what is asked for


def request(
    spec: ConditionSpec,
    n: int,
    first: int = 0,
    *,
    text: str | Sequence[str] | None = None,
    label: str | int | None = None,
    reader: TextReader | None = None,
    **asked: str | None,
) -> ConditionBatch:
    """The conditions of the images from number ``first`` on; several texts take turns.

    Without any condition the classes take turns, where the model has some; "none" asks for no class. ``reader`` is
    that of ``reader_of``.

    Raises:
        UsageError: the model lacks what is asked for.
    """
    spec.check_text("text", text)
    values, number = spec.values_of(asked), spec.class_of(label)
    batch = nothing(spec, n)
    numbers = torch.arange(first, first + n)
    if batch.label is not None and batch.no_label is not None:
        alone = label is None and text is None and all(value is None for value in values)
        batch.label = numbers % len(spec.classes) if alone else torch.full((n,), number or 0)
        batch.no_label[:] = number is None and not alone
    for place, value in enumerate(values):
        if value is not None and batch.fields is not None and batch.no_fields is not None:
            batch.fields[:, place], batch.no_fields[:, place] = value, False
    if text is not None:
        assert reader is not None
        texts = [text] if isinstance(text, str) else list(text)
        table = _Values(reader.read(texts), spec)
        batch.text, batch.mask = table.joined((numbers % len(texts)).numpy()[:, None])
    return batch


def nothing(spec: ConditionSpec, n: int) -> ConditionBatch:
    """The conditions of n images that are asked for nothing."""
    batch = ConditionBatch(n)
    if spec.classes:
        batch.label, batch.no_label = torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=torch.bool)
    if spec.fields:
        shape = (n, len(spec.fields))
        batch.fields, batch.no_fields = (
            torch.zeros(shape, dtype=torch.int64),
            torch.ones(shape, dtype=torch.bool),
        )
    if spec.text:
        batch.mask = torch.zeros((n, spec.text_length), dtype=torch.bool)
        wide = (n, spec.text_length, spec.encoder_width) if spec.text == "encoder" else (n, spec.text_length)
        batch.text = torch.zeros(wide, dtype=torch.float32 if spec.text == "encoder" else torch.int64)
    return batch
