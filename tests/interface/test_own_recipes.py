"""A file of code is run where a person names it, and never where a run or a model does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import luoxia
from luoxia.core.errors import OldNameWarning
from luoxia.tasks.image_generation.recipes.gan import GAN
from luoxia.tasks.menu import recorded
from luoxia.training import own
from luoxia.verbs.ask import ask

PLAIN = """
from luoxia.tasks.image_generation.networks.mlp import Generator
from luoxia.tasks.image_generation.recipes.gan import GAN

class Mine(GAN):
    width: int = 2
    latent: int = 4
    extractor: str = "none"
    score_samples: int = 20
"""
MINE = f"""{PLAIN}
    def build_generator(self, data):
        return Own(super().build_generator(data).config)

class Own(Generator):
    pass
"""
EVIL = "import pathlib\npathlib.Path(r'{}').touch()\n" + MINE.replace("Mine", "Evil")
TINY = {"size": 8, "device": "cpu", "quiet": True, "steps": 2}


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """No test knows a file of another."""
    with own.alone():
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a recipe in mine.py, which lies beside it; to be read."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE)
    (folder / "photos").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / "photos" / f"{i}.png")
    with own.alone():
        data, out = str(folder / "photos"), str(folder / "run")
        luoxia.train(f"{folder}/mine.py:Mine", data=data, out=out, **TINY)
    return folder / "run"


@pytest.fixture
def mine(trained: Path, here: Path) -> Path:
    """A copy of that run, to be changed, with mine.py in the working folder."""
    import shutil

    (here / "mine.py").write_text(MINE)
    return Path(shutil.copytree(trained, here / "mine"))


VERBS: dict[str, tuple[str, ...]] = {
    "sample": ("n=2", "out=a.png"),
    "interpolate": ("seeds=1,2", "frames=2", "out=a.gif"),
    "mix": ("out=b.png",),
    "directions": ("n=1", "out=d.npz"),
    "project": ("mine/samples/step_000002.png", "steps=2", "extractor=pixels", "out=p.npz"),
    "translate": ("a text",),
    "classify": ("a text",),
    "embed": ("a text", "out=e.npy"),
    "measure": ("n=10",),
    "export": ("out=a.onnx",),
    "finetune": ("data=none", "steps=1", "out=tuned"),
    "resume": ("steps=4",),
}
FIRST = ("project", "translate", "classify", "embed")
"""Those with a word between the run and the keys."""


def tell(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "named", ["evil.py:Evil", "mine/model/evil.py:Evil", "{here}/mine/evil.py:Evil", "Evil", "evil"]
)
@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_imports_what_a_run_names(
    verb: str, named: str, mine: Path, here: Path, luoxia_command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (here, mine, mine / "model"):
        (folder / "evil.py").write_text(EVIL.format(here / "executed"))
    monkeypatch.syspath_prepend(mine / "model")
    recipe_file = {"name": "evil.py", "sha256": "0" * 64}
    for path in (mine / "run.json", mine / "model" / "config.json"):
        told = {} if ":" in named else {"recipe_file": recipe_file}
        tell(path, **{"recipe": named.format(here=here), "recipe_file": None, **told})
    for target in ("mine", "mine/model"):
        result = luoxia_command(verb, target, *VERBS[verb])
        assert result.exit_code in (1, 2)
        assert "Traceback" not in result.stderr
        assert not (here / "executed").exists()
        assert not any("evil" in name for name in sys.modules)


@pytest.mark.parametrize("verb", [*(VERBS.keys() - {"mix", "translate", "classify", "embed", "export"})])
def test_every_verb_opens_it_with_use(
    verb: str, mine: Path, luoxia_command: Callable, refused: Callable
) -> None:
    words = (verb, "mine", *VERBS[verb])
    for told in (None, f"{mine.parent}/somewhere/mine.py:Mine"):
        if told:  # as Luoxia 0.1.0 wrote it
            for path in (mine / "run.json", mine / "model" / "config.json"):
                tell(path, recipe=told, recipe_file=None)
        sentence = refused(2, *words)
        assert "needs the recipe Mine of mine.py" in sentence
        assert "use=PATH/mine.py" in sentence
        assert str(mine.parent) not in sentence
    result = luoxia_command(*words, "use=mine.py")
    assert result.exit_code == 0, result.stderr
    assert "SHA-256" not in result.stderr


def test_the_run_keeps_the_name_and_the_digest_of_the_file(mine: Path, here: Path) -> None:
    import hashlib

    digest = hashlib.sha256(MINE.encode()).hexdigest()
    for path in (mine / "run.json", mine / "model" / "config.json"):
        told = json.loads(path.read_text())
        assert told["recipe"] == "Mine"
        assert told["recipe_file"] == {"name": "mine.py", "sha256": digest}


def test_a_file_that_has_changed_is_told_of(mine: Path, luoxia_command: Callable) -> None:
    Path("mine.py").write_text(MINE + "# changed\n")
    for words in (("sample", "mine", "n=1", "out=a.png"), ("resume", "mine", "steps=4")):
        result = luoxia_command(*words, "use=mine.py")
        assert result.exit_code == 0, result.stderr
        assert result.stderr.count("mine.py is not the file that mine") == 1
        assert "its SHA-256 differs" in result.stderr
    result = luoxia_command("sample", "mine", "n=1", "out=b.png", "use=mine.py")  # now it is of that file
    assert "SHA-256" not in result.stderr


def test_a_file_of_another_name_will_do(mine: Path, luoxia_command: Callable, refused: Callable) -> None:
    Path("mine.py").rename("renamed.py")
    result = luoxia_command("sample", "mine", "n=1", "out=a.png", "use=renamed.py")
    assert result.exit_code == 0
    assert "SHA-256" not in result.stderr
    Path("other.py").write_text(MINE.replace("Mine", "Other"))
    assert "needs the recipe Mine of mine.py" in refused(2, "sample", "mine", "out=b.png", "use=other.py")


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("gone.py", None, "recipe file gone.py is not there"),
        ("mine", None, "use=mine: must be a file of Python"),
        ("", None, "use=: must be a file of Python"),
        ("none.py", "x = 1", "none.py has no recipe"),
        ("bad.py", "1 / 0", "recipe file bad.py does not run: ZeroDivisionError"),
        ("ends.py", "raise SystemExit(3)", "recipe file ends.py does not run: SystemExit"),
        (
            "trains.py",
            MINE + "import luoxia\nluoxia.train(Mine(steps=1))",
            "trains.py trains when it is read",
        ),
    ],
)
def test_what_cannot_be_used(
    mine: Path, refused: Callable, file: str, text: str | None, sentence: str
) -> None:
    if text:
        Path(file).write_text(text)
    assert sentence in refused(2, "sample", "mine", f"use={file}")
    assert not Path("runs").exists()


def test_a_yaml_file_names_no_code(here: Path, refused: Callable) -> None:
    (here / "evil.py").write_text(EVIL.format(here / "executed"))
    (here / "a.yaml").write_text("use: evil.py\n")
    assert "names a file of code" in refused(2, "train", "gan", "config=a.yaml")
    (here / "a.yaml").write_text("recipe: evil.py:Evil\n")
    assert "unknown key 'recipe'" in refused(2, "train", "gan", "config=a.yaml")
    (here / "a.yaml").write_text("use.x: evil.py\n")
    assert "names a file of code" in refused(2, "train", "gan", "config=a.yaml")
    assert not (here / "executed").exists()


def test_use_has_no_keys(mine: Path, refused: Callable) -> None:
    for words in (("train", "gan"), ("sample", mine), ("resume", mine), ("export", mine), ("measure", mine)):
        assert "must be a file of Python" in refused(2, *words, "use.x=1")


# ------------------------------------------------------------------ in Python


def test_use_in_python(mine: Path) -> None:
    with pytest.raises(luoxia.UsageError, match=r'luoxia\.use\("PATH/mine\.py"\)'):
        luoxia.load(mine)
    assert list(luoxia.use("mine.py")) == ["Mine"]
    assert luoxia.load(mine).latent == 4
    assert luoxia.resume(mine, steps=3, quiet=True).manifest["config"]["steps"] == 3
    assert luoxia.plan("Mine", size=8)["recipe"] == "Mine"
    assert luoxia.use("mine.py")["Mine"] is luoxia.use(Path("mine.py"))["Mine"]


@pytest.mark.parametrize("wrong", [5, {"x": 1}, ["mine.py"]])
def test_what_is_not_a_path_cannot_be_used(mine: Path, wrong: object) -> None:
    for call in (luoxia.use, lambda file: luoxia.load(mine, use=file)):
        with pytest.raises(luoxia.UsageError, match="must be a file of Python"):
            call(wrong)


@pytest.mark.parametrize(
    "call",
    [
        lambda run: luoxia.load(run, use="mine.py"),
        lambda run: luoxia.resume(run, steps=3, use="mine.py", quiet=True),
        lambda run: luoxia.measure(run, n=10, use="mine.py", quiet=True),
        lambda run: luoxia.finetune(run, data=None, steps=1, use="mine.py", quiet=True),
        lambda run: ask("sample", str(run), n=1, use="mine.py"),
        lambda run: ask("directions", str(run), n=1, use="mine.py"),
    ],
)
def test_use_as_an_argument(mine: Path, call: Callable) -> None:
    assert call(mine)


def test_a_script_that_loads_what_it_trained_does_not_run_again(here: Path) -> None:
    (here / "script.py").write_text(
        "import luoxia, pathlib, sys\n"
        "with open('times', 'a') as file:\n    file.write('x')\n"
        + MINE
        + f"run = luoxia.train(Mine(**{TINY | {'quiet': True}!r}), out='a')\n".replace("'quiet': True, ", "")
        + "luoxia.load('a')\n"
        + f"luoxia.train(__file__ + ':Mine', out='b', **{TINY!r})\n"
        + "luoxia.load('b')\nluoxia.use(__file__)\nluoxia.load('b')\n"
    )
    (here / "again.py").write_text("import luoxia\n" + MINE + "print(luoxia.load('a').latent)\n")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for script in ("script.py", "again.py"):
        done = subprocess.run(
            [sys.executable, script], cwd=here, env=environment, capture_output=True, text=True, check=False
        )
        if script == "again.py":  # another file that defines one of the name is another recipe
            assert 'luoxia.use("PATH/script.py")' in done.stderr
        else:
            assert done.returncode == 0, done.stderr
    assert (here / "times").read_text() == "x"


@pytest.mark.parametrize("how", ["exec", "function", "notebook"])
def test_a_recipe_that_lies_in_no_file_is_refused_before_training(
    here: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space: dict = {}
    if how == "function":
        space["Mine"] = type("Mine", (GAN,), {"__module__": __name__})
    if how == "notebook":
        main = ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", main)
        space = vars(main)
    if how != "function":
        exec(MINE, space)
    for call in (luoxia.train, luoxia.plan):
        with pytest.raises(luoxia.UsageError, match="the recipe Mine is defined in no file"):
            call(space["Mine"](), out="a", size=8)
    assert not (here / "a").exists()


def test_a_recipe_from_standard_input_is_refused_before_training(here: Path) -> None:
    text = f"{MINE}import luoxia\nluoxia.train(Mine(), out='a', **{TINY!r})\n"
    done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True, check=False)
    assert "UsageError: the recipe Mine is defined in no file" in done.stderr
    assert not (here / "a").exists()


def test_nothing_in_the_working_folder_is_imported(here: Path) -> None:
    for name in ("torch", "numpy", "PIL", "pydantic", "av"):
        (here / f"{name}.py").write_text(f"open({str(here / 'executed')!r}, 'w')\nraise ImportError\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(Path(luoxia.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "luoxia", "data", "nowhere"],
        cwd=here,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert not (here / "executed").exists()


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"recipe": None},
        {"recipe": ["gan"]},
        {"recipe": {"a": 1}},
        {"recipe": "nothing"},
        {"recipe": "../../x"},
        {"recipe": "Mine", "recipe_file": "mine.py"},
        {"recipe": "Mine", "recipe_file": {}},
        {"recipe": "a\x1b[2J\n.py:B\n", "recipe_file": {"name": "\x1b[2J" * 500}},
    ],
)
def test_a_record_that_names_nonsense(told: dict) -> None:
    with pytest.raises(luoxia.LuoxiaError) as caught:
        recorded(told, Path("run"))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


OLD = """
from luoxia.config import Whole
from luoxia.data import ImageSpec
from luoxia.recipes import ImageGAN
from luoxia.recipes.gan import LossName, PenaltyName

class Old(ImageGAN):
    keep: Whole = 4
"""


def test_a_file_from_before_finds_what_it_imports_and_hears_of_the_place_of_now(here: Path) -> None:
    (here / "old.py").write_text(OLD)
    with pytest.warns(OldNameWarning, match=r"imports from luoxia\.(config|data|recipes\.gan), which is now"):
        (kind,) = own.use("old.py").values()
    assert kind().keep_checkpoints == 4


def test_what_a_recipe_is_made_of_costs_no_torch() -> None:
    code = "import sys; from luoxia.recipes import *; assert ImageGAN and GPT and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_network_of_luoxia_needs_no_file(here: Path, refused: Callable) -> None:
    """Unless it was changed: then what the file does to it is needed again."""
    changed = (
        PLAIN
        + """
    def build_generator(self, data):
        network = super().build_generator(data)
        network.layers[1] = __import__("torch").nn.GELU()
        return network
"""
    )
    for name, text in (("plain", PLAIN), ("changed", changed)):
        (here / f"{name}.py").write_text(text)
        with own.alone():
            luoxia.train(f"{name}.py:Mine", out=name, **TINY)
    assert luoxia.load("plain").details.recipe == "Mine"
    assert "use=PATH/changed.py" in refused(2, "sample", "changed", "out=a.png")


def test_every_recipe_and_family_can_be_inherited_from() -> None:
    from luoxia import recipes, registry

    for task in registry.tasks():
        for kind in (*task.recipes, task.family):
            assert getattr(recipes, kind.__name__) is kind
    with pytest.raises(ImportError):
        from luoxia.recipes import Nonsense  # noqa: F401
