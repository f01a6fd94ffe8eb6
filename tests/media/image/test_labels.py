"""The files that name images and their classes are read, or refused by name."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.image.describe import describe
from luoxia.media.image.images import open_images
from pictures import encode, noise, write

Photos = Callable[..., Path]
ROWS = [("0.png", "a"), ("1.png", "b"), ("2.png", "a")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name;label\n0.png;a\n1.png;b\n2.png;a\n"),
        ("metadata.csv", "file_name\tlabel\r0.png\ta\r1.png\tb\r2.png\ta\r"),
        ("metadata.tsv", "label\tfile_name\na\t0.png\nb\t1.png\na\t2.png\n"),
        ("metadata.csv", "sep=;\nFile_Name; Label\n0.png; a\n1.png; b\n.\\2.png; a\n"),
        ("metadata.csv", "file_name,label\n0.png,a\n1.png,b\n2.png,a\n".encode("utf-16")),
        ("metadata.jsonl", '{"file_name": "0.png", "label": "a"}\n\n{"file_name": "1.png", "label": "b"}\n'
                           '{"label": "a", "file_name": "2.PNG"}\n'),
        ("dataset.json", json.dumps({"labels": [["0.png", "a"], ["1.png", "b"], ["2.png", "a"]]})),
        ("dataset.json", json.dumps({"labels": {"0.png": "a", "1.png": "b", "2.png": "a"}})),
    ],
)  # fmt: skip
def test_labels_of_all_forms(photos: Photos, name: str, content: str | bytes) -> None:
    folder = photos(".")
    write(folder / name, content)
    dataset = open_images(folder)
    assert dataset.classes == ("a", "b")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 0]
    assert dataset.skipped == []
    assert describe(folder).layout == name


def test_names_match_whatever_their_form(tmp_path: Path) -> None:
    composed = "é.png"
    for name in (unicodedata.normalize("NFD", composed), "sub/B.PNG", "c.png", "C.png"):
        write(tmp_path / name, encode(noise(8, 8)))
    write(
        tmp_path / "metadata.csv", f"file_name,label\n{composed},x\nsub\\b.png,y\nc.PNG,x\n./x/../C.png,y\n"
    )
    found = describe(tmp_path)
    assert found.count == 3
    assert [skip.name for skip in found.skipped] == ["c.PNG", "c.png"]  # c.png and C.png: it may be either


def test_a_table_names_nothing_outside(photos: Photos, tmp_path: Path) -> None:
    folder = photos(".")
    write(tmp_path / "secret.png", encode(noise(8, 8)))
    inside, outside = (folder / "1.png").resolve(), (tmp_path / "secret.png").resolve()
    rows = ["../0.png", "../secret.png", str(outside), str(inside), "C:\\0.png"]
    write(folder / "metadata.csv", "file_name,label\n" + "".join(f"{row},a\n" for row in rows))
    found = describe(folder)
    assert found.count == 1
    outside_rows = [skip for skip in found.skipped if "lies outside the folder" in skip.reason]
    assert [skip.name for skip in outside_rows] == sorted(
        ["../0.png", "../secret.png", str(outside), "C:\\0.png"]
    )


def test_a_number_is_the_same_class_whatever_its_type(photos: Photos) -> None:
    folder = photos(".", count=6)
    labels = ["1", "1.0", '"1"', "NaN", "null", "[1, 2]"]
    rows = [f'{{"file_name": "{i}.png", "label": {label}}}\n' for i, label in enumerate(labels)]
    write(folder / "metadata.jsonl", "".join(rows) + "broken\n")
    found = describe(folder)
    assert found.classes == {"1": 3}
    assert len(found.skipped) == 4


def test_running_folders_of_nvlabs_are_no_classes(photos: Photos) -> None:
    folder = photos("00000", "00001")
    write(folder / "dataset.json", '{"labels": null}')
    assert open_images(folder).classes == ()
    write(folder / "dataset.json", json.dumps({"labels": [["00000/0.png", 0], ["00001/0.png", 1]]}))
    dataset = open_images(folder)
    assert dataset.classes == ("0", "1")
    assert len(dataset.skipped) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.parquet", b"PAR1", "metadata.parquet in .* is not read: save it as metadata.csv"),
        ("dataset.json", b'{"images": []}', "is not as NVlabs writes it"),
        ("dataset.json", b'{"labels": [["0.png", [0, 1]]]}', "is not as NVlabs writes it"),
        ("metadata.jsonl", b"text\n", "none of the 1 rows"),
    ],
)
def test_label_files_that_cannot_be_read_are_refused(
    photos: Photos, name: str, content: bytes, message: str
) -> None:
    folder = photos(".")
    write(folder / name, content)
    with pytest.raises(LuoxiaError, match=message):
        open_images(folder)


def test_two_label_files_are_refused_and_others_named(photos: Photos) -> None:
    folder = photos("x", "y")
    write(folder / "labels.csv", "id,breed\n")
    write(folder / "x" / "metadata.csv", "file_name,label\n0.png,a\n")
    notes = describe(folder).notes
    assert notes[0].startswith("labels.csv is not read; labels come from metadata.csv")
    assert notes[1].startswith("x/metadata.csv is not read, for there are images outside its folder")
    write(folder / "metadata.csv", "file_name,label\nx/0.png,a\n")
    write(folder / "metadata.jsonl", "{}")
    with pytest.raises(UsageError, match=r"holds metadata.csv and metadata.jsonl.*keep one"):
        open_images(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name,class,text\n0.png,1,x\n1.png,2,y\n2.png,1,z\n"),
        (
            "metadata.jsonl",
            "".join(f'{{"file_name": "{i}.png", "class": {i}, "text": "x"}}\n' for i in range(3)),
        ),
    ],
)
def test_a_label_file_without_labels_is_named_with_its_columns(
    photos: Photos, name: str, content: str
) -> None:
    folder = photos(".")
    write(folder / name, content)
    dataset = open_images(folder)
    assert dataset.classes == ()
    assert dataset.notes == (
        f"{name} gives no classes, for it has no column label (it has file_name, class, text): if one of these holds "
        "the classes, call it label",
    )
    write(folder / name, content.replace("class", "label"))
    assert open_images(folder).notes == ()


def test_a_file_of_captions_alone_needs_no_remark(photos: Photos) -> None:
    folder = photos(".")
    write(folder / "metadata.csv", "file_name,text\n0.png,x\n1.png,y\n2.png,z\n")
    assert describe(folder).notes == []


@pytest.mark.parametrize(
    "name", ["metadata.json", "Metadata.xlsx", "labels.jsonl", "train.tsv", "_annotations.coco.json"]
)
def test_label_files_of_other_kinds_are_named(photos: Photos, name: str) -> None:
    folder = photos(".")
    write(folder / name, json.dumps([{"file_name": "0.png", "label": 1}]))
    assert [note.partition(";")[0] for note in describe(folder).notes] == [f"{name} is not read"]


def test_a_guessed_encoding_is_said(photos: Photos) -> None:
    folder = photos(".")
    write(folder / "metadata.csv", "file_name,label\n0.png,山水\n1.png,花鸟\n2.png,山水\n".encode("gbk"))
    dataset = open_images(folder)
    assert set(dataset.classes) == {"山水", "花鸟"}
    assert dataset.notes == ("metadata.csv is not UTF-8: read as gbk",)
