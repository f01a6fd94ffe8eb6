"""Where may be written: never over an input or what is not ours, never outside the folder that was asked for."""

import os
from pathlib import Path

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.formats import png, txt
from luoxia.formats.places import Named, claim
from luoxia.provenance.label import Label

LABEL = Label(recipe="dcgan", run="dcgan-1", step=20)
IMAGE = np.zeros((5, 7, 3), np.uint8)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ours(name: str) -> Path:
    return png.write(IMAGE, LABEL, Path(name))


def test_what_is_free_may_be_taken() -> None:
    assert claim("a.png", (".png",), False) == Path("a.png")
    assert claim("new/deep/a.png", (".png",), False) == Path("new/deep/a.png")
    Path("empty").mkdir()
    assert claim("empty", ("",), False) == Path("empty")
    assert not Path("new").exists()


def test_ours_is_replaced_only_when_asked_for() -> None:
    ours("a.png"), ours("many/000000.png")
    for out in ("a.png", "many/"):
        with pytest.raises(UsageError, match="already exists; choose another path or pass overwrite=true"):
            claim(out, (".png", ""), False)
        claim(out, (".png", ""), True)


@pytest.mark.parametrize("name", ["a.png", "a.txt", "a.jsonl", "a.npz", "a.gif", "a.csv", "a.npy", "plain"])
def test_what_is_not_ours_is_never_replaced(name: str) -> None:
    for content in (b"mine", b""):
        Path(name).write_bytes(content)
        with pytest.raises(UsageError, match="has no label of ours"):
            claim(name, None, True)
        assert Path(name).read_bytes() == content


@pytest.mark.parametrize("foreign", ["notes.txt", "000007.png", "deep/er/photo.png"])
def test_a_folder_with_one_file_that_is_not_ours_is_refused(foreign: str) -> None:
    ours("many/000000.png")
    path = Path("many", foreign)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match=f"out=many holds {foreign}, which has no label of ours"):
        claim("many", ("",), True)


def test_a_folder_with_a_link_is_refused_and_what_systems_leave_is_not() -> None:
    ours("many/000000.png"), ours("elsewhere/a.png")
    Path("many/.DS_Store").touch()
    claim("many", ("",), True)
    Path("many/link").symlink_to(Path("elsewhere").resolve())
    with pytest.raises(UsageError, match="holds link"):
        claim("many", ("",), True)


@pytest.mark.parametrize(
    ("out", "read", "told"),
    [
        ("a.png", "a.png", "is what is read"),
        ("./x/../a.png", "a.png", "is what is read"),
        ("twin.png", "a.png", "is what is read"),
        ("photos", "photos", "is what is read"),
        ("photos/made", "photos", "lies in photos, which is read"),
        (".", "photos", "holds photos, which is read"),
        ("photos", "photos/b.png", "holds photos/b.png, which is read"),
    ],
)
def test_an_input_is_never_written_to(out: str, read: str, told: str) -> None:
    ours("a.png"), ours("photos/b.png"), Path("x").mkdir()
    os.link("a.png", "twin.png")
    with pytest.raises(UsageError, match=told):
        claim(out, (".png", ""), True, [None, Path(read)])


def test_what_was_learned_from_is_not_replaced_though_it_be_ours() -> None:
    ours("made/000000.png"), ours("made/deep/000001.png")
    for out in ("made", "made/000000.png", "made/deep"):
        with pytest.raises(UsageError, match="what the run has learned from"):
            claim(out, (".png", ""), True, (), [Path("made")])
    claim("made/new.png", (".png",), True, (), [Path("made"), Path("gone")])
    claim("other", ("",), True, (), [Path("made")])


@pytest.mark.parametrize(
    "out", ["run", "run/", "run/model", "run/checkpoints/made/", "run/samples/x.png", "run/run.json"]
)
def test_a_runs_own_files_are_its_own(out: str) -> None:
    Path("run/samples").mkdir(parents=True)
    Path("run/run.json").write_text("{}")
    ours("run/samples/step_000020.png")
    with pytest.raises(UsageError, match=f"out={out} belongs to the run run"):
        claim(out, (".png", ".json", ""), True)
    for free in ("run/generated/001.png", "run/mine.png", "run/model/generated/001.png"):
        claim(free, (".png",), False)


def test_the_label_of_another_beside_is_not_replaced() -> None:
    Path("a.txt.label.json").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"a\.txt\.label\.json is not ours"):
            claim("a.txt", (".txt",), overwrite)
    claim("b.txt", (".txt",), False)
    txt.write("x", LABEL, Path("b.txt"))
    Path("b.txt").unlink()
    claim("b.txt", (".txt",), False)  # an old label of ours, whose file is gone


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("x" * 300 + ".png", "File name too long"),
        ("broken.png", "is a link to what is not there"),
        ("broken.png/a.png", "is a file or a broken link"),
        ("loop/a.png", "cannot write"),
        ("file/a.png", "file is a file or a broken link, and no folder"),
        ("a\0.png", "cannot write"),
    ],
)
def test_what_the_system_would_refuse_is_said_before_the_work(out: str, told: str) -> None:
    Path("file").touch(), Path("broken.png").symlink_to("nowhere.png"), Path("loop").symlink_to("loop")
    with pytest.raises(LuoxiaError, match=told) as caught:
        claim(out, (".png",), True)
    assert "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path))  # root may do anything
    for out in ("locked/a.png", "locked/new/"):
        with pytest.raises(LuoxiaError, match="you may not write to"):
            claim(out, (".png", ""), False)


def test_a_folder_where_a_file_should_be() -> None:
    Path("folder").mkdir()
    for out in ("folder", "new/"):
        with pytest.raises(UsageError, match="is a folder: name a file"):
            claim(out, None, True)


# ------------------------------------------------------------------ files named after inputs


@pytest.mark.parametrize(
    "target", ["/etc/x.png", "../x.png", "a/../../x.png", "a/../x.png", "", ".", "a\0.png"]
)
def test_a_name_that_leads_out_is_no_place(target: str) -> None:
    assert isinstance(Named(Path("out")).place(target), str)


def test_a_name_that_goes_through_a_link_is_no_place(here: Path) -> None:
    Path("out").mkdir(), Path("other").mkdir()
    Path("out/way").symlink_to(here / "other")
    Path("out/file.png").symlink_to(here / "other" / "x.png")
    Path("out/inside").symlink_to(here / "out")
    for target in ("way/x.png", "file.png", "inside/x.png"):
        assert Named(Path("out")).place(target) == "its name leads through a link in out=" or (
            "out of out=" in str(Named(Path("out")).place(target))
        )


def test_the_folder_asked_for_may_be_a_link(here: Path) -> None:
    Path("other").mkdir(), Path("out").symlink_to(here / "other")
    assert Named(Path("out")).place("a.png") == here.resolve() / "other" / "a.png"


def test_two_names_for_one_place_get_two_places() -> None:
    named = Named(Path("out"))
    places = [named.place(name) for name in ("a.png", "A.png", "a.png", "é.png", "e\u0301.png", "b/a.png")]
    assert [Path(place).name for place in places] == [
        "a.png", "A-2.png", "a-3.png", "é.png", "e\u0301-2.png", "a.png",
    ]  # fmt: skip


def test_a_name_of_a_file_and_of_a_folder_or_too_long_is_no_place() -> None:
    png.write(IMAGE, LABEL, Path("out/a.png"))
    assert Named(Path("out")).place("a.png/b.png") == "its name is that of a file and of a folder"
    assert "File name too long" in str(Named(Path("out")).place("x" * 300 + ".png"))
