"""Texts under conditions: rows against lists put together by hand; what is cut, left out and omitted."""

import json
from pathlib import Path

import numpy as np
import pytest

from luoxia.core.errors import UsageError
from luoxia.media.text.conditions import ConditionedBatches, ConditionedDataset, Documents, condition_prompt
from luoxia.media.text.corpus import ConditionedCorpus, corpus_of, open_corpus
from luoxia.media.text.sources import read_texts
from luoxia.media.text.tokenizer import SEPARATOR, Tokenizer
from luoxia.media.text.tokens import IGNORED

BYTES = Tokenizer.train("byte", specials=(SEPARATOR,))
EOS = 2
FIELDS = ("form", "author")
Row = dict[str, str]


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Written to poems.jsonl; every tenth has no author."""
    rng = np.random.default_rng()
    made = [
        {
            "author": "" if i % 10 == 9 else "A" * int(rng.integers(1, 9)),
            "form": "long" if i % 2 else "short",
            "body": f"{i} " + "x" * int(rng.integers(1, 60)),
        }
        for i in range(60)
    ]
    (tmp_path / "poems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")
    return made


@pytest.fixture
def data(rows: list[Row], tmp_path: Path) -> ConditionedDataset:
    source = read_texts(tmp_path / "poems.jsonl", condition=FIELDS, target="body")
    return ConditionedDataset.open(source, BYTES)


def everything(data: ConditionedDataset) -> Documents:
    return Documents(data, np.arange(len(data)))


def by_hand(
    row: Row, context: int, width: int, stated: tuple[str, ...] = FIELDS
) -> tuple[list[int], list[int]]:
    """Inputs and targets of a row, from lists."""
    before = "".join(f"{name}={row[name]}\n" for name in stated if row[name])
    prefix = [*BYTES.encode(before), BYTES.sep]
    whole = [*prefix, *BYTES.encode(row["body"]), EOS][: context + 1]
    targets = [IGNORED] * (len(prefix) - 1) + whole[len(prefix) :]
    inputs = whole[:-1]
    return inputs + [0] * (width - len(inputs)), targets + [IGNORED] * (width - len(targets))


def test_a_prompt_is_a_line_a_field_and_a_mark() -> None:
    lines = BYTES.encode("form=a b=c\nl=x\n")
    assert condition_prompt(BYTES, {"form": "a\nb=c", "empty": " ", "l": "x"}) == [*lines, BYTES.sep]
    plain = Tokenizer.train("byte")
    assert plain.decode(condition_prompt(plain, {"a": "b"})) == "a=b\n\n"


@pytest.mark.parametrize("context", [200, 40])
def test_rows_are_condition_text_and_end(data: ConditionedDataset, rows: list[Row], context: int) -> None:
    """Whole, or cut to the context and then without an end."""
    batches = ConditionedBatches(everything(data), 400, context, seed=3)
    seen: list[int] = []
    for index in range(batches.per_epoch):
        inputs, targets, segments = batches(index)
        assert inputs.size <= 400
        assert inputs.shape[1] <= context
        assert not segments.any()
        for number, row, target in zip(batches.samples(index), inputs, targets, strict=True):
            expected = by_hand(rows[number], context, inputs.shape[1])
            assert (row.tolist(), target.tolist()) == expected
            seen.append(int(number))
    assert sorted(seen) == list(range(60))


def test_conditions_that_fill_the_context_are_left_out(data: ConditionedDataset, rows: list[Row]) -> None:
    """The longest condition here is form=short, author= and eight letters."""
    limit = 22
    long = [i for i, row in enumerate(rows) if len(by_hand(row | {"body": ""}, 99, 0)[0]) >= limit]
    batches = ConditionedBatches(everything(data), 200, limit)
    assert batches.dropped == len(long)
    served = {int(i) for index in range(batches.per_epoch) for i in batches.samples(index)}
    assert served == set(range(60)) - set(long)
    in_order = sum(len(windows.inputs) for windows in everything(data).in_order(limit, 7))
    assert in_order == len(served)
    with pytest.raises(UsageError, match="no condition is shorter than context=5"):
        ConditionedBatches(everything(data), 200, 5)


def test_fields_are_omitted_as_often_as_asked(data: ConditionedDataset, rows: list[Row]) -> None:
    batches = ConditionedBatches(everything(data), 400, 200, seed=1, omitted=0.25)
    found: dict[tuple[str, ...], int] = {}
    for index in range(20 * batches.per_epoch):
        inputs, targets, _ = batches(index)
        for number, row, target in zip(batches.samples(index), inputs, targets, strict=True):
            said = BYTES.decode(row[: row.tolist().index(BYTES.sep)])
            stated = tuple(name for name in FIELDS if f"{name}=" in said)
            if rows[number]["author"]:
                found[stated] = found.get(stated, 0) + 1
                expected = by_hand(rows[number], 200, len(row), stated)
                assert (row.tolist(), target.tolist()) == expected
    total = sum(found.values())
    shares = {stated: count / total for stated, count in found.items()}
    wanted = {
        (): 0.25 + 0.75 / 16,
        FIELDS: 0.75 * 9 / 16,
        ("form",): 0.75 * 3 / 16,
        ("author",): 0.75 * 3 / 16,
    }
    assert shares == pytest.approx(wanted, abs=0.06)
    again = ConditionedBatches(everything(data), 400, 200, seed=1, omitted=0.25)
    assert np.array_equal(again(17).inputs, batches(17).inputs)


def test_ranks_share_the_batches(data: ConditionedDataset) -> None:
    one = ConditionedBatches(everything(data), 400, 200, omitted=0.5)
    two = [ConditionedBatches(everything(data), 400, 200, 0, 2, rank, omitted=0.5) for rank in range(2)]
    for index in range(4):
        for rank in range(2):
            assert np.array_equal(two[rank](index).inputs, one(2 * index + rank).inputs)


def test_a_corpus_of_conditions(rows: list[Row], tmp_path: Path) -> None:
    corpus = open_corpus(
        str(tmp_path / "poems.jsonl"), "character", None, condition=FIELDS, target="body", omitted=0.5
    )
    assert isinstance(corpus, ConditionedCorpus)
    assert not set("form=\n" + "author") - set(corpus.tokenizer.characters)  # type: ignore[attr-defined]
    train, heldout = corpus.split(0.1, 5)
    assert (len(train), len(heldout)) == (54, 6)
    assert not set(train.samples) & set(heldout.samples)
    assert corpus.texts(heldout) == [rows[i]["body"] for i in heldout.samples]
    asked = corpus.conditions(heldout, 12, 200, 0)
    expected = [{k: rows[i][k] for k in FIELDS if rows[i][k]} for i in heldout.samples]
    for half in (asked[:6], asked[6:]):
        assert sorted(map(str, half)) == sorted(map(str, expected))
    assert corpus.conditions(heldout, 3, 5, 0) is None
    assert [len(part) for part in corpus.split(0, 5)] == [60, 0]
    other = corpus_of(read_texts(tmp_path / "poems.jsonl", target="body"), corpus.tokenizer)
    assert other.fingerprint != corpus.fingerprint
    assert other.conditions(other.whole(), 3, 200, 0) is None
