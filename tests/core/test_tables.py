"""Tables of every way of writing; a broken record costs itself only."""

from __future__ import annotations

import csv
import io
import random
from itertools import product
from typing import Any

import pytest

from luoxia.core.cells import MissingError, label_of, one_name_a_number, text_of
from luoxia.core.errors import UsageError
from luoxia.core.skips import Unusable
from luoxia.core.tables import Read, read_table

ROWS = [(f"word {i}, and more", "ab"[i % 2]) for i in range(40)]


def read(text: str, name: str = "a.csv", encoding: str = "utf-8") -> Read:
    return read_table(text.encode(encoding), name)


def cells(found: Read) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for _, row in found.rows]


def faults(found: Read) -> dict[str, str]:
    return {skip.name: skip.reason for skip in found.skips.listed}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
def test_separators_line_ends_and_encodings(separator: str, ends: str, encoding: str) -> None:
    lines = [f"正文{separator}類"] + [f'"{text}春眠不覺曉"{separator}{label}' for text, label in ROWS]
    found = read(ends.join(lines), encoding=encoding)  # the last line has no end
    assert found.columns == ["正文", "類"] and found.dialect.separator == separator
    assert cells(found) == [(f"{text}春眠不覺曉", label) for text, label in ROWS]
    assert found.skips.count == 0


@pytest.mark.parametrize("start", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n"])
def test_excel_names_its_separator(start: str) -> None:
    found = read(f"{start}text;label\na, b;c\n")
    assert found.columns == ["text", "label"] and found.rows == [(3, {"text": "a, b", "label": "c"})]


def test_blanks_around_names_and_before_quotations() -> None:
    found = read('\ufeff text , label\n"a, b", c\n"d", "e"\n')
    assert found.columns == ["text", "label"] and cells(found) == [("a, b", "c"), ("d", "e")]
    found = read('text,label\n"a, b", "c"\n"d", "e, f"\n')  # the header has none
    assert cells(found) == [("a, b", "c"), ("d", "e, f")]


@pytest.mark.parametrize("at", [0, 1, 20, 39])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_quotation_that_is_never_closed_costs_its_row(at: int, quoted: bool) -> None:
    rows = [f'"{text}",{label}' if quoted else f"word {i},{label}" for i, (text, label) in enumerate(ROWS)]
    rows[at] = f'"word {at},a'
    found = read("text,label\n" + "\n".join(rows) + "\n")
    assert len(found.rows) == 39 and list(faults(found)) == [f"a.csv:{at + 2}"]
    assert "never closed" in faults(found)[f"a.csv:{at + 2}"]


def test_fields_over_several_lines() -> None:
    found = read('text,label\n"one\n\ntwo, ""three""\nfour",a\n"five\r\nsix",b\n')
    assert cells(found) == [('one\n\ntwo, "three"\nfour', "a"), ("five\nsix", "b")]
    assert [number for number, _ in found.rows] == [2, 6]


def test_each_broken_record_is_named_with_its_reason() -> None:
    bad = [
        ('"he said "hi" to me",a', "malformed"),
        ("alone", "1 column where the header has 2"),
        ("a,b,c", "3 columns where the header has 2"),
        ("a\0b,c", "NUL"),
        ('"two\nlines",a,b', "3 columns"),
        ('"first\n"x" second\nrest",a', "never closed"),
    ]
    good = ['5" disk,a', "a,b,", '"",b', f"{'x' * 200_000},a"]
    for (broken, reason), row in product(bad, good):
        found = read(f"text,label\nbefore,a\n{broken}\n{row}\n" + "after,b\n" * 200)
        assert len(found.rows) == 202 and cells(found)[-1] == ("after", "b"), broken
        assert reason in faults(found)["a.csv:3"]
    mixed = "text,label\n" + "".join(f"{broken}\nfine {i},a\n" for i, (broken, _) in enumerate(bad))
    assert [text for text, _ in cells(read(mixed))] == [f"fine {i}" for i in range(6)]


def test_one_line_of_bad_bytes() -> None:
    lines = [b"text,label", *[f"word {i},a".encode() for i in range(200)]]
    lines[7] = b"\xff\xfe\x80,a"
    found = read_table(b"\n".join(lines), "a.csv")
    assert len(found.rows) == 199 and faults(found) == {"a.csv:8": "not valid utf-8"}


@pytest.mark.parametrize("seed", range(40))
def test_any_table_comes_back_and_one_broken_row_costs_itself(seed: int) -> None:
    draw = random.Random(seed)
    words = ["the", "sea,", "is", '"calm"', "and;", "the", "|", '5"\nby', "river", "落霞"]
    form: dict[str, Any] = {
        "delimiter": draw.choice(",;"),
        "quoting": draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        "lineterminator": draw.choice(["\n", "\r\n"]),
    }
    rows = [(" ".join(draw.choices(words, k=draw.randint(1, 6))), draw.choice("ab")) for _ in range(30)]
    lines = []
    for row in [("text", "label"), *rows]:
        line = io.StringIO()
        csv.writer(line, **form).writerow(row)
        lines.append(line.getvalue())
    assert cells(read("".join(lines))) == rows
    broken = draw.randrange(30)
    separator = form["delimiter"]
    lines[broken + 1] = draw.choice(
        [f'"open{separator}a\n', "alone\n", f'"a "b" c"{separator}a\n', separator.join("abc") + "\n"]
    )
    found = read("".join(lines))
    assert cells(found) == rows[:broken] + rows[broken + 1 :] and found.skips.count == 1


def test_many_broken_records() -> None:
    rows = [f'"row {i},a' if i % 50 == 0 else f"row {i},a" for i in range(20_000)]
    found = read("text,label\n" + "\n".join(rows))
    assert len(found.rows) == 19_600 and found.skips.count == 400


def test_tabs_with_and_without_quotations() -> None:
    found = read('text\tlabel\n"Hello," he said.\ta\n"So."\tb\n', "a.tsv")
    assert cells(found) == [('"Hello," he said.', "a"), ('"So."', "b")]
    found = read('text\tlabel\n"a\tb"\tc\n"two\nlines"\td\n', "a.tsv")
    assert cells(found) == [("a\tb", "c"), ("two\nlines", "d")]
    found = read('text\tlabel\n"a ""b"" c"\td\ne\tf\n', "a.tsv")
    assert cells(found) == [('a "b" c', "d"), ("e", "f")]
    found = read('"text"\t"label"\n"a"\t"b"\n"c"\t"d"\n', "a.tsv")
    assert found.columns == ["text", "label"] and cells(found) == [("a", "b"), ("c", "d")]


def test_escaped_quotations() -> None:
    found = read('text,label\n"a \\"b\\", c",d\n"e \\"f\\", g",h\n')
    assert cells(found) == [('a "b", c', "d"), ('e "f", g', "h")]


def test_one_column() -> None:
    assert cells(read('text\nHello, world\n"Hello, again"\n')) == [("Hello, world",), ("Hello, again",)]


def test_headers() -> None:
    with pytest.raises(UsageError, match=r"a\.csv has 2 columns called 'text'"):
        read("text, text,label\na,b,c\n")
    with pytest.raises(Unusable, match="header that cannot be read"):
        read('"text,label\na,b\n')
    assert read(",text,\n0,a,\n").columns == ["column 1", "text", "column 3"]
    assert read("cafe\u0301,b\n1,2\n").columns == ["café", "b"]
    assert read("").rows == [] and read("text,label\n").rows == []


def test_cells() -> None:
    for nothing in (None, float("nan"), "", " \t\n"):
        with pytest.raises(MissingError):
            text_of(nothing)
    for strange in ([], {}, float("inf"), "half \ud800"):
        with pytest.raises(ValueError, match="not text"):
            text_of(strange)
    said = {True: "true", False: "false", 3: "3", 2.0: "2", 2.5: "2.5", 1e300: "1e+300", " a ": " a "}
    assert {value: text_of(value) for value in said} == said
    assert label_of(" cafe\u0301 ") == "café" and label_of(1.0) == label_of(1) == label_of("1") == "1"
    assert one_name_a_number(["1", "1.0", "2.0", "-3", "-3.00", "v1.0"]) == {"1.0": "1", "-3.00": "-3"}
