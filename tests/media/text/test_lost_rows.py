"""Rows that cannot be used: counted, named, and refused where they are too many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.text.alignment import read_pairs
from luoxia.media.text.asked import texts_in
from luoxia.media.text.sources import MOST_SPACE, read_texts
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.media.text.tokens import TokenDataset
from luoxia.registry import task_of
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.tasks.text_translation.recipes import Translate

ROWS = [f"word {i},{'ab'[i % 2]}" for i in range(1000)]


def put(path: Path, rows: list[str], header: str = "text,label") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_one_broken_row_of_a_thousand(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", [*ROWS[:5], f'"{ROWS[5]}', *ROWS[6:]])
    recipe = ClassifyText(data=str(path), label="label", tokenizer="byte")
    task = task_of(recipe)
    corpus = task.open(recipe)
    assert len(corpus) == 999
    assert task.skipped(corpus) == "1 of 1,000 rows"
    assert [(skip.name, skip.reason) for skip in corpus.skipped] == [
        ("a.csv:7", "a quotation that is never closed")
    ]
    again = task.open(recipe)  # from the cache
    assert again.data.skips == corpus.data.skips and corpus.data.skips.used == 999


@pytest.mark.parametrize("kind", ["gpt", "classify-text", "translate"])
def test_more_than_a_hundredth_is_refused_unless_allowed(tmp_path: Path, kind: str) -> None:
    path = str(put(tmp_path / "a.csv", ["alone"] * 20 + ROWS))
    made = {
        "gpt": lambda **more: GPT(data=path, tokenizer="byte", **more),
        "classify-text": lambda **more: ClassifyText(data=path, label="label", tokenizer="byte", **more),
        "translate": lambda **more: Translate(data=path, tokenizer="byte", **more),
    }[kind]
    told = r"^20 of 1,020 rows of .*a\.csv cannot be read \(a\.csv:2: 1 column where .*allow_skipped=0\.01"
    for recipe in (made(), made(allow_skipped=0.019)):
        with pytest.raises(LuoxiaError, match=told):
            task_of(recipe).open(recipe)
    assert len(task_of(kind_of := made(allow_skipped=0.02)).open(kind_of)) == 1000
    with pytest.raises(LuoxiaError, match=told):  # although it is cached
        task_of(made()).open(made())


def test_cells_that_say_nothing_are_skipped_whatever_their_number(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": float("nan") if i % 4 == 0 else "word", "label": [1, 2.0, 1.0, None][i // 10 % 4]}
        for i in range(400)
    ]
    source = read_texts(lines(tmp_path / "a.jsonl", rows), label="label")
    documents = list(source.documents())
    assert {document.text for document in documents} == {"word"}
    assert {document.label for document in documents} == {"1", "2"}
    assert source.skips.broken == 0 and source.skips.amount() == f"{400 - len(documents)} of 400 rows"
    assert source.skips.listed[0].reason == "the field 'text' is NaN"


def test_classes_in_text_are_one_a_number(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", [f"word,{label}" for label in ("1", "1.0", "2", "2.00", "x")])
    recipe = ClassifyText(data=str(path), label="label", tokenizer="byte")
    assert task_of(recipe).open(recipe).data.classes == ("1", "2", "x")
    path = put(tmp_path / "b.csv", [f"word,{label}" for label in ("1.0", "2.0")])
    recipe = ClassifyText(data=str(path), label="label", tokenizer="byte")
    assert task_of(recipe).open(recipe).data.classes == ("1.0", "2.0")


def test_a_condition_that_is_null_states_nothing(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "a", "form": None}, {"text": "b", "form": float("nan")}]
    source = read_texts(lines(tmp_path / "a.jsonl", [*rows, {"text": "c", "form": "x"}]), condition=["form"])
    assert [document.fields for document in source.documents()] == [
        (("form", ""),),
        (("form", ""),),
        (("form", "x"),),
    ]


def test_a_field_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "text": "b"}\n' + '{"text": "c"}\n' * 200)
    source = read_texts(path)
    assert len(list(source.documents())) == 200
    assert source.skips.listed[0].reason == "the field 'text' stands twice"


def test_pairs_that_are_broken_or_have_one_side(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\tA\n" * 300 + "alone\n" + "b\t\n" * 100)
    source = read_pairs(path)
    assert len(list(source.pairs())) == 300
    assert (source.skips.broken, source.skips.amount()) == (1, "101 of 401 rows")
    assert [skip.name for skip in source.skips.listed[:2]] == ["a.tsv:301", "a.tsv:302"]


def test_aligned_files_of_unlike_lengths(tmp_path: Path) -> None:
    left, right = tmp_path / "a.en", tmp_path / "a.de"
    left.write_text("a\nb\n\nd\n\n \n")
    right.write_text("A\nB\n\nD\n")  # blank lines at the end pair with nothing, and miss nothing
    source = read_pairs(left, right)
    assert [pair.target for pair in source.pairs()] == ["A", "B", "D"]
    assert source.skips.listed[0].reason == "empty source and target"
    right.write_text("A\n\nB\n\nD\n")
    told = r"a\.en has 4 lines and .*a\.de has 5 lines, .*; line 2 is the first that is blank in one of them only"
    with pytest.raises(UsageError, match=told):
        read_pairs(left, right)


def test_texts_that_a_model_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\n\nb\n")
    assert texts_in(path, None, blank=True) == ["a", "", "b"]
    with pytest.raises(UsageError, match=r"line 2 of .* is empty"):
        texts_in(path, None)
    with pytest.raises(UsageError, match="has lines and no field 'x'"):
        texts_in(path, "x")
    path.write_bytes("ä\nö\n".encode() + b"\xe4\n")
    with pytest.raises(UsageError, match=r"cannot be read \(a\.txt:3: not valid utf-8\)"):
        texts_in(path, None, blank=True)
    rows = lines(tmp_path / "a.jsonl", [{"en": "a", "text": "b"}, {"en": "c", "text": None}])
    assert texts_in(rows, "en") == ["a", "c"]
    with pytest.raises(UsageError, match=r"a row without a text \(a\.jsonl:2: the field 'text' is null\)"):
        texts_in(rows, None)


def test_bad_lines_of_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("gut: ä\n".encode() * 50 + b"schlecht: \xe4\n")
    with pytest.raises(LuoxiaError, match=r"1 of 52 rows .*a\.txt:51: not valid utf-8"):
        list(read_texts(path).documents())
    path.write_bytes("gut: ä\n".encode() * 500 + b"schlecht: \xe4\n")
    assert len(list(read_texts(path).documents())) == 1


def test_much_space_before_a_text_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n" * (5 * MOST_SPACE) + "text")
    (document,) = read_texts(path).documents()
    assert document.text.strip() == "text" and len(document.text) <= 2 * MOST_SPACE


def test_a_cache_of_a_source_with_files_that_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x89PNG" + bytes(9))
    (tmp_path / "b.txt").write_text("one")
    source = read_texts(tmp_path)
    opened = TokenDataset.open(source, Tokenizer.train("byte"))
    assert opened.skips.amount() == "1 file" and opened.skips.broken == 0
