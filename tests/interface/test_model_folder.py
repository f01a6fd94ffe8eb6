"""The model folder changes as a whole: whatever ends its writing, the old one or the new one is there."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from foreign import save_model

import luoxia
from luoxia.core.errors import LuoxiaError
from luoxia.core.tensors import store
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.tasks.language_modeling import base_model as origin
from luoxia.tasks.language_modeling import stage as text
from luoxia.training import session as base

SMALL = {
    "batch": 4,
    "context": 24,
    "score_samples": 0,
    "sample_every": 0,
    "device": "cpu",
    "precision": "fp32",
}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that goes on from a Hugging Face folder, with adapters; to be read."""
    folder = tmp_path_factory.mktemp("tuned")
    save_model(folder / "theirs", "Qwen2")
    (folder / "words.txt").write_text("the cat sat on the mat, and the dog sat too. " * 50)
    luoxia.finetune(
        folder / "theirs",
        data=str(folder / "words.txt"),
        steps=1,
        lora=2,
        out=str(folder / "run"),
        quiet=True,
        **SMALL,
    )
    return folder


@pytest.fixture
def lora(tuned: Path, here: Path) -> Path:
    """A copy of it, whose origin is as it was."""
    shutil.copytree(tuned / "run", here / "lora")
    return here / "lora"


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (base, "store"),
        (text, "copy_foreign"),
        (text, "write_adapter"),
        (Tokenizer, "save"),
        (text.LanguageStage, "card"),
    ],
)
def test_a_write_that_fails_leaves_the_old_model(
    lora: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    before = content(lora / "model")
    assert {"model.safetensors", "config.json", "README.md", "huggingface/tokenizer.json"} <= before.keys()
    assert "adapter/adapter_model.safetensors" in before
    with monkeypatch.context() as patched:
        patched.setattr(place, name, full)
        with pytest.raises(LuoxiaError, match=r"^cannot write .*model: No space left on device"):
            luoxia.resume(lora, steps=2, quiet=True)
    assert content(lora / "model") == before
    assert not list(lora.glob(".model*"))
    luoxia.resume(lora, steps=3, quiet=True)
    after = content(lora / "model")
    assert after.keys() == before.keys()
    assert after["model.safetensors"] != before["model.safetensors"]


def test_what_the_user_keeps_there_stays(run: Path) -> None:
    (run / "model" / "generated").mkdir()
    (run / "model" / "generated" / "001.png").write_bytes(b"mine")
    (run / "model" / "notes.txt").write_text("mine")
    luoxia.resume(run, steps=21, quiet=True)
    assert (run / "model" / "generated" / "001.png").read_bytes() == b"mine"
    assert (run / "model" / "notes.txt").read_text() == "mine"
    assert not (run / "model.old").exists()


def test_one_that_was_put_aside_when_the_writer_was_killed_is_used(
    run: Path, luoxia_command: Callable
) -> None:
    expected = luoxia.load(run).sample(2, seed=0)
    (run / "model").rename(run / "model.old")
    assert (luoxia.load(run).sample(2, seed=0) == expected).all()
    assert (luoxia.load(run / "model").sample(2, seed=0) == expected).all()
    assert luoxia_command("sample", run, "n=1", "out=a.png").exit_code == 0
    assert luoxia_command("resume", run, "steps=21").exit_code == 0
    assert sorted(path.name for path in run.glob("*model*")) == ["model", "model.old"]  # which may be a copy


def test_a_copy_of_the_model_stays(run: Path) -> None:
    shutil.copytree(run / "model", run / "model.old")
    (run / "model.old" / "notes.txt").write_text("mine")
    before = content(run / "model.old")
    luoxia.resume(run, steps=21, quiet=True)
    assert content(run / "model.old") == before
    assert not (run / "model" / "notes.txt").exists()


def test_nothing_is_moved_out_of_a_folder_that_a_link_leads_to(run: Path, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("mine")
    for name in ("model.old", ".model.0123456789abcdef.old"):
        (run / name).symlink_to(tmp_path / "documents")
    luoxia.resume(run, steps=21, quiet=True)
    assert (tmp_path / "documents" / "thesis.txt").read_text() == "mine"
    assert (run / "model" / "config.json").is_file()


def test_a_half_copy_of_their_files_is_made_whole(lora: Path, tuned: Path) -> None:
    before = content(lora / "model" / origin.FOREIGN)
    (lora / "model" / origin.FOREIGN / "tokenizer.json").unlink()
    luoxia.resume(lora, steps=2, quiet=True)
    assert content(lora / "model" / origin.FOREIGN) == before


def test_their_files_stay_when_the_origin_is_gone(
    lora: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(lora / "model" / origin.FOREIGN)
    theirs = tuned / "theirs"
    theirs.rename(tuned / "away")
    (lora / "model").rename(lora / "model.old")  # and the last writer was killed
    try:
        luoxia.resume(lora, steps=2, quiet=True)
    finally:
        (tuned / "away").rename(theirs)
    assert content(lora / "model" / origin.FOREIGN) == before


def test_who_may_read_the_folder_may_read_the_weights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644
