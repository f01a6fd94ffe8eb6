"""Perplexity and bits per byte against sums written out, over fresh random likelihoods."""

import math

import numpy as np
import pytest
import torch

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.language import measure_language


@pytest.fixture
def documents():
    rng = np.random.default_rng()
    nll = [rng.gamma(2, 1.5, rng.integers(1, 60)) for _ in range(40)]
    return nll, rng.integers(1, 300, 40)


def by_name(scores):
    return {score.name: score for score in scores}


def test_values_are_the_sums_over_the_counts(documents):
    nll, sizes = documents
    found = by_name(measure_language(nll, sizes, tokenizer="bpe-512"))
    nats = math.fsum(value for row in nll for value in row)
    tokens, size = sum(map(len, nll)), int(sum(sizes))
    assert found["nats per token"].value == pytest.approx(nats / tokens, rel=1e-12)
    assert found["perplexity"].value == pytest.approx(math.exp(nats / tokens), rel=1e-12)
    assert found["bits per byte"].value == pytest.approx(nats / math.log(2) / size, rel=1e-12)
    assert found["perplexity"].signature["tokens"] == tokens
    assert found["bits per byte"].signature["bytes"] == size
    assert all(score.low < score.value < score.high for score in found.values())


def test_a_model_that_guesses_bytes_has_eight_bits_a_byte():
    text = "落霞与孤鹜齐飞".encode()
    found = by_name(measure_language([np.full(len(text), math.log(256))], [len(text)], tokenizer="byte"))
    assert found["bits per byte"].value == pytest.approx(8)
    assert found["perplexity"].value == pytest.approx(256)
    assert found["perplexity"].low is None  # a single document has no interval


def test_likelihoods_are_those_of_torch_cross_entropy():
    logits, targets = torch.randn(30, 11), torch.randint(11, (30,))
    nll = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    found = by_name(measure_language([nll[:10], nll[10:]], [10, 20], tokenizer="byte"))
    picked = logits.double().log_softmax(1)[torch.arange(30), targets]
    assert found["nats per token"].value == pytest.approx(-float(picked.mean()), rel=1e-6)


def test_bits_per_byte_compares_across_tokenizers_and_perplexity_does_not(documents):
    nll, sizes = documents
    one = by_name(measure_language(nll, sizes, tokenizer="bpe-512", text="val"))
    split = [np.repeat(row / 2, 2) for row in nll]  # the same nats over twice as many tokens
    two = by_name(measure_language(split, sizes, tokenizer="byte", text="val"))
    assert one["bits per byte"].compare(two["bits per byte"]) == pytest.approx(0, abs=1e-12)
    with pytest.raises(LuoxiaError, match="differ in tokenizer"):
        one["perplexity"].compare(two["perplexity"])


def test_the_interval_is_as_wide_as_fresh_documents_vary():
    rng = np.random.default_rng(5)

    def draw():
        sizes = rng.integers(5, 40, 60)
        return measure_language([rng.gamma(2, rng.gamma(4, 0.3), n) for n in sizes], sizes, tokenizer="byte")

    found = [by_name(draw())["bits per byte"] for _ in range(120)]
    spread = np.std([score.value for score in found])
    assert np.mean([(s.high - s.low) / 2 / 1.96 for s in found]) == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize(
    ("nll", "sizes", "message"),
    [
        ([[1.0]], [1, 2], "1 documents have 2 byte counts"),
        ([[1.0], [math.nan]], [1, 1], "document 1 has a likelihood that is not finite"),
        ([[-1.0]], [1], "give -ln p"),
        ([[]], [3], "no token"),
        ([[1.0]], [0], "no byte"),
        ([], [], "no token"),
    ],
)
def test_bad_input_is_named(nll, sizes, message):
    with pytest.raises(LuoxiaError, match=message):
        measure_language(nll, sizes, tokenizer="byte")
