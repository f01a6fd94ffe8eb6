"""Settings laid over settings: nothing that was said is forgotten, whichever way it is said."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luoxia.core.errors import UsageError
from luoxia.core.sections import merge, nest
from luoxia.core.settings import parse_settings
from luoxia.tasks.image_generation.recipes.gan import DCGAN, GAN
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.menu import RECIPES, configure
from luoxia.training.recipe import Optimizer, Recipe

OPTIMIZERS = st.sampled_from(["adam", "adamw", "sgd", "rmsprop"])
SECTIONS: dict[str, st.SearchStrategy[Any]] = {
    "optimizer": OPTIMIZERS
    | st.builds(Optimizer, name=OPTIMIZERS, grad_clip=st.floats(0, 2))
    | st.fixed_dictionaries(
        {},
        optional={
            "name": OPTIMIZERS,
            "betas": st.sampled_from([(0.0, 0.9), (0.5, 0.999), "0.9,0.99"]),
            "momentum": st.sampled_from([0.0, 0.5]),
            "grad_clip": st.sampled_from([0.0, 1.0, "2"]),
        },
    ),
    "schedule": st.fixed_dictionaries(
        {}, optional={"name": st.sampled_from(["cosine", "linear"]), "final": st.sampled_from([0.0, 0.5])}
    ),
    "ema": st.fixed_dictionaries(
        {}, optional={"half_life": st.sampled_from([5, 500]), "warmup_share": st.floats(0, 1)}
    ),
    "steps": st.sampled_from([1, "2e4"]),
    "lr": st.sampled_from([1e-4, "0.1"]),
}
SETTINGS = st.fixed_dictionaries({}, optional=SECTIONS)
STYLED = st.fixed_dictionaries({}, optional={**SECTIONS, "style": st.sampled_from(["modern", "gpt2"])})


@pytest.mark.parametrize(
    ("recipe", "said"), [(GAN, SETTINGS), (RECIPES["stylegan2"], SETTINGS), (GPT, STYLED)]
)
def test_a_recipe_and_settings_are_the_recipe_with_both(
    recipe: type[Recipe], said: st.SearchStrategy[Any]
) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(said, said)
    def check(a: dict[str, Any], b: dict[str, Any]) -> None:
        assert configure(recipe(**a), b) == recipe(**merge(a, b))
        assert configure(recipe.name, merge(a, b)) == recipe(**merge(a, b))

    check()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SETTINGS, SETTINGS, SETTINGS)
def test_merging_is_associative_and_changes_nothing(a: Any, b: Any, c: Any) -> None:
    before = repr((a, b, c))
    left, right = merge(merge(a, b), c), merge(a, merge(b, c))
    assert repr((a, b, c)) == before
    assert GAN(**left) == GAN(**right)


def test_a_recipe_keeps_its_optimizer_beside_one_more_setting() -> None:
    mine = GAN(optimizer={"name": "sgd", "momentum": 0.5})  # type: ignore[arg-type]
    made = configure(mine, nest({"optimizer.grad_clip": 1}))
    assert (made.optimizer.name, made.optimizer.momentum, made.optimizer.grad_clip) == ("sgd", 0.5, 1)
    assert mine.optimizer.grad_clip == 0


def test_a_section_that_is_complete_stays_as_it_is() -> None:
    own = Optimizer(grad_clip=1)  # betas of 0.5, 0.999: not those of the recipe
    assert configure(DCGAN(optimizer=own), {"steps": 3}).optimizer == own
    assert configure(DCGAN(), {"optimizer": own}).optimizer == own
    assert configure("dcgan", nest({"optimizer": own, "optimizer.eps": 1e-3})).optimizer.grad_clip == 1


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer.momentum=0.9", "optimizer=sgd"),
        ("optimizer=sgd", "optimizer.momentum=0.9"),
        ("optimizer.momentum=0.9", "optimizer.name=sgd"),
    ],
)
def test_the_order_of_a_name_and_its_keys_is_free(words: tuple[str, ...]) -> None:
    made = GAN.from_settings(parse_settings(words)).optimizer
    assert (made.name, made.momentum) == ("sgd", 0.9)


def test_a_style_of_training_keeps_what_is_said_by_name() -> None:
    named, dotted = (GPT(style="gpt2", optimizer=said) for said in ("adam", {"name": "adam"}))  # type: ignore[arg-type]
    assert named == dotted
    assert (named.optimizer.betas, named.optimizer.weight_decay) == ((0.9, 0.99), 0.1)


@pytest.mark.parametrize("said", [{"ema": 5, "ema.half_life": 7}, {"ema.half_life": 7, "ema": 5}])
def test_a_section_is_no_number(said: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^ema=5: ema has keys of its own; write ema.KEY=VALUE$"):
        configure("gan", nest(said))
