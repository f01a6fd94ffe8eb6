import json
import multiprocessing
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from luoxia.core import reading
from luoxia.core.errors import UsageError
from luoxia.media.text.alignment import read_pairs
from luoxia.media.text.counted import TwoSides
from luoxia.media.text.labeled import LabeledBatch, LabeledBatches, LabeledDataset
from luoxia.media.text.pairs import PairBatch, PairBatches, PairDataset
from luoxia.media.text.sources import read_texts
from luoxia.media.text.tokenizer import SEPARATOR, Tokenizer
from luoxia.media.text.tokens import IGNORED, TokenBatches, TokenDataset, TokenStream
from luoxia.tasks.text_classification.objective import LabeledTexts
from luoxia.tasks.text_embedding.objective import TextPairs
from luoxia.tasks.text_translation.objective import PairBatch as TensorPairs

BYTES = Tokenizer.train("byte", specials=(SEPARATOR,))
EOS = 2


def write_jsonl(path: Path, records: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def poems(tmp_path: Path) -> Path:
    rng = np.random.default_rng()
    texts = [f"{index} " + "x" * int(rng.integers(1, 60)) for index in range(50)]
    forms = ["short" if len(text) < 30 else "long" for text in texts]
    forms[:2] = ["short", "long"]
    records = [{"form": form, "text": text} for form, text in zip(forms, texts, strict=True)]
    return write_jsonl(tmp_path / "poems.jsonl", records)


def test_packed_documents(poems: Path, cache: Path) -> None:
    source = read_texts(poems)
    data = TokenDataset.open(source, BYTES)
    expected = [[*BYTES.encode(document.text), EOS] for document in source.documents()]
    assert [data.documents[index].tolist() for index in range(len(data))] == expected
    assert data.documents.tokens.dtype == np.uint16
    assert not data.documents.tokens.flags.writeable
    assert len(list((cache / "texts").iterdir())) == 1
    again = TokenDataset.open(read_texts(poems), BYTES)
    assert np.array_equal(again.documents.tokens, data.documents.tokens)
    TokenDataset.open(source, Tokenizer.train("byte"))
    assert len(list((cache / "texts").iterdir())) == 2


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    characters = "".join(chr(code) for code in [*range(32, 0xD800), *range(0xE000, 0x12000)])
    (tmp_path / "a.txt").write_text(characters, "utf-8")
    source = read_texts(tmp_path / "a.txt")
    tokenizer = Tokenizer.train("character", source.texts())
    assert tokenizer.vocabulary > 65_536
    data = TokenDataset.open(source, tokenizer)
    assert data.documents.tokens.dtype == np.uint32
    assert tokenizer.decode(data.documents[0].tolist()) == characters


def test_pieces_and_skips_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", 100)
    text = "grün\n" * 100
    (tmp_path / "a.txt").write_bytes(text.encode() + b"\xff\n")
    for _ in range(2):  # built, then from the cache
        data = TokenDataset.open(read_texts(tmp_path / "a.txt"), BYTES)
        assert data.documents[0].tolist() == [*BYTES.encode(text), EOS]
        assert [skip.name for skip in data.skips.listed] == ["a.txt:101"]


@pytest.mark.parametrize(
    "damage", ["documents.bin", "documents.starts.npy", "dataset.json", "documents.json"]
)
def test_a_damaged_entry_is_built_again(poems: Path, cache: Path, damage: str) -> None:
    expected = np.array(TokenDataset.open(read_texts(poems), BYTES).documents.tokens)
    (entry,) = (cache / "texts").iterdir()
    for content in ((entry / damage).read_bytes()[:-5], b""):
        (entry / damage).write_bytes(content)
        assert np.array_equal(TokenDataset.open(read_texts(poems), BYTES).documents.tokens, expected)
    (entry / damage).unlink()
    assert np.array_equal(TokenDataset.open(read_texts(poems), BYTES).documents.tokens, expected)


def _open_in_child(path: str, barrier: object, results: object) -> None:
    source = read_texts(path)
    barrier.wait()  # type: ignore[attr-defined]
    data = TokenDataset.open(source, BYTES)
    results.put(int(data.documents.tokens.astype(np.int64).sum()))  # type: ignore[attr-defined]


def test_two_processes_build_at_once(poems: Path, cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    children = [context.Process(target=_open_in_child, args=(str(poems), barrier, results)) for _ in range(2)]
    for child in children:
        child.start()
    sums = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert sums[0] == sums[1] == int(TokenDataset.open(read_texts(poems), BYTES).documents.tokens.sum())
    assert len(list((cache / "texts").iterdir())) == 1


def test_split_by_documents(poems: Path) -> None:
    data = TokenDataset.open(read_texts(poems), BYTES)
    train, heldout = data.split(0.2, seed=3)
    documents = {bytes(data.documents[index]) for index in range(50)}
    parts = [_documents(stream) for stream in (train, heldout)]
    assert len(parts[1]) == 10
    assert {bytes(np.array(ids, np.uint16)) for part in parts for ids in part} == documents
    assert len(parts[0]) + len(parts[1]) == 50
    assert data.split(0.2, seed=3)[1].spans.tolist() == heldout.spans.tolist()
    assert data.split(0.2, seed=4)[1].spans.tolist() != heldout.spans.tolist()


def _documents(stream: TokenStream) -> list[list[int]]:
    tokens = stream.take(np.arange(len(stream))).tolist()
    found: list[list[int]] = [[]]
    for token in tokens:
        found[-1].append(token)
        if token == EOS:
            found.append([])
    assert found.pop() == []
    return found


def test_split_at_the_tail(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghij" * 10)
    data = TokenDataset.open(read_texts(tmp_path), BYTES)
    train, heldout = data.split(0.1)
    assert BYTES.decode(train.take(np.arange(len(train))).tolist()) == "abcdefghij" * 9
    assert len(heldout) == 11


def test_windows(poems: Path) -> None:
    train, _ = TokenDataset.open(read_texts(poems), BYTES).split(0.2)
    batches = TokenBatches(train, batch=4, context=32, seed=1)
    everything = train.take(np.arange(len(train)))
    for index in (0, 1, 17):
        windows = batches(index)
        for start, inputs, targets, segments in zip(batches.starts(index), *windows, strict=True):
            stretch = np.take(everything, np.arange(start, start + 33), mode="wrap")
            assert inputs.tolist() == stretch[:-1].tolist()
            assert targets.tolist() == stretch[1:].tolist()
            number = 0
            for column in range(32):  # documents, counted one by one
                number += int(column > 0 and stretch[column - 1] == EOS)
                assert segments[column] == number
    assert (TokenBatches(train, batch=40, context=32, seed=1)(0).targets != IGNORED).all()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_each_window_once_an_epoch_across_ranks(poems: Path, world: int) -> None:
    stream = TokenDataset.open(read_texts(poems), BYTES).whole()
    context = len(stream) // 12  # 12 windows: 6 // world batches of 2
    ranks = [TokenBatches(stream, 2, context, 7, world, rank) for rank in range(world)]
    epochs = []
    for epoch in range(2):
        steps = range(epoch * 6 // world, (epoch + 1) * 6 // world)
        starts = np.concatenate([rank.starts(step) for step in steps for rank in ranks])
        positions = (starts[:, None] + np.arange(context)).ravel() % len(stream)
        assert len(starts) == ranks[0].per_epoch == 12
        assert len(np.unique(positions)) == len(positions)
        epochs.append(sorted(starts))
    assert epochs[0] != epochs[1]  # from another place


def test_a_batch_depends_on_its_index_only(poems: Path) -> None:
    stream = TokenDataset.open(read_texts(poems), BYTES).whole()
    walked = TokenBatches(stream, 3, 40, seed=5)
    for index in range(30):
        last = walked(index)
    fresh = TokenBatches(stream, 3, 40, seed=5)(29)
    for mine, theirs in zip(last, fresh, strict=True):
        assert np.array_equal(mine, theirs)
    assert TokenBatches(stream, 3, 40, seed=6).starts(0).tolist() != walked.starts(0).tolist()


def test_evaluation_sees_each_token_once(poems: Path) -> None:
    _, heldout = TokenDataset.open(read_texts(poems), BYTES).split(0.2)
    seen = np.concatenate(
        [windows.targets[windows.targets != IGNORED] for windows in heldout.in_order(context=24, batch=3)]
    )
    assert seen.tolist() == heldout.take(np.arange(1, len(heldout))).tolist()


def test_too_little_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("short")
    stream = TokenDataset.open(read_texts(tmp_path), BYTES).whole()
    with pytest.raises(UsageError, match="6 tokens, not more than context=6"):
        TokenBatches(stream, 1, 6, 0)
    assert TokenBatches(stream, 1, 5, 0)(3).inputs.shape == (1, 5)


@pytest.fixture
def pairs(tmp_path: Path) -> PairDataset:
    rng = np.random.default_rng()
    lengths = rng.integers(1, 40, 100)  # a target is about as long as its source
    more = rng.integers(0, 4, 100)
    rows = [f"{i} {'a' * lengths[i]}\t{i}={'b' * (lengths[i] + more[i])}" for i in range(100)]
    (tmp_path / "p.tsv").write_text("\n".join([*rows, "long " + "x" * 300 + "\tx"]))
    return PairDataset.open(read_pairs(tmp_path / "p.tsv"), BYTES)


def _pairs_of(batch: object) -> list[tuple[str, str]]:
    found = []
    for source, mask, target_in, target_out in zip(*batch, strict=True):  # type: ignore[call-overload]
        real = target_out != IGNORED
        length = int(real.sum())
        assert source[mask][-1] == EOS
        assert (source[~mask] == 0).all()
        assert target_in[0] == 1
        assert target_out[length - 1] == EOS
        assert target_in[1:length].tolist() == target_out[: length - 1].tolist()
        assert (target_in[length:] == 0).all()
        assert real[:length].all()
        found.append((BYTES.decode(source[mask]), BYTES.decode(target_out[real])))
    return found


@pytest.mark.parametrize("world", [1, 2])
def test_each_pair_once_an_epoch_within_the_budget(pairs: PairDataset, world: int) -> None:
    ranks = [PairBatches(pairs, 200, seed=2, world_size=world, rank=rank) for rank in range(world)]
    count = ranks[0].per_epoch
    assert ranks[0].dropped == 1
    everything = [(BYTES.decode(pairs.sources[i]), BYTES.decode(pairs.targets[i])) for i in range(100)]
    epochs = []
    for epoch in range(2):
        order = []
        for position in range(epoch * count, (epoch + 1) * count):
            batch = ranks[position % world](position // world)
            assert batch.source.size <= 200
            assert batch.inputs.size <= 200
            order += _pairs_of(batch)
        assert sorted(order) == sorted(everything)
        epochs.append(order)
    assert epochs[0] != epochs[1]


def test_pair_batches_keep_no_state(pairs: PairDataset) -> None:
    walked = PairBatches(pairs, 200, seed=2)
    for index in range(50):
        last = walked(index)
    fresh = PairBatches(pairs, 200, seed=2)(49)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(last, fresh, strict=True))
    padding = [1 - walked(index).source_mask.mean() for index in range(walked.per_epoch)]
    assert np.mean(padding) < 0.25  # in any order they would pad about 0.45


def test_bad_budgets(pairs: PairDataset) -> None:
    with pytest.raises(UsageError, match="raise it"):
        PairBatches(pairs, tokens=20, longest=256)
    with pytest.raises(UsageError, match="all 101 samples are longer than 2"):
        PairBatches(pairs, longest=2)
    few = PairBatches(pairs, tokens=400, longest=None, samples=np.arange(5, 10))
    assert sorted(int(i) for k in range(few.per_epoch) for i in few.samples(k)) == [5, 6, 7, 8, 9]


def test_labeled_texts(poems: Path) -> None:
    source = read_texts(poems, label="form")
    data = LabeledDataset.open(source, BYTES)
    assert data.classes == ("long", "short")
    batches = LabeledBatches(data, tokens=200, seed=1, longest=30)
    assert batches.cut == sum(len(document.text) > 30 for document in source.documents())
    found = []
    for index in range(batches.per_epoch):
        ids, mask, labels = batches(index)
        assert ids.size <= 200
        assert (ids[~mask] == 0).all()
        found += [
            (BYTES.decode(row[real]), data.classes[label])
            for row, real, label in zip(ids, mask, labels, strict=True)
        ]
    assert sorted(found) == sorted((document.text[:30], document.label) for document in source.documents())


def test_labels_are_needed(poems: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no labels"):
        LabeledDataset.open(read_texts(poems), BYTES)
    one = write_jsonl(tmp_path / "one.jsonl", [{"text": "a", "form": "x"}, {"text": "b", "form": "x"}])
    with pytest.raises(UsageError, match="of the class 'x'"):
        LabeledDataset.open(read_texts(one, label="form"), BYTES)


def test_a_foreign_template_stays_around_a_cut_text(poems: Path) -> None:
    tokenizer = Tokenizer.train("byte", specials=("[CLS]", "[SEP]"))
    tokenizer.prefix, tokenizer.suffix = (4,), (5,)
    data = LabeledDataset.open(read_texts(poems, label="form"), tokenizer)
    batches = LabeledBatches(data, tokens=200, longest=20)
    for index in range(batches.per_epoch):
        ids, mask, _ = batches(index)
        for row, real, number in zip(ids, mask, batches.samples(index), strict=True):
            assert row[real].tolist() == [4, *data.texts[number][:18], 5]
    with pytest.raises(UsageError, match="no room"):
        LabeledBatches(data, longest=2)


def test_batches_become_tensors_by_the_names_of_their_sides() -> None:
    """What data serves and what an objective takes have the same sides, so that none is taken for another."""
    pairs = ((PairBatch, TensorPairs), (LabeledBatch, LabeledTexts), (TwoSides, TextPairs))
    for served, taken in pairs:
        assert set(served._fields) <= {field.name for field in fields(taken) if field.init}
