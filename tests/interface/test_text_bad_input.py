"""Bad text, bad prompts and rules that cannot be kept: one sentence each, or counted and left out."""

import json
import tracemalloc
from pathlib import Path

import pytest
import torch

import luoxia
from luoxia.core import reading
from luoxia.core.errors import UsageError
from luoxia.media.text.corpus import open_corpus
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.tasks.language_modeling.rules import open_rule

SMALL = (
    "layers=1",
    "heads=2",
    "width=16",
    "context=16",
    "batch=4",
    "steps=2",
    "score_samples=0",
    "device=cpu",
)
LETTERS = "".join(map(chr, range(97, 123)))


def train(luoxia_command, *words: str) -> None:
    result = luoxia_command("train", "gpt", *SMALL, "sample_every=0", *words)
    assert result.exit_code == 0, result.stderr


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows small letters, blanks, braces and quotation marks; to be read only."""
    folder = tmp_path_factory.mktemp("letters")
    (folder / "letters.txt").write_text(f'{LETTERS} {{":}}' * 40, encoding="utf-8")
    settings = dict(word.split("=") for word in SMALL) | {
        "tokenizer": "character",
        "data": str(folder / "letters.txt"),
        "out": str(folder / "run"),
    }
    return luoxia.train("gpt", quiet=True, **settings).path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40),
        ("zeros.txt", bytes(5000)),
        ("program.md", b"\x7fELF" + bytes(range(255, -1, -1)) * 40),
        ("torn.txt.gz", b"\x1f\x8b\x08" + bytes(200)),
    ],
)
def test_a_binary_file_is_no_text(here, luoxia_command, refused, name, content):
    Path(name).write_bytes(content)
    sentence = refused(2, "train", "gpt", *SMALL, f"data={name}", "out=new")
    assert sentence.startswith(name)
    assert "give a text file, or a folder of them" in sentence
    assert not Path("new").exists()


def test_a_binary_file_among_texts_is_left_out(here, luoxia_command):
    Path("texts").mkdir()
    Path("texts/picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)
    Path("texts/words.txt").write_text("some words " * 50, encoding="utf-8")
    train(luoxia_command, "data=texts", "tokenizer=byte", "out=run")
    assert Path("run/skipped.txt").read_text(encoding="utf-8").startswith("picture.txt: ")


def write_line(name: str, piece: str, mebibytes: int) -> int:
    """One line without an end; returns its length."""
    with Path(name).open("w", encoding="utf-8") as file:
        for _ in range(mebibytes):
            file.write((piece * (2**20 // len(piece) + 1))[: 2**20])
    return mebibytes * 2**20


@pytest.mark.parametrize(
    ("tokenizer", "piece"),
    [("bpe", "no newline anywhere "), ("bpe", "x"), ("byte", "x"), ("character", "落霞")],
)
def test_one_huge_line_is_learned_from(here, luoxia_command, tokenizer, piece):
    """A line of megabytes is a text like any other, also where it is a single word."""
    size = write_line("line.txt", piece, 6)
    train(luoxia_command, "data=line.txt", f"tokenizer={tokenizer}", "vocabulary=300", "holdout=0", "out=run")
    tokens = json.loads(Path("run/run.json").read_text(encoding="utf-8"))["data"]["train"]
    assert 1000 < tokens < size / 2 if tokenizer == "bpe" else tokens == size + 1


def test_memory_does_not_grow_with_the_line(here):
    """It is read, and its tokens are written, in blocks."""
    peaks = []
    for mebibytes in (8, 32):
        write_line(f"{mebibytes}.txt", "no newline anywhere ", mebibytes)
        tracemalloc.start()
        open_corpus(f"{mebibytes}.txt", "byte", None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_one_huge_row_is_left_out(here, luoxia_command, refused, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 2**20)
    huge = json.dumps({"text": "x" * 2**21})
    Path("one.jsonl").write_text(huge, encoding="utf-8")
    sentence = refused(1, "train", "gpt", *SMALL, "data=one.jsonl", "tokenizer=byte", "out=new")
    assert "one.jsonl:1: longer than 1 MiB" in sentence
    Path("two.jsonl").write_text(huge + "\n" + json.dumps({"text": "a" * 100}) + "\n", encoding="utf-8")
    train(luoxia_command, "data=two.jsonl", "tokenizer=byte", "out=run", "allow_skipped=0.5")
    assert Path("run/skipped.txt").read_text(encoding="utf-8") == "two.jsonl:1: longer than 1 MiB\n"


def test_empty_targets(here, luoxia_command, refused):
    rows = [{"title": "t", "text": text} for text in ("", " \n", "a" * 90)]
    Path("some.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    train(luoxia_command, "data=some.jsonl", "condition=title", "tokenizer=byte", "out=run")
    assert (
        Path("run/skipped.txt").read_text(encoding="utf-8")
        == "some.jsonl:1: the field 'text' is empty\nsome.jsonl:2: the field 'text' is empty\n"
    )
    Path("none.jsonl").write_text("\n".join(map(json.dumps, rows[:2])), encoding="utf-8")
    sentence = refused(1, "train", "gpt", *SMALL, "data=none.jsonl", "tokenizer=byte", "out=new")
    assert (
        sentence
        == "none.jsonl has no text that can be used (none.jsonl:1: the field 'text' is empty): give other files"
    )
    Path("pairs.tsv").write_text("a\t\nb\t\n", encoding="utf-8")
    sentence = refused(1, "train", "translate", "data=pairs.tsv", "steps=2", "device=cpu", "out=new")
    assert "pairs.tsv has no pair that can be used" in sentence


def test_a_prompt_longer_than_the_context(letters, refused):
    sentence = refused(2, "sample", letters, f"prompt={LETTERS}")
    assert sentence == ("prompt 0 has 26 tokens, and this model's context of 16 takes 15 at most: shorten it")
    assert sentence == refused(2, "sample", letters, f"prompt={LETTERS}", "n=3")


def test_characters_and_tokens_outside_the_vocabulary(letters, refused):
    sentence = refused(2, "sample", letters, "prompt=naïve")
    assert sentence == "prompt=naïve holds 'ï', which is not in the model's vocabulary: leave it out"
    model = luoxia.load(letters)
    size = model.tokenizer.vocabulary
    for wrong in (size, -1):
        with pytest.raises(UsageError, match=f"the token {wrong} is outside this model's vocabulary"):
            model.logits([[0, 1], [2, wrong]])
    with pytest.raises(UsageError, match="17 tokens in a row, and this model's context holds 16"):
        model.logits(torch.zeros(1, 17, dtype=torch.int64))
    with pytest.raises(UsageError, match=f"token {size} is outside the vocabulary"):
        model.tokenizer.decode([size])


@pytest.mark.parametrize(
    ("key", "content", "code", "sentence"),
    [
        ("schema", '{"type": "string", "minLength": 9, "maxLength": 2}', 2, "this JSON schema cannot be followed"),
        ("schema", "{not JSON", 2, "the JSON schema is no JSON"),
        ("schema", '{"type": "integer"}', 1, "the JSON schema cannot be met: this tokenizer has no token"),
        ("grammar", 'start: "A" "B"', 1, "the grammar cannot be met: this tokenizer has no token"),
        ("grammar", 'begin: "a"', 2, "this grammar cannot be followed"),
        ("grammar", 'start: "abcdefghijklmnopqrstuvwxyz"', 1, "text 0 came to its last token before it met"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_kept(letters, refused, here, key, content, code, sentence):
    Path("rule").write_text(content, encoding="utf-8")
    assert sentence in refused(code, "sample", letters, f"{key}=rule", "n=2")


def test_rules_that_are_not_there(letters, refused, here):
    assert refused(2, "sample", letters, "schema=nowhere.json").startswith(
        "schema=nowhere.json cannot be read"
    )
    Path("rule").write_bytes(b"\xff\xfe\xff")
    assert (
        refused(2, "sample", letters, "grammar=rule") == "grammar=rule cannot be read: it is not UTF-8 text"
    )
    assert "this tokenizer cannot write '，'" in refused(2, "sample", letters, "poem=五言")
    assert refused(2, "sample", letters, "poem=limerick").startswith("unknown form of verse 'limerick'")
    assert "poem= and grammar= exclude each other" in refused(
        2, "sample", letters, "poem=五言", "grammar=rule"
    )
    assert "readings= belongs to poem=" in refused(2, "sample", letters, "readings=rule")


def test_rules_by_name_are_those_of_their_classes(here):
    """Readings bring rhyme, and to the regulated forms their tones."""
    tokenizer = verse_tokenizer()
    Path("readings.tsv").write_text("山\t刪\t平\n月\t月\t仄\n還\t刪\t平\n", encoding="utf-8")
    plain = open_rule(tokenizer, poem="五言")
    rhymed = open_rule(tokenizer, poem="五言", readings="readings.tsv")
    strict = open_rule(tokenizer, poem="五絕", readings="readings.tsv")
    asked = [(rule.form.rhyme, rule.form.tones) for rule in (plain, rhymed, strict)]  # type: ignore[union-attr]
    assert asked == [(False, False), (True, False), (True, True)]
    assert open_rule(tokenizer) is None


def verse_tokenizer():
    return Tokenizer.train("character", ["山月還，。"])
