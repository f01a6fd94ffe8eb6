"""Names of before are read until 1.0, and a person who writes one hears of the new one."""

from __future__ import annotations

import warnings

import pytest

from luoxia.core.errors import OldNameWarning
from luoxia.core.old_names import warn_of_old_name
from luoxia.tasks.image_generation.recipes.gan import DCGAN
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.menu import configure


@pytest.mark.parametrize(
    ("recipe", "old", "new"),
    [
        ("dcgan", {"optimiser": {"name": "sgd"}}, {"optimizer": {"name": "sgd"}}),
        ("dcgan", {"optimiser": "sgd"}, {"optimizer": "sgd"}),
        ("gpt", {"tokeniser": "byte"}, {"tokenizer": "byte"}),
        ("stylegan2", {"augment": "colour,cutout"}, {"augment": "color,cutout"}),
        ("stylegan2", {"augment": "ada", "ada_pipe": "colour"}, {"augment": "ada", "ada_pipe": "color"}),
    ],
)
def test_an_old_name_is_read_with_one_line(
    recipe: str, old: dict[str, object], new: dict[str, object]
) -> None:
    with pytest.warns(OldNameWarning, match=r"works until 1\.0|is now written") as heard:
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
    assert heard == ["tokeniser= is now called tokenizer=; the old name works until 1.0"]
    with pytest.warns(OldNameWarning, match="tokenizer"):
        warn_of_old_name(heard[0])
