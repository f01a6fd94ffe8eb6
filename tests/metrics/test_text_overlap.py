"""Longest verbatim overlap against a search by ``in``, over fresh random texts."""

import random
from pydoc_data.topics import topics

import numpy as np
import pytest

from luoxia.metrics import overlap
from luoxia.metrics.overlap import longest_overlaps

LETTERS = "abcdefghijklmnop 落霞与孤鹜齐飞秋水共长天一色\U0002a6d6\n\0"


def slow(text, training):
    """Length and first start of the longest substring, by growing it."""
    length = start = 0
    for i in range(len(text)):
        while i + length < len(text) and any(text[i : i + length + 1] in whole for whole in training):
            length, start = length + 1, i
    return length, start


def random_case(rng):
    letters = rng.sample(LETTERS, rng.choice([1, 2, 4, 20]))

    def word(longest):
        return "".join(rng.choices(letters, k=rng.randint(0, longest)))

    training = [word(300) for _ in range(rng.randint(0, 4))]
    texts = []
    for _ in range(rng.randint(0, 6)):
        source = rng.choice(training) if training else ""
        begin = rng.randint(0, len(source))
        texts.append(word(30) + source[begin : begin + rng.choice([5, 15, 16, 17, 80])] + word(30))
    return texts, training


def check(texts, training):
    found = longest_overlaps(texts, training)
    assert list(zip(*map(np.ndarray.tolist, found), strict=True)) == [slow(t, training) for t in texts]


def test_it_is_the_search_by_in():
    rng = random.Random()
    for _ in range(60):
        check(*random_case(rng))


@pytest.mark.parametrize("base", [0, 1, 2**32])
def test_a_hash_that_collides_changes_nothing(monkeypatch, base):
    monkeypatch.setattr(overlap, "BASE", np.uint64(base))
    monkeypatch.setattr(overlap, "TABLE_BITS", 3)
    rng = random.Random()
    for _ in range(15):
        check(*random_case(rng))


@pytest.mark.parametrize("chunk", [1, 17, 100])
def test_windows_across_chunks_are_found(monkeypatch, chunk):
    monkeypatch.setattr(overlap, "CHUNK", chunk)
    rng = random.Random()
    for _ in range(8):
        check(*random_case(rng))


def test_real_text_and_its_copies():
    training = [topics[key] for key in sorted(topics)]
    rng = random.Random()
    texts = []
    for length in (1, 40, 400, 3000):
        source = rng.choice([text for text in training if len(text) > 5000])
        begin = rng.randrange(len(source) - length)
        texts.append("§§" + source[begin : begin + length] + "§§")
    found = longest_overlaps(texts, training)
    assert found.lengths.tolist() == [1, 40, 400, 3000] and found.starts.tolist() == [2] * 4


def test_matches_stay_within_one_training_text():
    assert longest_overlaps(["abcdef"], ["abc", "def"]).lengths.tolist() == [3]
    assert longest_overlaps(["", "\x00"], ["abc"]).lengths.tolist() == [0, 0]
    assert longest_overlaps(["a\ud800b"], ["\ud800"]).lengths.tolist() == [1]
    assert longest_overlaps([], ["abc"]).lengths.tolist() == []
    assert longest_overlaps(["abc"], []).lengths.tolist() == [0]
