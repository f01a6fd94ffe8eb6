import warnings
from pathlib import Path
from typing import Any

import pytest

from luoxia.core.config import Config
from luoxia.core.errors import UsageError
from luoxia.core.sections import flatten, meanings, nest
from luoxia.core.settings import parse_settings
from luoxia.core.values import Annealed
from luoxia.media.image.keys import DataSettings
from luoxia.tasks.image_generation.recipes.gan import DCGAN, GAN, ImageGAN
from luoxia.tasks.image_generation.settings import SampleSettings
from luoxia.tasks.menu import RECIPES, configure, find
from luoxia.tasks.shared.settings import MeasureSettings
from luoxia.training.recipe import Optimizer, Recipe, resolve


def gan(*words: str) -> GAN:
    recipe: GAN = GAN.from_settings(parse_settings(words))
    return recipe


def refusal(*words: str, recipe: type[Config] = GAN) -> str:
    with pytest.raises(UsageError) as caught:
        recipe.from_settings(parse_settings(words))
    return str(caught.value)


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("steps=20000", 20_000),
        ("steps=20_000", 20_000),
        ("steps=2e4", 20_000),
        ("steps=1.5e3", 1500),
        ("lr=1e-4", 1e-4),
        ("lr=1", 1.0),
        ("budget=90s", 90.0),
        ("budget=90s", 90.0),
        ("budget=1.5m", 90.0),
        ("budget=2h", 7200.0),
        ("budget=1d", 86400.0),
        ("budget=none", None),
        ("data=none", None),
        ("data=a=b.zip", "a=b.zip"),
        ("size=64", (64, 64)),
        ("size=48x64", (48, 64)),
        ("size=48×64", (48, 64)),
        ("size=none", None),
        ("spectral_norm=true", True),
        ("augment=none", ()),
        ("augment=color", ("color",)),
        ("augment=color,cutout", ("color", "cutout")),
        ("augment=color+cutout", ("color", "cutout")),
    ],
)
def test_a_word_becomes_a_typed_value(word: str, value: Any) -> None:
    key = word.partition("=")[0]
    result = getattr(gan(word), key)
    assert result == value
    assert type(result) is type(value)


def test_dots_reach_into_sections() -> None:
    recipe = gan("optimizer.betas=0,0.9", "ema.half_life=500", "schedule.name=linear")
    assert recipe.optimizer.betas == (0.0, 0.9)
    assert recipe.ema.half_life == 500
    assert recipe.schedule.name == "linear"


def test_a_value_may_go_from_one_to_another(tmp_path: Path) -> None:
    words = ("schedule.samples=2e6", "optimizer.betas=0,0.9..0.99", "ema.half_life=0..5e5", "gamma=2..0.2")
    recipe = gan(*words)
    assert recipe.optimizer.betas == (0.0, Annealed(0.9, 0.99))
    assert (recipe.ema.half_life, recipe.gamma) == (Annealed(0, 500_000), Annealed(2, 0.2))
    assert GAN(**recipe.model_dump(mode="json")) == GAN(**recipe.model_dump()) == recipe
    text = "schedule.samples: 2_000_000\noptimizer.betas: 0,0.9..0.99\nema.half_life: 0..5e5\ngamma: 2..0.2\n"
    assert gan(written(tmp_path, text)) == recipe
    assert str(Annealed(1 / 3, 1e-9)) == "0.3333333333333333..1e-09"


def test_a_section_named_alone_keeps_the_rest_of_the_recipes_default() -> None:
    recipe = DCGAN.from_settings(parse_settings(["optimizer=sgd"]))
    assert recipe.optimizer == Optimizer(name="sgd", betas=DCGAN().optimizer.betas)


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=sgd", "optimizer.momentum=0.9"),
        ("optimizer.momentum=0.9", "optimizer.name=sgd"),
    ],
)
def test_a_section_can_be_given_by_name_and_by_keys(words: tuple[str, ...]) -> None:
    assert gan(*words).optimizer == Optimizer(name="sgd", momentum=0.9, betas=gan().optimizer.betas)


@pytest.mark.parametrize("second", ["steps=2", "steps=1"])
def test_a_key_given_twice_is_refused(second: str) -> None:
    with pytest.raises(UsageError, match=rf"^steps= is given twice, as steps=1 and {second}: give it once$"):
        gan("steps=1", second)


def test_flatten_undoes_nest() -> None:
    flat = {"a": 1, "b.c": 2, "b.d.e": 3}
    assert nest(flat) == {"a": 1, "b": {"c": 2, "d": {"e": 3}}}
    assert flatten(nest(flat)) == flat


# ------------------------------------------------------------------ YAML


def written(folder: Path, text: str) -> str:
    (folder / "settings.yaml").write_text(text)
    return f"config={folder / 'settings.yaml'}"


def test_yaml_may_be_nested_and_dotted_and_words_win(tmp_path: Path) -> None:
    text = "steps: 7\nlr: 1e-3\noptimizer:\n  name: sgd\n  momentum: 0.5\nema.half_life: 5\nbudget: 2m\nsize: 48x64\n"
    recipe = gan("steps=9", written(tmp_path, text))
    assert (recipe.steps, recipe.lr, recipe.budget, recipe.size) == (9, 1e-3, 120.0, (48, 64))
    assert recipe.optimizer == Optimizer(name="sgd", momentum=0.5, betas=GAN().optimizer.betas)
    assert recipe.ema.half_life == 5
    assert recipe.ema.warmup_share == GAN().ema.warmup_share


def test_words_change_one_key_of_a_yaml_section(tmp_path: Path) -> None:
    recipe = gan(written(tmp_path, "optimizer: sgd\n"), "optimizer.momentum=0.9")
    assert recipe.optimizer == Optimizer(name="sgd", momentum=0.9, betas=GAN().optimizer.betas)


def test_an_empty_yaml_file_sets_nothing(tmp_path: Path) -> None:
    assert gan(written(tmp_path, "# nothing\n")) == GAN()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1", "is not valid YAML: line 2: expected ',' or ']', but got '<stream end>'"),
        ("- 1\n", "must contain one key: value pair per line"),
        ("1: 2\n", "must contain one key: value pair per line"),
        ("a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
    ],
)
def test_bad_yaml(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(written(tmp_path, text))


def test_yaml_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no.yaml"
    assert refusal(f"config={path}") == f"config={path} cannot be read: No such file or directory"


# ------------------------------------------------------------------ sentences


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("stepz=1", "unknown key 'stepz'; did you mean steps or d_steps?"),
        ("optimizer.bets=1", "unknown key 'optimizer.bets'; did you mean optimizer.betas or optimizer.eps"),
        ("steps.more=1", "unknown key 'steps.more': steps is one value and has no keys"),
        ("ema=5", "ema=5: ema has keys of its own; write ema.KEY=VALUE"),
        ("batch=x", "batch=x: must be a whole number"),
        ("batch=1.5", "batch=1.5: must be a whole number"),
        ("batch=0", "batch=0: must be 1 or more"),
        ("steps=", "steps=: is empty: give a value, or none"),
        ("seed=-1", "seed=-1: must be 0 or more"),
        ("seed=1e20", f"seed=1e20: must be less than {2**63}"),
        ("lr=x", "lr=x: must be a number"),
        ("lr=none", "lr=none: must be a number"),
        ("lr=0", "lr=0: must be more than 0"),
        ("lr=nan", "lr=nan: must be a finite number"),
        ("lr=inf", "lr=inf: must be a finite number"),
        ("dropout=1", "dropout=1: must be less than 1"),
        ("holdout=0.9", "holdout=0.9: must be 0.5 or less"),
        ("spectral_norm=maybe", "spectral_norm=maybe: must be true or false"),
        ("crop=left", "crop=left: must be one of center, random or pad"),
        ("optimizer=foo", "optimizer.name=foo: must be one of adam, adamw, muon, rmsprop or sgd"),
        ("optimizer.betas=0.5", "optimizer.betas=0.5: must be two numbers, such as 0.5,0.99"),
        ("optimizer.betas=0.5,0.9,1", "optimizer.betas=0.5,0.9,1: must be two numbers, such as 0.5,0.99"),
        ("optimizer.betas=0.5,x", "optimizer.betas=x: must be a number"),
        ("optimizer.betas=0.5,0.9..2", "optimizer.betas=0.9..2: must be less than 1"),
        ("gamma=1..-1", "gamma=1..-1: must be 0 or more"),
        ("gamma=1..2..3", "gamma=1..2..3: must be a number, or two such as 0.05..0.005"),
        ("gamma=1..", "gamma=1..: must be a number, or two such as"),
        ("gamma=nan..1", "gamma=nan..1: must be a finite number"),
        ("gamma=2..1", "gamma=2..1 needs schedule.samples="),
        ("optimizer.betas=0.5,2", "optimizer.betas=2: must be less than 1"),
        ("size=big", "size=big: must be a number of pixels such as 64, or HEIGHTxWIDTH such as 48x64"),
        ("budget=10 apples", "budget=10 apples: must be a duration, e.g. 90s, 10m or 2h"),
        ("budget=10", "budget=10: needs a unit: 10s, 10m or 10h"),
        ("budget=0s", "budget=0s: must be more than 0"),
        ("data=", "data=: is empty: give a value, or none"),
        (
            "augment=sepia",
            "augment=sepia: 'sepia' is unknown; choose from ada, color, translation, cutout, mirror",
        ),
        ("steps", "'steps' is not a setting; use key=value, such as steps=1000"),
        ("=1", "'=1' is not a setting; use key=value, such as steps=1000"),
    ],
)
def test_the_sentence_names_the_key(word: str, sentence: str) -> None:
    assert refusal(word).startswith(sentence)


def test_a_key_like_no_other_lists_them_all() -> None:
    sentence = refusal("zzz=1")
    assert sentence.startswith("unknown key 'zzz'; known are data, out, preset, init, steps")
    assert all(name in sentence for name in GAN.model_fields)


def test_a_long_value_is_cut() -> None:
    assert len(refusal("batch=" + "9x" * 500)) < 120


def test_settings_that_contradict_each_other() -> None:
    sentence = "d_norm=batch mixes samples that penalty=r1 treats one by one"
    assert refusal("d_norm=batch", "penalty=r1").startswith(sentence)


@pytest.mark.parametrize("verb", [SampleSettings, MeasureSettings, DataSettings])
def test_verbs_speak_alike(verb: type[Config]) -> None:
    assert refusal("zzz=1", recipe=verb).startswith("unknown key 'zzz'; known are ")


# ------------------------------------------------------------------ recipes


class Narrow(DCGAN):
    width: int = 8


def test_a_subclass_keeps_bounds_and_descriptions() -> None:
    assert Narrow().width == 8
    assert Narrow.model_fields["width"].description == ImageGAN.model_fields["width"].description
    assert refusal("width=0", recipe=Narrow) == "width=0: must be 1 or more"
    assert refusal("width=5000", recipe=Narrow) == "width=5000: must be 2048 or less"


def test_a_subclass_does_not_change_its_parent() -> None:
    assert DCGAN().width == 32
    assert "width" in Narrow.model_fields


@pytest.mark.parametrize(
    "model", [*RECIPES.values(), SampleSettings, MeasureSettings, DataSettings], ids=lambda m: m.__name__
)
def test_every_key_has_a_meaning(model: type[Config]) -> None:
    told = meanings(model)
    assert list(told) == list(flatten(model().model_dump(mode="json")))
    assert [key for key, meaning in told.items() if not meaning] == []


def test_a_meaning_lists_the_choices() -> None:
    told = meanings(GAN)
    for loss in ("minimax", "nonsaturating", "lsgan", "hinge", "wasserstein", "relativistic"):
        assert loss in told["loss"]
    assert "projection" in told["condition"]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda r: r.name)
def test_a_resolved_config_reads_back_as_itself(recipe: type[Recipe]) -> None:
    assert recipe.from_settings(recipe().model_dump(mode="json")) == recipe()


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda r: r.name)
def test_presets_are_valid_and_read_back_as_themselves(recipe: type[Recipe]) -> None:
    assert {"tiny", "small", "base"} <= recipe.presets.keys()
    for name in recipe.presets:
        chosen = recipe(preset=name)
        assert recipe.from_settings(chosen.model_dump(mode="json")) == chosen
        assert chosen.model_fields_set == {"preset"}


def test_a_key_that_is_given_replaces_the_presets_value() -> None:
    recipe = RECIPES["dcgan"](preset="radford2015", width=8, optimizer={"eps": 1e-6})
    assert (recipe.width, recipe.latent, recipe.lr) == (8, 100, 2e-4)
    assert (recipe.optimizer.eps, recipe.optimizer.betas) == (1e-6, (0.5, 0.999))
    assert RECIPES["cyclegan"](preset="zhu2017").epochs == 200
    assert RECIPES["cyclegan"](preset="zhu2017", steps=5).epochs is None


def test_a_preset_is_named_where_it_is_wrong() -> None:
    with pytest.raises(UsageError, match=r"^preset=big: must be one of tiny, small, base, radford2015$"):
        configure("dcgan", {"preset": "big"})


def test_size_is_another_name_of_preset_for_text() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in RECIPES["gpt"].presets:
            size, preset = configure("gpt", {"size": name}), configure("gpt", {"preset": name})
            assert size.model_copy(update={"preset": name}) == preset
            assert size.model_fields_set == {"size"}
    assert configure("translate", {"size": "small"}).dimensions()["layers"] == 6
    assert configure("translate", {"size": "small", "layers": 2}).dimensions()["layers"] == 2


def test_a_run_that_only_its_budget_ends_has_no_steps() -> None:
    old = RECIPES["dcgan"].from_settings({"budget": 90.0, "steps": 1_000_000_000})
    assert old.steps is None
    assert resolve(RECIPES["dcgan"](budget=90), {}).steps is None
    assert resolve(RECIPES["dcgan"](budget=90, steps=3), {}).steps == 3
    with pytest.raises(UsageError, match="steps=none needs budget="):
        configure("dcgan", {"steps": "none"})


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^unknown recipe 'dcgn'; did you mean dcgan"):
        find("dcgn")
    with pytest.raises(UsageError, match=r"^unknown recipe 'x'; known are gan, cgan, dcgan"):
        find("x")


# ------------------------------------------------------------------ a recipe of the user's own

MINE = "from luoxia.tasks.image_generation.recipes.gan import GAN\nclass {}(GAN):\n    width: int = 3\n"


def test_a_recipe_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.format("Mine"))
    assert find(f"{tmp_path}/mine.py:Mine")().width == 3
    assert find(f"{tmp_path}/mine.py").__name__ == "Mine"


def test_a_file_named_like_a_module_does_not_replace_it(tmp_path: Path) -> None:
    import json

    (tmp_path / "json.py").write_text(MINE.format("Mine"))
    find(f"{tmp_path}/json.py:Mine")
    import json as again

    assert again is json
    assert again.dumps(1) == "1"


@pytest.mark.parametrize(
    ("text", "wanted", "sentence"),
    [
        (None, ":Mine", "is not there"),
        (MINE.format("Mine"), ":Main", "has no recipe 'Main'; did you mean Mine?"),
        (MINE.format("A") + MINE.format("B"), "", "has 2 recipes: name one, as in "),
        ("x = 1", "", "has 0 recipes"),
        ("1 / 0", ":Mine", "does not run: ZeroDivisionError: division by zero"),
        ("def (", ":Mine", "does not run: SyntaxError"),
        (MINE.format("Mine").replace(": int", ""), ":Mine", "does not run: PydanticUserError: Field 'width'"),
    ],
)
def test_a_recipe_file_that_will_not_do(tmp_path: Path, text: str | None, wanted: str, sentence: str) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UsageError) as caught:
        find(f"{tmp_path}/mine.py{wanted}")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", RECIPES)
def test_a_number_that_no_training_can_have_is_refused_by_its_key(name: str) -> None:
    keys = [key for key, field in RECIPES[name].model_fields.items() if "int" in str(field.annotation)]
    assert {"batch", "steps", "keep_checkpoints", "seed"} <= set(keys)
    for key in set(keys) - {"size", "g_update"}:
        assert refusal(f"{key}=1e99", recipe=RECIPES[name]).startswith(f"{key}=1e99: must be ")
    assert "1048576 or less" in refusal("batch=2e6", recipe=RECIPES[name])
    with pytest.raises(UsageError, match=r"^batch=1e400: must be "):
        RECIPES[name].from_settings({"batch": 10**400})


def test_none_is_no_words_and_no_numbers() -> None:
    from luoxia.tasks.image_generation.settings import InterpolateSettings

    assert GAN.from_settings({"augment": None}) == gan("augment=none") == GAN()
    assert InterpolateSettings.from_settings({"seeds": None}).seeds == ()


def test_a_seed_may_be_larger_than_a_number_of_things() -> None:
    assert gan("seed=9e18").seed == 9 * 10**18
    assert SampleSettings.from_settings({"seed": 2**63 - 1, "mix": "2e18"}).mix == 2 * 10**18
