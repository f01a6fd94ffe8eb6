import gzip
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from luoxia.core import reading
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.text.alignment import read_pairs as pairs
from luoxia.media.text.sources import read_texts as texts

read_texts = partial(texts, allow_skipped=1)  # a few rows of a small file are a large share
read_pairs = partial(pairs, allow_skipped=1)

CHINESE = "白日依山盡，黃河入海流。\n欲窮千里目，更上一層樓。\n" * 20


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def rows(*records: object) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def test_python_carries_text() -> None:
    source = read_texts()
    documents = list(source.documents())
    assert len(documents) > 50
    assert sum(len(document.text) for document in documents) > 300_000
    assert source.fingerprint == read_texts().fingerprint
    with pytest.raises(UsageError, match="no fields"):
        read_texts(condition=("form",))


def test_a_folder_of_every_kind(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "one\r\ntwo\n")
    put(tmp_path / "b" / "c.md.gz", "# three")
    put(tmp_path / "d.jsonl.gz", rows({"text": "four"}, {"text": "five", "x": 1}))
    put(tmp_path / "e.csv", 'id,text\n1,"six, ""quoted""\nseven"\n2,eight\n')
    put(tmp_path / "f.tsv", 'text\tid\n"nine\t1\n')
    put(tmp_path / "ignored.py", "x = 1")
    put(tmp_path / ".hidden.txt", "no")
    source = read_texts(tmp_path)
    found = {document.name: document.text for document in source.documents()}
    assert found == {
        "a.txt": "one\ntwo\n",
        "b/c.md.gz": "# three",
        "d.jsonl.gz:1": "four",
        "d.jsonl.gz:2": "five",
        "e.csv:2": 'six, "quoted"\nseven',
        "e.csv:4": "eight",
        "f.tsv:2": '"nine',
    }
    assert source.skips.count == 0
    assert not source.labeled


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"]
)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_encodings_of_chinese(tmp_path: Path, encoding: str, packed: str) -> None:
    put(tmp_path / f"a.txt{packed}", CHINESE.encode(encoding))
    put(tmp_path / f"b.jsonl{packed}", rows({"text": "春眠不覺曉，處處聞啼鳥。"} | {}).encode(encoding) * 20)
    if encoding in ("utf-8-sig", "utf-16", "utf-32"):  # one mark a file
        put(tmp_path / f"b.jsonl{packed}", (rows({"text": "春眠不覺曉，處處聞啼鳥。"}) * 20).encode(encoding))
    texts = [document.text for document in read_texts(tmp_path).documents()]
    assert texts == [CHINESE] + ["春眠不覺曉，處處聞啼鳥。"] * 20


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "Le garçon a mangé la pêche où l'été s'achève, déjà très mûre.\nÀ bientôt, élève !\n"),
        ("latin-1", "Die Straße ist schön, aber über die Brücke können wir nicht gehen.\n"),
        ("latin-1", "El niño comió la piña mañana; ¿dónde está el señor Muñoz? ¡Qué lástima!\n"),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy, řekl člověk.\n"),
        ("cp1251", "Съешь ещё этих мягких французских булок, да выпей чаю.\n"),
        ("koi8-r", "Съешь ещё этих мягких французских булок, да выпей чаю.\n" * 5),
        ("big5", "白日依山盡，黃河入海流。\n"),
        ("shift_jis", "これは日本語の文章です。吾輩は猫である。\n"),
        ("euc_kr", "안녕하세요. 이것은 한국어 문장입니다. 오늘은 날씨가 좋습니다.\n"),
    ],
)
def test_older_encodings(tmp_path: Path, encoding: str, text: str) -> None:
    path = put(tmp_path / "a.txt", text.encode(encoding))
    assert [document.text for document in read_texts(path).documents()] == [text]


def test_undecodable_lines_are_listed(tmp_path: Path) -> None:
    bad = "gut: ä\n".encode() * 3 + b"schlecht: \xe4\n" + "gut: ö\n".encode()
    source = read_texts(put(tmp_path / "a.txt", bad))
    assert [document.text for document in source.documents()] == ["gut: ä\n" * 3 + "gut: ö\n"]
    assert [(skip.name, skip.reason) for skip in source.skips.listed] == [("a.txt:4", "not valid utf-8")]
    half = "好\n".encode("utf-16") + b"\x00\xd8\x0a\x00" + "山\n".encode("utf-16-le")
    source = read_texts(put(tmp_path / "b.txt", half))
    assert [document.text for document in source.documents()] == ["好\n山\n"]
    assert source.skips.listed[0].name == "b.txt:2"


def test_bad_lines_of_json_are_listed(tmp_path: Path) -> None:
    lines = [
        '{"text": "good"}',
        "",
        '{"text": "cut',
        '["text"]',
        '{"other": "x"}',
        '{"text": "  "}',
        '{"text": null}',
        '{"text": {"deep": 1}}',
        '{"text": "half \\ud800"}',
        "[" * 100_000,
        '{"text": 12}',
    ]
    source = read_texts(put(tmp_path / "a.jsonl", "\n".join(lines)))
    assert [document.text for document in source.documents()] == ["good", "12"]
    reasons = {skip.name.removeprefix("a.jsonl:"): skip.reason for skip in source.skips.listed}
    assert source.skips.count == 8
    assert list(reasons) == ["3", "4", "5", "6", "7", "8", "9", "10"]
    assert reasons["3"].startswith("invalid JSON")
    assert reasons["5"] == "no field 'text'"
    assert reasons["6"] == "the field 'text' is empty"
    assert "null" in reasons["7"]
    assert "surrogate" in reasons["9"]


def test_bad_rows_of_tables_are_listed(tmp_path: Path) -> None:
    table = 'text,id\ngood,1\nonly\n"a"b,2\nfine,3\n"never closed,4\nlost,5\n'
    source = read_texts(put(tmp_path / "a.csv", table))
    assert [document.text for document in source.documents()] == ["good", "fine", "lost"]
    assert [skip.name for skip in source.skips.listed] == ["a.csv:3", "a.csv:4", "a.csv:6"]
    assert "never closed" in source.skips.listed[2].reason
    long = "x" * 200_000  # more than the csv module allows by itself
    assert len(next(iter(read_texts(put(tmp_path / "b.csv", f"text\n{long}\n")).documents())).text) == 200_000


def test_a_long_line_is_skipped_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 1000)
    long = json.dumps({"text": "x" * 50_000})
    path = put(tmp_path / "a.jsonl", rows({"text": "before"}) + long + "\n" + rows({"text": "after"}))
    source = read_texts(path)
    assert [document.text for document in source.documents()] == ["before", "after"]
    assert [skip.name for skip in source.skips.listed] == ["a.jsonl:2"]
    assert "longer than" in source.skips.listed[0].reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030", "latin-1"])
def test_plain_text_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    word = "Le garçon a mangé la pêche. " if encoding == "latin-1" else "白日依山尽。"
    text = word * 2000 + "\r\n" + f"{word}\r\n" * 1000  # first a line of many blocks
    source = read_texts(put(tmp_path / "a.txt", text.encode(encoding)))
    monkeypatch.setattr(reading, "BLOCK_BYTES", 997)
    pieces = list(source.pieces())
    assert "".join(piece.text for piece in pieces) == text.replace("\r\n", "\n")
    assert max(len(piece.text) for piece in pieces) < 3000
    assert [piece.ends for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert source.skips.count == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image"),
        (b"PK\x03\x04" + b"abc" * 100, "a zip"),
        (bytes(range(256)) * 20, "NUL bytes"),
        (bytes(range(1, 256)) * 20, "control characters"),
        (bytes(5000), "NUL bytes"),
        (np.random.default_rng(0).integers(128, 256, 5000).astype(np.uint8).tobytes(), "known encoding"),
    ],
)
def test_a_binary_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = put(tmp_path / "a.txt", content)
    with pytest.raises(UsageError, match=message) as caught:
        read_texts(path)
    assert str(path) in str(caught.value)
    put(tmp_path / "b.txt", "fine")
    source = read_texts(tmp_path)
    assert [document.name for document in source.documents()] == ["b.txt"]
    assert [skip.name for skip in source.skips.listed] == ["a.txt"]


def test_damaged_gzip_and_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(CHINESE.encode() * 10)
    for content in (b"not gzip", packed[:-20], packed[:50] + b"\0" * 50):
        (tmp_path / "a.txt.gz").write_bytes(content)
        with pytest.raises(UsageError, match="damaged as gzip"):
            read_texts(tmp_path / "a.txt.gz")
    monkeypatch.setattr(reading, "FREE_BYTES", 1000)
    put(tmp_path / "b.txt.gz", b" " * 10_000_000)
    with pytest.raises(UsageError, match="times its packed size"):
        read_texts(tmp_path / "b.txt.gz")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(LuoxiaError, match="no file ending in"):
        read_texts(tmp_path)
    put(tmp_path / "poems.txt", " \n\n ")
    with pytest.raises(UsageError, match=r"did you mean .*poems\.txt"):
        read_texts(tmp_path / "poem.txt")
    with pytest.raises(LuoxiaError, match=r"no text that can be used \(poems.txt: empty\)"):
        list(read_texts(tmp_path).documents())


def test_fields(tmp_path: Path) -> None:
    poems = rows(
        {"form": "七言", "author": "李白", "year": 730, "poem": "朝辭白帝彩雲間"},
        {"form": "五言", "poem": "床前明月光"},
        {"form": "五言", "author": "王維", "year": 1, "poem": ""},
    )
    path = put(tmp_path / "poems.jsonl", poems)
    source = read_texts(path, condition=("form", "year"), target="poem", label="author")
    (document,) = source.documents()
    assert document.fields == (("form", "七言"), ("year", "730"))
    assert (document.text, document.label) == ("朝辭白帝彩雲間", "李白")
    assert [skip.reason for skip in source.skips.listed] == ["no field 'year'", "the field 'poem' is empty"]
    with pytest.raises(UsageError, match=r"no field 'autor'; did you mean author\?"):
        read_texts(path, condition=("autor",), target="poem")
    with pytest.raises(UsageError, match=r"no field 'text'; its fields are .*target="):
        read_texts(path)
    with pytest.raises(UsageError, match="plain text without fields"):
        read_texts(put(tmp_path / "a.txt", "x"), condition=("form",))
    other = read_texts(path, condition=("form",), target="poem")
    assert other.fingerprint != source.fingerprint


def test_class_folders(tmp_path: Path) -> None:
    for name in ("all/cat/1.txt", "all/cat/2.txt", "all/dog/deep/1.txt"):
        put(tmp_path / name, name)
    source = read_texts(tmp_path)
    assert source.labeled
    assert [document.label for document in source.documents()] == ["cat", "cat", "dog"]
    put(tmp_path / "all" / "top.txt", "x")
    assert not read_texts(tmp_path).labeled
    for split in ("train", "test"):
        put(tmp_path / "splits" / split / "1.txt", "x")
    with pytest.raises(UsageError, match="splits test and train"):
        read_texts(tmp_path / "splits")


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "one")
    first = read_texts(path).fingerprint
    assert read_texts(path).fingerprint == first
    put(path, "two")
    assert read_texts(path).fingerprint != first


def test_aligned_files(tmp_path: Path) -> None:
    english = put(tmp_path / "t.en.gz", "a\u2028x\nb\n\nd\n")
    german = put(tmp_path / "t.de", "A\r\nB\r\nC\r\nD")
    source = read_pairs(english, german)
    assert [(p.source, p.target) for p in source.pairs()] == [("a\u2028x", "A"), ("b", "B"), ("d", "D")]
    assert [(skip.name, skip.reason) for skip in source.skips.listed] == [("t.en.gz:3", "empty source")]
    put(german, "A\nB\nC\n")
    with pytest.raises(UsageError, match=r"has 4 lines and .* has 3 lines"):
        read_pairs(english, german)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", 'x\tX\n"y\tY"\n'),
        ("a.jsonl", rows({"en": "x", "zh": "X"}, {"zh": 'Y"', "en": '"y'})),
        ("a.jsonl.gz", rows({"target": "X", "source": "x", "id": 1}, {"source": '"y', "target": 'Y"'})),
        ("a.csv", 'left,right\nx,X\n"""y","Y"""\n'),
    ],
)
def test_pairs_in_one_file(tmp_path: Path, name: str, content: str) -> None:
    source = read_pairs(put(tmp_path / name, content))
    assert [(pair.source, pair.target) for pair in source.pairs()] == [("x", "X"), ('"y', 'Y"')]


def test_bad_pairs(tmp_path: Path) -> None:
    source = read_pairs(put(tmp_path / "a.tsv", "x\tX\nalone\na\tb\tc\n \tY\nz\t\n\t\n"))
    assert [pair.source for pair in source.pairs()] == ["x"]
    assert [skip.reason for skip in source.skips.listed] == [
        "1 column where 2 are needed",
        "3 columns where 2 are needed",
        "empty source",
        "empty target",
        "empty source and target",
    ]
    three = put(tmp_path / "b.jsonl", rows({"a": "1", "b": "2", "c": "3"}))
    with pytest.raises(UsageError, match="fields a, b, c, and pairs need two"):
        read_pairs(three)
    with pytest.raises(UsageError, match="against="):
        read_pairs(put(tmp_path / "c.txt", "x"))
    with pytest.raises(UsageError, match="is a folder"):
        read_pairs(tmp_path)
    with pytest.raises(LuoxiaError, match=r"no pair that can be used \(d.tsv:1: empty target\)"):
        list(read_pairs(put(tmp_path / "d.tsv", "x\t\n")).pairs())


def test_one_line_without_end_in_an_older_encoding(tmp_path: Path) -> None:
    text = "白日依山盡黃河入海流" * 150_000  # 3 MB, more than a block, and no byte that ends a sample well
    path = put(tmp_path / "a.txt", b"x" + text.encode("gb18030"))
    source = read_texts(path)
    assert "".join(document.text for document in source.documents()) == "x" + text
    assert source.skips.count == 0
