"""Run and model folders from anybody: a sentence, whatever is in them, and nothing written through a link."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import luoxia
from luoxia.core.errors import LuoxiaError
from luoxia.interchange.tensors import read_json
from luoxia.media.text.chat import ChatTemplate
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.runs.report import write_report
from luoxia.runs.run import Run
from luoxia.tasks.image_generation.task import ImageGeneration

NESTED = '{"a":' * 100_000
ODD: tuple[Any, ...] = (None, True, -1, 10**400, "\x1b[2J\nx", [], {}, [1], {"a": 1})
SAMPLE, MEASURE = ("sample", "run", "n=1", "out=a.png", "overwrite=true"), ("measure", "run", "n=10")
VERBS = (SAMPLE, MEASURE, ("resume", "run", "steps=21"))


def one_sentence(result: Any) -> None:
    """It was done, or one sentence says why not, and what to do is not to report a fault of ours."""
    assert result.exit_code in (0, 1, 2)
    assert "Traceback" not in result.stderr
    assert "fault of Luoxia's own" not in result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("luoxia: ")]
    assert len(told) == (result.exit_code != 0)
    assert all(line.isprintable() and len(line) < 1000 for line in told)


def changed(path: Path, keys: tuple[str, ...], value: Any, *, gone: bool = False) -> None:
    told = json.loads(path.read_text())
    inner = told
    for key in keys[:-1]:
        inner = inner[key]
    if gone:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    "keys",
    [
        ("format",),
        ("recipe",),
        ("config",),
        ("data",),
        ("command",),
        ("data", "fingerprint"),
        ("config", "width"),
    ],
    ids=".".join,
)
def test_a_manifest_of_wrong_values(run: Path, luoxia_command: Callable, keys: tuple[str, ...]) -> None:
    text = (run / "run.json").read_text()
    for value in (*ODD, "gone"):
        (run / "run.json").write_text(text)
        changed(run / "run.json", keys, value, gone=value == "gone")
        result = luoxia_command("resume", "run", "steps=20")  # which are done: nothing is trained
        assert result.exit_code in (1, 2)
        one_sentence(result)
        write_report(run)


@pytest.mark.parametrize("key", ["task", "stages", "inputs", "output", "unit", "parameters", "hardware"])
def test_what_a_manifest_says_of_its_task_is_not_believed(
    run: Path, luoxia_command: Callable, key: str
) -> None:
    (run / "stages").mkdir()
    text = (run / "run.json").read_text()
    for value in (*ODD, "<script>", "text translation", ["text", "image"], ["../x"]):
        (run / "run.json").write_text(text)
        changed(run / "run.json", (key,), value)
        for words in (("resume", "run", "steps=20"), ("inspect", "run")):
            one_sentence(luoxia_command(*words))
        write_report(run)
        assert "<script>" not in (run / "report.html").read_text().replace("<script>", "", 1)
    (run / "run.json").write_text(text)
    changed(run / "run.json", (key,), ["text"])
    result = luoxia_command("resume", "run", "steps=21")
    one_sentence(result)
    assert result.exit_code == (0 if key != "hardware" else 1), result.stderr


@pytest.mark.parametrize("key", ["task", "inputs", "output", "kind", "recipe_file"])
def test_what_a_model_says_of_its_task_is_not_believed(run: Path, luoxia_command: Callable, key: str) -> None:
    text = (run / "model" / "config.json").read_text()
    for value in (*ODD, "text translation", "text embedding", "language model"):
        (run / "model" / "config.json").write_text(text)
        changed(run / "model" / "config.json", (key,), value)
        for words in (SAMPLE, ("inspect", "run"), ("translate", "run", "a")):
            one_sentence(luoxia_command(*words))
    assert luoxia_command("measure", "run", "n=10").exit_code in (0, 1, 2)


@pytest.mark.parametrize("name", ["run.json", "model/config.json", "metrics.jsonl", "checkpoints/LATEST"])
@pytest.mark.parametrize(
    "text", ["", "[]", "null", NESTED, '{"format": ' + "9" * 5000 + "}", "\x00", "../../x"]
)
def test_a_file_of_nonsense(run: Path, luoxia_command: Callable, name: str, text: str) -> None:
    (run / name).write_text(text)
    one_sentence(luoxia_command(*VERBS[0]))
    one_sentence(luoxia_command("resume", "run", "steps=20"))
    write_report(run)


LINES = (
    {"kind": "log"},
    {"kind": "log", "step": 1},
    {"kind": "log", "step": 1, "seconds": 0, "gradients": None},
    {"kind": ["log"], "step": 1, "seconds": 1},
    {"kind": "event", "step": None, "seconds": "x"},
    {"kind": "event", "step": 1, "seconds": {}},
    {"kind": "finding", "step": 10**30, "seconds": 0},
    {"kind": "log", "step": 2, "seconds": 1, "losses": 1, "gradients": 1, "statistics": "x", "skipped": 0},
    {
        "kind": "log",
        "step": 2,
        "seconds": 1,
        "losses": {},
        "gradients": {"d": "x"},
        "statistics": {},
        "skipped": 0,
    },
    {"kind": "score", "step": "x", "seconds": 1, "scores": 1},
    {"kind": "score", "step": 2, "seconds": 1, "scores": [1], "final": True},
    {"kind": "score", "step": 2, "seconds": 1, "scores": [{"name": 1}], "final": True},
    {"kind": "score", "step": 2, "seconds": 1, "scores": [], "watched": {"a": 1}},
    {"kind": "score", "step": 2, "seconds": 1, "scores": [], "watched": 1},
    {"kind": "log", "step": 2, "seconds": 1, "stage": ["training"]},
    {"kind": "log", "step": 2, "seconds": 1, "stage": "../x"},
    {"kind": "score", "step": 2, "seconds": 1, "stage": {"a": 1}, "scores": []},
)


def test_records_that_are_none(run: Path, luoxia_command: Callable) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    odd = [
        *map(json.dumps, LINES),
        NESTED,
        "[1]",
        '{"kind": "event", "step": 3, "seconds": 1, "x": "\\ud800"}',
    ]
    (run / "metrics.jsonl").write_text("\n".join([odd[0], *lines, *odd]) + "\n")
    known = list(Run.open(run).records())
    assert len(known) == len(lines) + 2
    write_report(run)
    for words in VERBS[1:]:
        result = luoxia_command(*words)
        one_sentence(result)
        assert result.exit_code == 0, result.stderr
    assert all(line in (run / "metrics.jsonl").read_text() for line in lines)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.json", {}),
        ("state.json", {"step": "x"}),
        ("state.json", {"step": 20, "seconds": None}),
        ("state.json", {"step": 20}),
        ("state.json", [1]),
        ("manifest.json", []),
        ("manifest.json", {"../../model/config.json": "0"}),
        ("manifest.json", {"/etc/hostname": "0"}),
        ("manifest.json", {}),
    ],
)
def test_checkpoints_of_wrong_values(run: Path, luoxia_command: Callable, name: str, content: Any) -> None:
    import hashlib

    for folder in (run / "checkpoints").glob("step_*"):
        (folder / name).write_text(json.dumps(content))
        if name == "state.json":
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            changed(folder / "manifest.json", (name,), digest)
    result = luoxia_command("resume", "run", "steps=21")
    one_sentence(result)
    assert result.exit_code == 1
    one_sentence(luoxia_command("sample", "run", "ema=false", "out=a.png"))


def test_nothing_is_written_through_a_link(run: Path, here: Path, luoxia_command: Callable) -> None:
    for name in ("metrics.jsonl", ".lock", "run.json", "report.html", "model/config.json"):
        victim = here / name.replace("/", "-")
        victim.write_bytes((run / name).read_bytes() if (run / name).exists() else b"keep me")
        before = victim.read_bytes()
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(victim)
        for words in VERBS[1:]:
            one_sentence(luoxia_command(*words))
        assert victim.read_bytes() == before
        (run / name).unlink(missing_ok=True)
        (run / name).write_bytes(before)


@pytest.mark.parametrize("name", ["model", "checkpoints", "samples", "scores", "generated", "tensorboard"])
def test_nothing_is_written_or_removed_in_a_linked_folder(
    run: Path, here: Path, luoxia_command: Callable, name: str
) -> None:
    (run / name).mkdir(exist_ok=True)
    (run / name).rename(here / "elsewhere")
    (run / name).symlink_to(here / "elsewhere")
    (here / "elsewhere" / "step_000001").mkdir()
    files = sorted((here / "elsewhere").rglob("*"))
    for words in (*VERBS[1:], ("sample", "run", "n=1")):
        result = luoxia_command(*words)
        one_sentence(result)
        refused = words[0] != "sample" or name == "generated"
        assert (f"run/{name} is a link" in result.stderr) == refused
    assert sorted((here / "elsewhere").rglob("*")) == files


STEP = "checkpoints/step_000020"
PIPES = (
    "run.json", "metrics.jsonl", ".lock", "skipped.txt", "samples/step_000020.png", "samples/step_000020.txt",
    "scores/neighbors.png", "scores/confusion.csv", "model/config.json", "model/model.safetensors",
    "checkpoints/LATEST", "checkpoints/frozen.safetensors", f"{STEP}/manifest.json", f"{STEP}/state.json",
    f"{STEP}/generator.safetensors",
)  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", PIPES)
def test_a_pipe_is_not_waited_for(run: Path, luoxia_command: Callable, name: str) -> None:
    if name.startswith(STEP):
        assert (run / name).exists()
    (run / name).unlink(missing_ok=True)
    (run / name).parent.mkdir(exist_ok=True)
    os.mkfifo(run / name)
    for words in (SAMPLE, MEASURE, ("report", "run"), ("resume", "run", "steps=21")):
        one_sentence(luoxia_command(*words))
    write_report(run)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["tokeniser.json", "tokenizer.json", "chat_template.jinja", "config.json"])
def test_a_pipe_in_a_model_of_text_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    readers: dict[str, Callable] = {
        "tokeniser.json": Tokenizer.load, "tokenizer.json": Tokenizer.from_huggingface,
        "chat_template.jinja": ChatTemplate.of, "config.json": lambda folder: read_json(folder / "config.json"),
    }  # fmt: skip
    with pytest.raises(LuoxiaError, match="not a regular file"):
        readers[name](tmp_path)


def test_a_training_that_never_began_leaves_no_sweep(here: Path) -> None:
    run = Run.create("new", "gan")
    for name in ("run.json", "sweep.json", "skipped.txt"):
        (run.path / name).write_text("{}")
    run.discard_unbegun()
    assert not run.path.exists()


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("network",), []),
        (("network", "class"), "os:system"),
        (("network", "class"), ["mlp"]),
        (("network", "sizes"), None),
        (("network", "evil"), 1),
        (("network", "sizes", "width"), 10**9),
        (("network", "sizes", "width"), 2**22),
        (("network", "sizes", "width"), 10**400),
        (("network", "sizes", "width"), -1),
        (("network", "sizes", "width"), 0),
        (("network", "sizes", "width"), True),
        (("network", "sizes", "width"), "8"),
        (("network", "sizes", "latent"), 1e308),
        (("network", "sizes", "latent"), [[]]),
        (("network", "sizes", "shape"), [1, 2**22, 2**22]),
        (("network", "sizes", "shape"), [1] * 1000),
        (("network", "sizes", "shape"), {"a": 10**400}),
        (("network", "sizes", "depth"), 1),
        (("spec", "height"), 10**400),
        (("spec", "height"), "x"),
        (("spec", "channels"), None),
        (("spec",), []),
        (("classes",), 3),
        (("classes",), {"a": 1}),
        (("step",), "x"),
        (("kind",), 1),
        (("config",), None),
    ],
)
def test_a_model_of_wrong_values(
    run: Path, luoxia_command: Callable, keys: tuple[str, ...], value: Any
) -> None:
    changed(run / "model" / "config.json", keys, value)
    result = luoxia_command(*SAMPLE)
    one_sentence(result)
    assert result.exit_code in (1, 2)


def test_a_network_of_any_depth_is_not_built(here: Path) -> None:
    (here / "words.txt").write_text("the cat sat on the mat. " * 50)
    small = {"heads": 2, "width": 16, "tokenizer": "byte", "context": 16, "batch": 4, "score_samples": 0}
    run = luoxia.train(
        "gpt", data="words.txt", steps=1, layers=1, sample_every=0, quiet=True, device="cpu", **small
    )
    changed(run.model / "config.json", ("network", "sizes", "layers"), 2**20)
    with pytest.raises(LuoxiaError, match="larger than the weights"):
        luoxia.load(run.path)


@pytest.mark.parametrize("tensors", ["nan", "missing", "more", "other shapes", "none"])
def test_weights_that_do_not_fit(run: Path, luoxia_command: Callable, tensors: str) -> None:
    path = run / "model" / "model.safetensors"
    found = load_file(path)
    name = next(iter(found))
    changes: dict[str, Callable[[], object]] = {
        "nan": lambda: found.update({key: torch.full_like(value, torch.nan) for key, value in found.items()}),
        "missing": lambda: found.pop(name),
        "more": lambda: found.update(evil=torch.zeros(2)),
        "other shapes": lambda: found.update({name: torch.zeros(3, 3)}),
        "none": found.clear,
    }
    changes[tensors]()
    save_file(found, path)
    result = luoxia_command(*SAMPLE)
    one_sentence(result)
    assert result.exit_code == (tensors != "nan")


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
        RuntimeError("CUDA error: device-side assert triggered"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        KeyError("ours"),
        AssertionError(),
        NotImplementedError(),
    ],
)
def test_what_is_not_the_folders_fault_is_not_told_as_such(
    run: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(ImageGeneration, "load", fail)
    with pytest.raises(type(fault)):
        luoxia.load(run)


def test_a_path_of_any_words(here: Path, run: Path, luoxia_command: Callable) -> None:
    for name in ("memory", "CUDA error", "out of memory"):
        run = run.rename(here / name)
        (run / "model" / "model.safetensors").unlink(missing_ok=True)
        result = luoxia_command("sample", run, "n=1")
        one_sentence(result)
        assert "holds no usable model" in result.stderr


def test_the_cause_is_kept(run: Path, luoxia_command: Callable) -> None:
    (run / "model" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(LuoxiaError, match="holds no usable model") as caught:
        luoxia.load(run)
    assert type(caught.value.__cause__).__name__ == "SafetensorError"
    assert "SafetensorError" in luoxia_command(*SAMPLE, "--debug").stderr
    assert "SafetensorError" not in luoxia_command(*SAMPLE).stderr
