"""What ``luoxia data`` says of text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from luoxia import sampling
from luoxia.data.files import BACK
from luoxia.data.ours import CACHE
from luoxia.data.text.corpus import open_corpus
from luoxia.data.text.describe import describe_text, holds_text
from luoxia.errors import LuoxiaError, UsageError


def test_rows_and_their_fields(tmp_path: Path) -> None:
    rows = [{"form": "七言", "poem": "山高月小"}, {"form": "五言", "poem": "水落石出", "note": 3}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    file = tmp_path / "poems.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join([lines[0], "{broken", lines[1]]).encode()))
    found = describe_text(file)
    assert found.documents == 2 and found.characters == 2 * (2 + 4)
    assert found.fields == {"form": 2, "poem": 2, "note": 1}
    assert found.files == {"jsonl": 1} and found.encodings == {"utf-8": 1}
    assert found.skipped_in_all == found.broken == 1 and found.skipped[0].name == "poems.jsonl.gz:2"
    file = tmp_path / "a.csv"
    file.write_text('text; label\n"a; b"; c\n"d"; \nalone\n', encoding="utf-16")
    found = describe_text(file)
    assert found.separators == {"semicolon": 1} and found.encodings == {"utf-16-le": 1}
    assert found.fields == {"text": 2, "label": 1} and (found.documents, found.broken) == (2, 1)
    assert found.skipped[0].reason == "1 column where the header has 2"


def test_folders_of_plain_text_are_classes(tmp_path: Path) -> None:
    for name, text in (("news/a.txt", "短讯"), ("news/b.md", "ab"), ("verse/c.txt", "诗句\r\n一行")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    found = sampling.describe_data(str(tmp_path))
    assert found["kind"] == "text" and found["documents"] == 3 and found["characters"] == 2 + 2 + 5
    assert found["classes"] == {"news": 2, "verse": 1} and found["fields"] == {}


def test_other_encodings_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(("落霞与孤鹜齐飞，秋水共长天一色。" * 20).encode("gb18030"))
    assert set(describe_text(tmp_path).encodings) <= {"gb18030", "gbk", "gb2312"}


def test_images_beside_text_are_images(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("about", encoding="utf-8")
    assert holds_text(tmp_path)
    (tmp_path / "photo.png").write_bytes(b"")
    assert not holds_text(tmp_path) and not holds_text(tmp_path / "absent.txt")


def test_mistakes_are_told(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("words", encoding="utf-8")
    with pytest.raises(UsageError, match="size= is for images"):
        sampling.describe_data(str(file), size=64)
    file.write_bytes(b"\0\1\2\xff" * 100)
    with pytest.raises(UsageError, match="give a text file"):
        sampling.describe_data(str(file))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LuoxiaError):
        sampling.describe_data(str(empty))


def test_the_cache_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("words " * 50, encoding="utf-8")
    monkeypatch.setenv("LUOXIA_CACHE", str(tmp_path / "cache"))
    open_corpus(tmp_path, "character", None)
    (tmp_path / "loop").symlink_to("..")
    found = describe_text(tmp_path)
    assert found.files == {"txt": 1} and found.fields == {}
    assert {skip.reason for skip in found.skipped} == {CACHE, BACK}
