"""Conditions of a batch are a pure function of its key; those asked for are what the model knows, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import luoxia
from luoxia.core.errors import UsageError
from luoxia.media.image.captions import CaptionedImages, captioned
from luoxia.tasks.image_synthesis.conditions import (
    ConditionBatch,
    ConditionData,
    nothing,
    reader_of,
    request,
    spec_for,
)
from luoxia.tasks.image_synthesis.networks.conditioner import ImageConditioner
from luoxia.tasks.image_synthesis.spec import ConditionSpec, words_of

TRAIN = np.arange(60)
FULL = ConditionSpec(
    classes=("cat", "dog"),
    fields=(("style", ("ink", "oil")),),
    text="words",
    words=("a", "red", "heart"),
    text_length=4,
)


@pytest.fixture(scope="module")
def data(shapes: Path) -> CaptionedImages:
    return captioned(luoxia.open_images(str(shapes)), str(shapes))


def spoken(spec: ConditionSpec, batch: ConditionBatch) -> list[str]:
    """What the texts of a batch say."""
    assert batch.text is not None and batch.mask is not None
    words = ("?", *spec.words)
    rows = zip(batch.text.tolist(), batch.mask.tolist(), strict=True)
    return [" ".join(words[i] for i, real in zip(ids, mask, strict=True) if real) for ids, mask in rows]


def test_a_draw_is_a_function_of_seed_and_key(data: CaptionedImages) -> None:
    spec = spec_for(data, TRAIN, condition="auto", text_length=8)
    drawn = [ConditionData(spec, data, 3, reader_of(spec)).draw(TRAIN, "flow", step) for step in (5, 5, 6)]
    assert spoken(spec, drawn[0]) == spoken(spec, drawn[1]) != spoken(spec, drawn[2])
    assert torch.equal(drawn[0].no_fields, drawn[1].no_fields)


def test_a_draw_holds_a_subset_of_what_is_said(data: CaptionedImages) -> None:
    spec = spec_for(data, TRAIN, condition="auto", text_length=8)
    conditions = ConditionData(spec, data, 0, reader_of(spec))
    seen: set[str] = set()
    for step in range(40):
        for index, text in zip(TRAIN, spoken(spec, conditions.draw(TRAIN, step)), strict=True):
            captions = data.captions
            parts = [*captions.texts[index], *captions.keywords[index], captions.fields["category"][index]]
            assert set(text.split()) <= {word for part in parts for word in words_of(part)}
            if index == 0:
                seen.add(text)
    assert {
        "a red square",
        "one square red",
        "",
        "square",
    } <= seen  # either caption, none at all, the category alone
    assert any("shape" in text for text in seen) and len(seen) > 12


def test_each_condition_is_left_out_now_and_then_where_others_remain(data: CaptionedImages) -> None:
    spec = spec_for(data, TRAIN, condition="auto", text_length=8)
    batch = ConditionData(spec, data, 0, reader_of(spec)).draw(np.resize(TRAIN, 4000), 0)
    assert batch.no_fields is not None and batch.mask is not None
    assert 0.2 < batch.no_fields.float().mean() < 0.3 and 0.2 < (~batch.mask.any(1)).float().mean() < 0.3


@pytest.mark.parametrize(
    ("condition", "text", "fields"),
    [
        ("auto", "words", ("style",)),
        ("text", "words", ("style",)),
        ("class", "", ("category", "style")),
        ("none", "", ()),
    ],
)
def test_what_a_recipe_asks_to_learn(
    data: CaptionedImages, condition: str, text: str, fields: tuple[str, ...]
) -> None:
    spec = spec_for(data, TRAIN, condition=condition, text_length=8)
    assert (spec.text, spec.field_names) == (text, fields)


def test_words_of_held_out_captions_are_unknown(data: CaptionedImages) -> None:
    reds = np.array([i for i in TRAIN if "red" in data.captions.texts[i][0]])
    spec = spec_for(data, reds, condition="text", text_length=8)
    assert spec.unknown(["a blue square", "BLUE!"]) == ["blue"]
    assert spoken(spec, request(spec, 1, text="a blue square", reader=reader_of(spec))) == ["a square"]


def test_a_request_says_what_it_was_asked(data: CaptionedImages) -> None:
    batch = request(FULL, 3, 4, text=["a heart", "red"], label="dog", style="oil", reader=reader_of(FULL))
    assert spoken(FULL, batch) == ["a heart", "red", "a heart"]
    assert batch.label is not None and batch.label.tolist() == [1, 1, 1]
    assert batch.fields is not None and batch.fields.tolist() == [[1]] * 3
    alone = request(FULL, 3, 4, reader=reader_of(FULL))
    assert alone.label is not None and alone.label.tolist() == [
        0,
        1,
        0,
    ]  # classes in turn, by the images' numbers
    assert alone.no_fields is not None and alone.no_fields.all()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"label": "cow"}, "label=cow is not a class of this model; classes are cat, dog"),
        ({"style": "inc"}, "style=inc is not a value that this model learned; did you mean ink"),
        ({"stile": "ink"}, "unknown key 'stile'; did you mean style"),
        ({"text": " … "}, "text= has no words"),
    ],
)
def test_a_request_for_what_is_not_there_is_refused(asked: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        request(FULL, 1, reader=reader_of(FULL), **asked)


def test_a_text_asked_of_a_model_without_is_refused() -> None:
    with pytest.raises(UsageError, match=r"text= needs a model that learned captions: put a \.txt beside"):
        request(ConditionSpec(classes=("cat",)), 1, text="a heart")
    with pytest.raises(UsageError, match="label= needs a model that learned classes"):
        request(ConditionSpec(text="words", words=("a",)), 1, label="cat")


def test_the_conditioner_tells_every_condition_apart() -> None:
    torch.manual_seed(0)
    conditioner = ImageConditioner(FULL, 8).eval()
    reader = reader_of(FULL)
    asked: list[dict[str, str]] = [
        {}, {"label": "cat"}, {"label": "dog"}, {"style": "oil"}, {"text": "a red heart"}, {"text": "heart red a"},
    ]  # fmt: skip
    batches = [request(FULL, 1, label=one.pop("label", "none"), reader=reader, **one) for one in asked]
    read = [conditioner(batch) for batch in batches]
    assert {tuple(one.vectors.shape) for one in read} == {(1, conditioner.length, 8)} == {(1, 6, 8)}
    sums = [(one.vectors * one.mask[..., None]).flatten() for one in read]
    distances = torch.cdist(torch.stack(sums), torch.stack(sums)) + torch.eye(len(sums))
    assert distances.min() > 1e-3
    none = conditioner.none(2)
    assert torch.equal(none.vectors[0], conditioner(nothing(FULL, 1)).vectors[0])
    assert torch.equal(sums[0], (none.vectors * none.mask[..., None])[0].flatten())


def test_in_training_each_condition_is_dropped_by_itself() -> None:
    torch.manual_seed(0)
    conditioner = ImageConditioner(FULL, 8, dropout=0.5).train()
    batch = request(FULL, 400, text="a heart", label="dog", style="oil", reader=reader_of(FULL))
    vectors = conditioner(batch).vectors
    none = conditioner.none(1).vectors
    gone = torch.stack([(vectors[:, place] == none[:, place]).all(1) for place in (0, 1, 5)])
    assert ((gone.float().mean(1) - 0.5).abs() < 0.1).all()
    both = (gone[0] & gone[1]).float().mean()
    assert 0.15 < both < 0.35


def test_without_conditions_there_is_one_learned_vector() -> None:
    conditioner = ImageConditioner(ConditionSpec(), 8)
    assert conditioner(request(ConditionSpec(), 3)).vectors.shape == (3, 1, 8) and conditioner.length == 1
