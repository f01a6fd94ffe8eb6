"""JSON as files that are one value, and what lies beside texts in a folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.files import BACK
from luoxia.media.ours import RUN
from luoxia.media.text.sources import read_texts

ROWS = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(4)]
TEXTS = [row["text"] for row in ROWS]


def put(path: Path, value: object, **form: int) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value, **form), encoding="utf-8")  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_list_of_rows(tmp_path: Path, name: str, indent: int) -> None:
    source = read_texts(put(tmp_path / name, ROWS, indent=indent), label="label")
    assert [(row.name, row.text, row.label) for row in source.documents()] == [
        (f"{name}:{number}", row["text"], row["label"]) for number, row in enumerate(ROWS, 1)
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"version": 1, "data": ROWS},
        {"train": ROWS},
        {"schema": {"fields": []}, "data": ROWS},
        {"text": TEXTS, "label": list("abab")},
        {"text": dict(enumerate(TEXTS)), "label": dict(enumerate("abab"))},
        {"columns": ["text", "label"], "index": [0, 1], "data": [[text, "a"] for text in TEXTS]},
        "\n".join(map(json.dumps, ROWS)),  # lines under the name of one value
    ],
)
def test_other_forms_of_rows(tmp_path: Path, value: object) -> None:
    source = read_texts(put(tmp_path / "a.json", value))
    assert [document.text for document in source.documents()] == TEXTS


def test_one_object_is_one_row(tmp_path: Path) -> None:
    for i in range(3):
        put(tmp_path / f"{i}.json", {"text": f"text {i}", "tags": [{"name": "x"}]}, indent=1)
    assert [document.text for document in read_texts(tmp_path).documents()] == TEXTS[:3]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"train": ROWS, "test": ROWS}, r"a\.json holds 2 lists of rows, train, test: write each"),
        ('[\n {"text": "a"},\n {"text" "b"}\n]', r"invalid JSON: .* in line 3, column 10; mend it"),
        ("17", "no rows but a number"),
        ([{"instruction": "a", "output": "b"}], "no field 'text'; its fields are instruction, output; name"),
        ("[" * 100_000, "nesting too deep"),
    ],
)
def test_what_holds_no_rows_is_refused_by_name(tmp_path: Path, value: object, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_texts(put(tmp_path / "a.json", value))


def test_json_beside_texts_is_named_not_learned(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    put(tmp_path / "package.json", {"name": "x", "version": "1"})
    put(tmp_path / "broken.json", "{")
    made = {"text": "x", "seed": 0, "index": 0, "recipe": "gpt", "generator": "Luoxia 1.0"}
    put(tmp_path / "samples.jsonl", json.dumps(made))
    put(tmp_path / "b.txt", "made")
    digest = hashlib.sha256(b"made").hexdigest()
    put(tmp_path / "b.txt.label.json", {"seed": 0, "generator": "Luoxia 1.0", "sha256": digest})
    source = read_texts(tmp_path)
    assert [document.text for document in source.documents()] == ["one"]
    assert [skip.name for skip in source.skips.listed] == [
        "broken.json",
        "b.txt",
        "b.txt.label.json",
        "samples.jsonl",
        "package.json",
    ]
    assert source.skips.amount() == "5 files" and source.skips.broken == 0


def test_rows_that_a_person_added_to_generated_ones_are_learned(tmp_path: Path) -> None:
    made = json.dumps({"text": "x", "generator": "Luoxia 1.0"})
    put(tmp_path / "a.txt", "one")
    put(tmp_path / "b.jsonl", f'{made}\n{{"text": "mine"}}\n')
    assert [document.text for document in read_texts(tmp_path).documents()] == ["one", "x", "mine"]


def test_links_are_followed_and_runs_are_not_entered(tmp_path: Path) -> None:
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    for folder in (elsewhere, data / "run" / "samples"):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("text", encoding="utf-8")
    put(data / "run" / "run.json", {"format": 1, "luoxia": "1", "recipe": "gpt"})
    (data / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(data)
    source = read_texts(data)
    assert [document.name for document in source.documents()] == ["linked/a.txt"]
    assert [(skip.name, skip.reason) for skip in source.skips.listed] == [("linked/back", BACK), ("run", RUN)]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "a.json",
            '[{"text": "cut',
            r"invalid JSON: Unterminated string starting in line 1, column 11; mend",
        ),
        ("a.json", '[{"text" 1}]', r"invalid JSON: Expecting ':' delimiter in line 1, column 10; mend"),
        (
            "a.jsonl",
            '{"text": "cut\n{"text": "cut\n',
            r"invalid JSON: Unterminated string starting at column 10\)",
        ),
    ],
)
def test_where_json_is_invalid(tmp_path: Path, name: str, text: str, told: str) -> None:
    put(tmp_path / name, text)
    with pytest.raises(LuoxiaError, match=told):
        list(read_texts(tmp_path / name).documents())


def test_a_spreadsheet_under_another_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(
        UsageError, match=r"spreadsheets and documents are within \(save those as CSV or as text"
    ):
        read_texts(tmp_path / "a.csv")
