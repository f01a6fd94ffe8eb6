"""What ``luoxia data`` says of text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from luoxia import plan
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.files import BACK
from luoxia.media.ours import CACHE
from luoxia.media.text.corpus import open_corpus
from luoxia.media.text.describe import UNTITLED, describe_text, holds_text
from luoxia.verbs.data import describe


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
    found = describe(str(tmp_path))
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
        describe(str(file), size=64)
    file.write_bytes(b"\0\1\2\xff" * 100)
    with pytest.raises(UsageError, match="give a text file"):
        describe(str(file))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LuoxiaError):
        describe(str(empty))


def test_the_cache_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("words " * 50, encoding="utf-8")
    monkeypatch.setenv("LUOXIA_CACHE", str(tmp_path / "cache"))
    open_corpus(tmp_path, "character", None)
    (tmp_path / "loop").symlink_to("..")
    found = describe_text(tmp_path)
    assert found.files == {"txt": 1} and found.fields == {}
    assert {skip.reason for skip in found.skipped} == {CACHE, BACK}


def test_rows_without_a_text_are_skipped_and_those_without_a_label_noted(tmp_path: Path) -> None:
    rows = [
        {"text": "ab", "label": 1},
        {"label": 1},
        {"text": None, "label": 2},
        {"text": "cde", "label": None},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = describe_text(tmp_path / "a.jsonl")
    assert (found.documents, found.characters, found.broken) == (2, 5, 0)
    assert found.fields == {"text": 2, "label": 3} and found.skipped_in_all == 2
    assert found.notes == ["rows without a 'label', which label=label leaves out: 1"]
    assert [(skip.name, skip.reason) for skip in found.skipped] == [
        ("a.jsonl:2", "no field 'text'"),
        ("a.jsonl:3", "the field 'text' is null"),
    ]
    (tmp_path / "a.csv").write_text("text,label\nab,1\n,\n", encoding="utf-8")
    found = describe_text(tmp_path / "a.csv")
    assert (found.documents, found.skipped[0].reason) == (1, "the field 'text' is empty")


def test_chats_have_characters(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "abc"}, {"role": "assistant", "content": "de"}]}
    (tmp_path / "a.json").write_text(json.dumps([chat, {"messages": []}]), encoding="utf-8")
    found = describe_text(tmp_path / "a.json")
    assert (found.documents, found.characters, found.skipped_in_all) == (1, 5, 1)


def test_rows_without_a_field_of_text_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"data": [{"parts": [{"context": "the sea"}]}]}), encoding="utf-8")
    found = describe_text(file)
    assert found.notes == [UNTITLED] and (found.documents, found.characters) == (1, 7)


def test_a_plan_tells_how_many_rows_are_learned(tmp_path: Path) -> None:
    rows = [{"text": f"words of number {i}"} if i % 2 else {} for i in range(60)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    small = {"tokenizer": "character", "layers": 1, "heads": 1, "width": 8, "context": 8, "batch": 2}
    planned = plan("gpt", data=str(tmp_path / "a.jsonl"), **small)
    assert planned["data"]["skipped"] == "30 of 60 rows: 30 such as a.jsonl:1 (no field 'text')"
