"""``luoxia inspect``: labels of files and folders, what a run is, and what a hostile hand put there."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import luoxia
from formats.carriers import IMAGE, WRITE
from luoxia.formats import png, sidecar, txt
from luoxia.provenance.label import Label, Parent
from luoxia.verbs.inspect import inspect

Command = Callable[..., Result]
LABEL = Label(
    recipe="dcgan", run="dcgan-1", step=20, seed=3, controls={"n": 2, "list": [{"a": 1}]}, note="\x1b[31mred\n",
    parents=(Parent("a.jpg", "ef" * 32), Parent("b\u202e.jpg")),
)  # fmt: skip


def as_json(result: Result) -> dict:
    return json.loads(result.stdout)


def statuses(path: Path | str) -> dict[str, str]:
    return {item.file: item.status for item in inspect(path).items}


def test_a_file_is_shown_with_its_label(luoxia_command: Command) -> None:
    png.write(IMAGE, LABEL, Path("a.png"))
    result = luoxia_command("inspect", "a.png")
    assert result.exit_code == 0, result.stderr
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert (rows["recipe"], rows["step"], rows["controls.n"], rows["label"]) == (
        "dcgan",
        "20",
        "2",
        "labeled",
    )
    assert rows["parents"] == f"a.jpg {'ef' * 32}; b\u202e.jpg" and rows["note"] == "\\x1b[31mred\\n"
    (item,) = as_json(luoxia_command("inspect", "a.png", "--json"))["items"]
    assert Label.from_dict(item["label"]) == replace(LABEL, sha256=item["label"]["sha256"])


def test_a_folder_is_a_table(luoxia_command: Command) -> None:
    for name, write in WRITE.items():
        if not name.endswith("mp4"):
            write(LABEL, Path("made/deep", name))
    shutil.copyfile("made/deep/a.txt.label.json", "made/orphan.txt.label.json")
    Image.fromarray(IMAGE).save("made/photo.png")
    Path("made/.DS_Store").touch()
    result = luoxia_command("inspect", "made", "--json")
    assert result.exit_code == 0, result.stderr
    found = {item["file"]: item["status"] for item in as_json(result)["items"]}
    expected = {f"deep/{name}": "labeled" for name in WRITE if not name.endswith("mp4")}
    assert found == {**expected, "photo.png": "no label", "orphan.txt.label.json": "labeled"}
    shown = luoxia_command("inspect", "made").stdout
    assert shown.splitlines()[0].split() == ["file", "label", "recipe", "run", "step", "seed", "index"]
    assert len(shown.splitlines()) == len(found) + 1


def test_lies_damage_and_the_future_exit_with_3(luoxia_command: Command) -> None:
    text = txt.write("one\n", LABEL, Path("there/a.txt"))
    text.write_text("two\n")
    Path("there/b.txt").touch()
    sidecar.beside(Path("there/b.txt")).write_text('{"luoxia": {"format": 2}}')
    Path("there/c.csv").touch()
    sidecar.beside(Path("there/c.csv")).write_text("{")
    info = PngInfo()
    info.add_text("luoxia", "[" * 100_000)
    Image.fromarray(IMAGE).save("there/d.png", pnginfo=info)
    txt.write("fine\n", LABEL, Path("there/e.txt"))
    result = luoxia_command("inspect", "there", "--json")
    assert result.exit_code == 3
    problems = {item["file"]: item["problem"] for item in as_json(result)["items"]}
    assert list(problems) == ["a.txt", "b.txt", "c.csv", "d.png", "e.txt"]
    wrong = ("label of other content", "upgrade luoxia", "damaged JSON", "damaged JSON", "")
    assert all(part in told for part, told in zip(wrong, problems.values(), strict=True))
    assert problems["e.txt"] == ""
    for name in ("a.txt", "b.txt", "c.csv", "d.png"):
        single = luoxia_command("inspect", f"there/{name}")
        assert single.exit_code == 3 and problems[name] in single.stdout


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_links_pipes_and_broken_archives_are_a_line_each(luoxia_command: Command) -> None:
    real = png.write(IMAGE, LABEL, Path("real.png"))
    Path("there").mkdir()
    Path("there/link.png").symlink_to(real.resolve())
    Path("there/broken.png").symlink_to("nowhere")
    Path("there/folder").symlink_to(Path.cwd())
    os.mkfifo("there/pipe.png")
    Path("there/bad.npz").write_bytes(b"PK\3\4 no archive")
    result = luoxia_command("inspect", "there", "--json")
    assert result.exit_code == 1
    found = {item["file"]: item["status"] for item in as_json(result)["items"]}
    passed = dict.fromkeys(("link.png", "broken.png", "folder"), "passed over")
    assert found == {**passed, "pipe.png": "unreadable", "bad.npz": "unreadable"}
    assert luoxia_command("inspect", "there/link.png").exit_code == 0
    assert "there is nothing at nowhere" in luoxia_command("inspect", "nowhere").stderr


def test_files_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch, luoxia_command: Command) -> None:
    png.write(IMAGE, LABEL, Path("there/a.png"))

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("luoxia.formats.png.open_regular", refuse)  # root may read anything
    (item,) = inspect("there").items
    assert (item.status, item.problem) == ("unreadable", "cannot be read: Permission denied")


# ------------------------------------------------------------------ runs and models


def test_a_run_is_told_with_its_files(luoxia_command: Command, finished: Path) -> None:
    found = as_json(luoxia_command("inspect", finished, "--json"))
    assert (found["is"], found["recipe"], found["step"], found["model"]) == (
        "run",
        "gan",
        20,
        "image generator",
    )
    assert found["parameters"].keys() == {"generator", "discriminator"} and found["data"]["count"] == 40
    assert {item["status"] for item in found["items"]} == {"verified"}
    assert "checkpoints/step_000020/generator.safetensors" in {item["file"] for item in found["items"]}
    assert luoxia_command("sample", finished, "n=1", "out=a.png").exit_code == 0
    (item,) = inspect("a.png").items
    assert item.label is not None and item.label.model == found["weights"]
    model = as_json(luoxia_command("inspect", finished / "model", "--json"))
    assert (model["is"], model["run"], model["weights"]) == ("model folder", "run", found["weights"])
    names = {item.file: item.status for item in inspect(finished.parent).items}
    assert names["run/"] == "passed over"


def test_a_damaged_model_is_unreadable(luoxia_command: Command, run: Path) -> None:
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for place, name in ((run, "model/model.safetensors"), (run / "model", "model.safetensors")):
        result = luoxia_command("inspect", place, "--json")
        (broken,) = [item for item in as_json(result)["items"] if item["status"] == "unreadable"]
        assert (result.exit_code, broken["file"]) == (1, name)
    weights.unlink()
    os.mkfifo(weights)  # which would be waited for
    assert inspect(run).items[0].problem == "not a regular file"
    (run / "model" / "config.json").write_text("[]")
    assert as_json(luoxia_command("inspect", run, "--json"))["items"][0]["file"] == "model/"


def test_a_folder_without_files(luoxia_command: Command) -> None:
    Path("empty").mkdir()
    result = luoxia_command("inspect", "empty")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no files in empty\n")


def test_damaged_checkpoints_exit_with_3(luoxia_command: Command, run: Path) -> None:
    first, second = run / "checkpoints" / "step_000010", run / "checkpoints" / "step_000020"
    with (first / "generator.safetensors").open("ab") as file:
        file.write(b"\0")
    manifest = json.loads((second / "manifest.json").read_text())
    manifest |= {"../../../secret": "ab", "state.json": ["\x1b"], "gone.safetensors": "cd"}
    (second / "manifest.json").write_text(json.dumps(manifest))
    result = luoxia_command("inspect", run)
    assert result.exit_code == 3 and "\x1b" not in result.stdout
    wrong = [item for item in inspect(run).items if item.status == "invalid"]
    assert [Path(item.file).name for item in wrong] == [
        "generator.safetensors", "state.json", "manifest.json", "gone.safetensors",
    ]  # fmt: skip
    left = run / "stages" / "codec" / "left"
    left.mkdir(parents=True)
    (left / "tokens.bin").write_bytes(b"tokens")
    (left / "manifest.json").write_text(
        json.dumps({"files": {"tokens.bin": hashlib.sha256(b"tokens").hexdigest()}})
    )
    assert statuses(run)["stages/codec/left/tokens.bin"] == "verified"
    (left / "manifest.json").write_text(json.dumps({"files": "x"}))
    assert statuses(run)["stages/codec/left/manifest.json"] == "invalid"
    (second / "manifest.json").write_text("[]")
    assert "no JSON object" in luoxia_command("inspect", run).stdout


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}', '{"recipe": 3}', "[" * 100_000])
def test_hostile_manifests_are_one_sentence(luoxia_command: Command, run: Path, content: str) -> None:
    (run / "run.json").write_text(content)
    result = luoxia_command("inspect", run)
    assert result.exit_code in (1, 2) and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and "Traceback" not in result.stderr
    for file in ("config.json",):
        (run / "model" / file).write_text(content)
    assert luoxia_command("inspect", run / "model").exit_code in (0, 1, 2)


def test_the_label_of_a_text_in_its_last_line(luoxia_command: Command, here: Path) -> None:
    (here / "a.txt").write_text("abc " * 400)
    keys = {"width": 8, "layers": 1, "heads": 1, "context": 16, "batch": 2, "score_samples": 0}
    settings = {**keys, "tokenizer": "character", "device": "cpu", "quiet": True}
    luoxia.train("gpt", data="a.txt", out="run", steps=1, **settings)
    words = ("sample", "run", "n=2", "max_tokens=4", "temperature=0.5")
    for name, more in (("plain.txt", ()), ("inline.txt", ("label.inline=end",)), ("made.md", ())):
        result = luoxia_command(*words, *more, f"out={name}")
        assert result.exit_code == 0, result.stderr
    plain, inline = (Path(name).read_text() for name in ("plain.txt", "inline.txt"))
    assert inline.startswith(plain) and inline.removeprefix(plain).startswith('{"luoxia": ')
    assert plain in Path("made.md").read_text()
    assert statuses(".") == {
        "a.txt": "no label", "plain.txt": "labeled", "inline.txt": "labeled", "made.md": "labeled",
        "run/": "passed over",
    }  # fmt: skip
    (item,) = inspect("made.md").items
    assert item.label is not None and item.label.controls == {
        "prompt": "", "n": 2, "max_tokens": 4, "temperature": 0.5,
    }  # fmt: skip
    assert luoxia_command(*words, "label.inline=start", "out=b.txt").exit_code == 2


def test_arrays_from_elsewhere_have_no_label(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", header=np.array("free text"))
    assert statuses(tmp_path / "a.npz") == {"a.npz": "no label"}
