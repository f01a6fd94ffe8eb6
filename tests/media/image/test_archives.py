"""Zips as all kinds of programs write them: whatever an entry is called, the folders in its name are the classes."""

import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from luoxia.core.codepages import guessed
from luoxia.core.errors import UsageError
from luoxia.media.image.describe import describe
from luoxia.media.image.images import open_images
from luoxia.media.image.originals import open_originals
from luoxia.media.image.sources import open_source
from pictures import encode, noise


class Entry(zipfile.ZipInfo):
    """An entry whose name is written as these bytes, without the mark for UTF-8."""

    raw: bytes

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
        return self.raw, self.flag_bits & ~0x800


def pack(path: Path, names: Iterable[str | bytes], field: str | None = None) -> Path:
    """A zip with images called so; text is marked as UTF-8, bytes are not."""
    with zipfile.ZipFile(path, "w") as archive:
        for index, name in enumerate(names):
            info = zipfile.ZipInfo(f"{index}") if isinstance(name, str) else Entry(f"{index}")
            if isinstance(name, str):
                info.filename = name
            else:
                info.raw = name
            if field is not None:
                said = b"\x01" + zlib.crc32(name).to_bytes(4, "little") + field.encode()
                info.extra = struct.pack("<HH", 0x7075, len(said)) + said
            archive.writestr(info, encode(noise(8, 8, seed=index)))
    return path


@pytest.mark.parametrize(
    "form",
    ["{0}/{1}.png", "/home/u/data/{0}/{1}.png", "../data/{0}/{1}.png", "{0}\\{1}.png", "C:\\data\\{0}\\{1}.png",
     "./{0}/./{1}.png", "data/x/../{0}/{1}.png", "\\\\host\\share\\{0}\\{1}.png"],
)  # fmt: skip
def test_names_of_all_systems_have_the_same_classes(tmp_path: Path, form: str) -> None:
    path = pack(tmp_path / "a.zip", [form.format(c, i) for c in ("cat", "bat", "rat") for i in range(2)])
    dataset = open_images(path)
    assert dataset.classes == ("bat", "cat", "rat")
    assert len(dataset) == 6
    assert (dataset.images[2] == noise(8, 8, seed=0)).all()


def test_names_that_become_the_same_are_all_kept(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", ["a.png", "/a.png", "../a.png"])
    assert sorted(open_images(path).names) == ["a (2).png", "a (3).png", "a.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [["a.png"] * 12, [f"a.png\0{i}" for i in range(12)], [b"a.png"] * 12])
def test_entries_of_one_name_are_all_kept(tmp_path: Path, names: list[str | bytes]) -> None:
    dataset = open_images(pack(tmp_path / "a.zip", names))
    assert sorted(dataset.names) == sorted(["a.png", *(f"a ({i}).png" for i in range(2, 13))])
    assert len({image.tobytes() for image in dataset.images}) == 12
    assert dataset.skipped == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_label_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", ["a.png"])
    with zipfile.ZipFile(path, "a") as archive:
        for label in "xy":
            archive.writestr("metadata.csv", f"file_name,label\na.png,{label}\n")
    with pytest.raises(UsageError, match="may disagree: keep one"):
        open_images(path)


@pytest.mark.parametrize(
    ("names", "page"),
    [
        (("山水", "花鸟"), "gbk"), (("山水", "花鳥"), "big5"), (("写真", "ネコ"), "shift_jis"),
        (("Größe", "café"), "cp437"), (("Größe", "山水"), "utf-8"),
    ],
)  # fmt: skip
def test_the_code_page_is_guessed_and_said(tmp_path: Path, names: tuple[str, ...], page: str) -> None:
    path = pack(tmp_path / "a.zip", [f"{name}/{i}.png".encode(page) for name in names for i in range(2)])
    dataset = open_images(path)
    assert set(dataset.classes) == set(names)
    assert dataset.notes == (f"4 names in the zip do not say their code page: read as {page}",)


@pytest.mark.parametrize("text", ["élève", "naïve", "Übung", "été", "plain"])
def test_western_names_are_not_taken_for_others(text: str) -> None:
    assert text.encode("cp437").decode(guessed([text.encode("cp437")], "cp437")) == text


def test_what_a_zip_says_of_its_names_is_believed(tmp_path: Path) -> None:
    marked = open_images(pack(tmp_path / "a.zip", ["山/0.png", "水/0.png"]))
    assert marked.classes == ("山", "水")
    assert not marked.notes
    field = open_images(pack(tmp_path / "b.zip", [b"\xc9\xbd.png"], field="山.png"))
    assert field.names == ["山.png"]
    assert not field.notes


def test_entries_that_point_outside_are_read_but_nothing_is_written_under_their_names(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", [str(tmp_path / "precious.png"), "ok.png", "..\\up.png", "C:x.png"])
    assert len(open_images(path)) == 4
    read = list(open_originals(str(path)).read(3))
    assert [name for name, target, *_ in read if target] == ["ok.png"]
    refused = [reason for _, target, _, reason in read if not target]
    assert len(refused) == 3
    assert all("lies outside" in str(reason) for reason in refused)
    assert str(tmp_path / "precious.png") in str(refused)


def test_links_in_a_zip_are_said(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", ["a.png"])
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("b.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert [skip.reason for skip in describe(path).skipped] == ["a link, which an archive cannot follow"]


def test_a_zip_is_closed(tmp_path: Path) -> None:
    source = open_source(pack(tmp_path / "a.zip", ["a.png"]))
    source.close()
    with pytest.raises(Exception, match="closed"):
        source.payload(0)
