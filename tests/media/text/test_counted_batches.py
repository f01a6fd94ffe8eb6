"""Batches of a fixed number of pairs, and texts as one padded array."""

import numpy as np
import pytest

from luoxia.core.errors import UsageError
from luoxia.media.text.alignment import read_pairs
from luoxia.media.text.counted import GROUP, CountedPairs
from luoxia.media.text.padded import padded
from luoxia.media.text.pairs import PairDataset
from luoxia.media.text.ragged import Ragged
from luoxia.media.text.tokenizer import Tokenizer


@pytest.fixture
def pairs(tmp_path, monkeypatch) -> PairDataset:
    monkeypatch.setenv("LUOXIA_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    rows = [f"{'a' * rng.integers(1, 30)}{i}\t{'b' * rng.integers(1, 30)}{i}" for i in range(150)]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return PairDataset.open(read_pairs(tmp_path / "pairs.tsv"), Tokenizer.train("byte"))


def read(tokenizer: Tokenizer, ids: np.ndarray, mask: np.ndarray) -> list[str]:
    return [tokenizer.decode(row[real].tolist()) for row, real in zip(ids, mask, strict=True)]


def number(text: str) -> int:
    return int(text.strip("ab"))


def test_each_pair_once_a_round_and_both_sides_together(pairs: PairDataset) -> None:
    batches = CountedPairs(pairs, 5, seed=1)
    seen = []
    for index in range(30):
        batch = batches(index)
        first, second = (
            [number(text) for text in read(pairs.tokenizer, ids, mask)]
            for ids, mask in ((batch.first, batch.first_mask), (batch.second, batch.second_mask))
        )
        assert first == second and len(first) == 5
        seen += first
    # 150 pairs are 30 batches; a group's batches come in an order of their own, and the second group has 14 of them
    assert len(set(seen[: GROUP * 5])) == GROUP * 5
    assert set(np.bincount(seen, minlength=150)) <= {0, 1, 2}


def test_a_batch_is_a_function_of_seed_index_and_rank(pairs: PairDataset) -> None:
    alone = CountedPairs(pairs, 4, seed=1)
    wanted = alone(9)
    again = CountedPairs(pairs, 4, seed=1)
    again(40)
    assert all((a == b).all() for a, b in zip(wanted, again(9), strict=True))
    ranks = [CountedPairs(pairs, 4, seed=1, world_size=2, rank=rank) for rank in (0, 1)]
    assert (ranks[1](4).first == wanted.first).all()
    assert ranks[0](4).first.shape != wanted.first.shape or (ranks[0](4).first != wanted.first).any()
    other = CountedPairs(pairs, 4, seed=2)(9)
    assert other.first.shape != wanted.first.shape or (other.first != wanted.first).any()


def test_like_lengths_meet(pairs: PairDataset) -> None:
    batches = CountedPairs(pairs, 5, seed=1)
    waste = [1 - side.mean() for index in range(16) for side in batches(index)[1::2]]
    assert np.mean(waste) < 0.5
    longest = [max(batches(i).first.shape[1], batches(i).second.shape[1]) for i in range(16)]
    assert longest != sorted(longest), "the batches of a group come in random order"


def test_more_than_there_are_is_refused(pairs: PairDataset) -> None:
    with pytest.raises(UsageError, match="batch=11 is more than the 10 pairs"):
        CountedPairs(pairs, 11, samples=np.arange(10))


def test_padding_cuts_and_marks() -> None:
    tokenizer = Tokenizer.train("byte")
    offset = 4
    rows = Ragged.of([tokenizer.encode_array(text) for text in ("abcdef", "", "xy")])
    ids, mask = padded(rows, np.arange(3), tokenizer, longest=4)
    assert (ids[0] == np.frombuffer(b"abcd", np.uint8) + offset).all()
    assert mask.tolist() == [[True] * 4, [True, False, False, False], [True, True, False, False]]
    tokenizer.prefix, tokenizer.suffix = (1,), (2,)
    ids, mask = padded(rows, np.arange(3), tokenizer, longest=4)
    assert ids.tolist() == [[1, 97 + 4, 98 + 4, 2], [1, 2, 0, 0], [1, 120 + 4, 121 + 4, 2]]
    assert mask.sum(1).tolist() == [4, 2, 4]
