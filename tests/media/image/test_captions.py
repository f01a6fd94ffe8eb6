"""Captions of images: beside them, in tables, of a fair shape or of none."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

import luoxia
from luoxia.media.image.captions import LONGEST, MOST, Captions, captioned
from luoxia.verbs.data import describe
from pictures import encode, noise, write


def images(folder: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        write(folder / name, encode(noise(8, 8, seed=seed)))
    return folder


def said_of(folder: Path) -> tuple[dict[str, tuple[str, ...]], Captions]:
    data = captioned(luoxia.open_images(str(folder)), str(folder))
    return dict(zip(data.names, data.captions.texts, strict=True)), data.captions


def test_a_line_beside_an_image_is_a_caption(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "sub/b.png", "c.png")
    write(tmp_path / "a.txt", "a red heart\n\n one heart \n")
    write(tmp_path / "sub" / "B.txt", "蓝旗")
    texts, captions = said_of(tmp_path)
    assert texts == {"a.png": ("a red heart", "one heart"), "sub/b.png": ("蓝旗",), "c.png": ()}
    assert (captions.captioned, captions.count()) == (2, 3)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_several_rows_of_an_image_are_several_captions_and_no_fault(tmp_path: Path, name: str) -> None:
    images(tmp_path, "a.png", "b.png")
    rows = [("a.png", "one"), ("a.png", "two"), ("b.png", "three"), ("b.png", "three")]
    table = "file_name,text\n" + "".join(f"{file},{text}\n" for file, text in rows)
    lines = "".join(json.dumps({"file_name": file, "text": text}) + "\n" for file, text in rows)
    write(tmp_path / name, table if name.endswith("csv") else lines)
    texts, _ = said_of(tmp_path)
    assert texts == {"a.png": ("one", "two"), "b.png": ("three",)}
    skipped = luoxia.open_images(str(tmp_path)).skipped
    assert [(skip.name, skip.reason) for skip in skipped] == [
        ("b.png", f"named again in {name}, row {4 + (name[-1] == 'v')}")
    ]


def test_a_list_a_caption_column_keywords_and_fields(tmp_path: Path) -> None:
    images(tmp_path, *(f"{i}.png" for i in range(8)))
    rows = [
        {
            "file_name": f"{i}.png", "caption": ["first", f"second {i}"], "keywords": "red, round;red",
            "category": "things", "style": "old" if i % 2 else "new", "id": f"x{i}",
        }
        for i in range(8)
    ]  # fmt: skip
    write(tmp_path / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    texts, captions = said_of(tmp_path)
    assert texts["3.png"] == ("first", "second 3")
    assert captions.keywords[0] == ("red", "round")
    assert captions.fields == {"category": ("things",) * 8, "style": ("new", "old") * 4}


def test_a_zip_is_read_as_a_folder_is(tmp_path: Path) -> None:
    images(tmp_path / "in", "a.png", "b.png")
    write(tmp_path / "in" / "a.txt", "a red heart")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted((tmp_path / "in").iterdir()):
            archive.write(file, file.name)
    assert said_of(tmp_path / "all.zip")[0] == said_of(tmp_path / "in")[0]


def test_odd_captions_are_cleaned_and_named(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png", "c.png", "d.png", "d.jpg")
    write(tmp_path / "a.txt", "   \n")
    write(tmp_path / "b.txt", "word " * 1000)
    write(tmp_path / "c.txt", "a\0b \x07heart")
    write(tmp_path / "d.txt", "of both")
    write(tmp_path / "nobody.txt", "a ghost")
    texts, captions = said_of(tmp_path)
    assert texts["a.png"] == () and texts["c.png"] == ("a b heart",)
    assert len(texts["b.png"][0]) == LONGEST
    assert texts["d.png"] == texts["d.jpg"] == ("of both",)
    told = " ".join(captions.notes)
    for words in ("are empty, such as a.txt", "beyond 1,000 characters", "control characters", "nobody.txt"):
        assert words in told


def test_a_file_that_is_no_text_or_endless_is_left_out(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    write(tmp_path / "a.txt", "x" * 2**21)
    write(tmp_path / "b.txt", "\n".join(f"caption {i}" for i in range(2 * MOST)))
    texts, captions = said_of(tmp_path)
    assert texts["a.png"] == () and len(texts["b.png"]) == MOST
    assert "larger than 1 MiB" in captions.notes[0]


def test_a_table_captions_nothing_outside_its_folder(tmp_path: Path) -> None:
    outside = images(tmp_path, "x.png")
    folder = images(tmp_path / "in", "a.png", "b.png")
    table = "file_name,text\n../x.png,stolen\n../../x.png,stolen\n/etc/passwd,stolen\nmissing.png,gone\na.png,mine\n"
    write(folder / "metadata.csv", table)
    texts, _ = said_of(folder)
    assert texts == {"a.png": ("mine",)}
    skipped = {skip.name: skip.reason for skip in luoxia.open_images(str(folder)).skipped}
    assert "outside" in skipped["../x.png"] and "not there" in skipped["missing.png"] and outside


def test_captions_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    folder = images(tmp_path, "a.png", "b.png")
    plain = luoxia.open_images(str(folder))
    assert captioned(plain, str(folder)).fingerprint == plain.fingerprint
    prints = set()
    for text in ("one", "two"):
        write(folder / "a.txt", text)
        prints.add(captioned(luoxia.open_images(str(folder)), str(folder)).fingerprint)
    assert len(prints | {plain.fingerprint}) == 3


def test_data_says_how_many_captions_there_are(tmp_path: Path) -> None:
    folder = images(tmp_path, "a.png", "b.png")
    write(folder / "a.txt", "one\ntwo")
    told = describe(str(folder))
    assert (told["captions"], told["captioned"], told["keywords"], told["fields"]) == (2, 1, 0, {})
