"""Names of before are read until 1.0, and a person who writes one hears of the new one."""

from __future__ import annotations

import warnings

import pytest

from luoxia.core.errors import OldNameWarning
from luoxia.core.old_names import warn_of_old_name
from luoxia.tasks.image_generation.recipes.gan import DCGAN
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.menu import configure


@pytest.mark.parametrize(
    ("recipe", "old", "new"),
    [
        ("dcgan", {"optimiser": {"name": "sgd"}}, {"optimizer": {"name": "sgd"}}),
        ("dcgan", {"optimiser": "sgd"}, {"optimizer": "sgd"}),
        ("dcgan", {"optimizer": {"clip": 1}}, {"optimizer": {"grad_clip": 1}}),
        ("dcgan", {"schedule": {"images": 9}}, {"schedule": {"samples": 9}}),
        ("dcgan", {"ema": {"halflife": 5}}, {"ema": {"half_life": 5}}),
        ("dcgan", {"ema": {"ramp": 0.1}}, {"ema": {"warmup_share": 0.1}}),
        ("dcgan", {"keep": 5}, {"keep_checkpoints": 5}),
        ("r3gan", {"widest": 64}, {"max_channels": 64}),
        ("stylegan2", {"widest": 64}, {"max_channels": 64}),
        ("stylegan2", {"group": 2}, {"minibatch_std_group": 2}),
        ("cyclegan", {"load": 70}, {"load_size": 70}),
        ("translate", {"smoothing": 0.2}, {"label_smoothing": 0.2}),
        ("translate", {"longest": 64}, {"max_length": 64}),
        ("classify-text", {"smoothing": 0.2}, {"label_smoothing": 0.2}),
        ("embed-text", {"longest": 64}, {"max_length": 64}),
        ("gpt", {"tokeniser": "byte"}, {"tokenizer": "byte"}),
        ("stylegan2", {"augment": "colour,cutout"}, {"augment": "color,cutout"}),
        ("stylegan2", {"augment": "ada", "ada_pipe": "colour"}, {"augment": "ada", "ada_pipe": "color"}),
    ],
)
def test_an_old_name_is_read_with_one_line(
    recipe: str, old: dict[str, object], new: dict[str, object]
) -> None:
    with pytest.warns(OldNameWarning, match=r"works until 1\.0") as heard:
        read = configure(recipe, old)
    assert len(heard) == 1
    assert read == configure(recipe, new)
    assert read.model_fields_set == configure(recipe, new).model_fields_set


def test_old_names_mix_with_new_ones_section_by_section() -> None:
    with pytest.warns(OldNameWarning):
        read = configure(DCGAN(optimizer={"name": "sgd"}), {"optimiser": {"momentum": 0.5}})
    assert (read.optimizer.name, read.optimizer.momentum) == ("sgd", 0.5)


def test_what_files_say_is_read_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GPT.from_settings({"tokeniser": "byte"}).tokenizer == "byte"
        assert GPT.current({"tokeniser": "byte"}) == {"tokenizer": "byte"}


def test_the_line_names_both() -> None:
    heard: list[str] = []
    GPT.current({"tokeniser": "byte"}, heard.append)
    assert heard == ["tokeniser= is now tokenizer=; the old name works until 1.0"]
    with pytest.warns(OldNameWarning, match="tokenizer"):
        warn_of_old_name(heard[0])


def test_a_class_from_before_has_its_defaults_and_attributes_under_the_names_of_now() -> None:
    class Own(StyleGAN2):
        widest: int = 32
        group: int = 2

    own = Own()
    assert (own.max_channels, own.widest, own.minibatch_std_group) == (32, 32, 2)
    assert own.ema.halflife == own.ema.half_life  # type: ignore[attr-defined]
    assert "widest" not in Own.model_fields and Own.from_settings(own.model_dump()) == own
    with pytest.raises(AttributeError, match="nothing"):
        own.nothing  # type: ignore[attr-defined]  # noqa: B018
