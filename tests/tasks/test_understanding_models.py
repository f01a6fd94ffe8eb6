"""A classifier and an embedder answer each text as if it were alone."""

import numpy as np
import pytest
import torch

from luoxia.core.errors import UsageError
from luoxia.media.text.spec import TextSpec
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.provenance.label import Label
from luoxia.tasks.shared import pooled_model
from luoxia.tasks.text_classification.model import TextClassifier
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.tasks.text_embedding.model import TextEmbedder
from luoxia.tasks.text_embedding.recipes import EmbedText

SMALL = {"layers": 1, "heads": 2, "width": 16, "max_length": 32}


def drawn(network: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.fixture
def classifier() -> TextClassifier:
    network = drawn(ClassifyText.from_settings(SMALL).build_generator(TextSpec(260, 3)))
    return TextClassifier(network, Tokenizer.train("byte"), classes=("a", "b", "c"), details=Label())


@pytest.fixture
def embedder() -> TextEmbedder:
    network = drawn(EmbedText.from_settings(SMALL).build_generator(TextSpec(260)))
    return TextEmbedder(network, Tokenizer.train("byte"), details=Label())


def some_texts(n: int = 40) -> list[str]:
    rng = np.random.default_rng()
    return ["".join(map(chr, rng.integers(97, 123, rng.integers(1, 60)))) for _ in range(n)]


@pytest.mark.parametrize("tokens", [1, 64, 8192])
def test_batches_change_nothing(classifier, embedder, monkeypatch, tokens) -> None:
    texts = some_texts()
    alone = [
        np.concatenate([ask([text]) for text in texts]) for ask in (classifier.probabilities, embedder.embed)
    ]
    monkeypatch.setattr(pooled_model, "TOKENS", tokens)
    for ask, wanted in zip((classifier.probabilities, embedder.embed), alone, strict=True):
        found = ask(texts)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_probabilities_and_classes_agree(classifier) -> None:
    texts = some_texts(9)
    shares = classifier.probabilities(texts)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert classifier.classify(texts) == [("abc"[row.argmax()], float(row.max())) for row in shares]
    assert classifier.classify(texts[0]) == classifier.classify(texts[:1])


def test_similarity_is_the_cosine(embedder) -> None:
    a, b = some_texts(4), some_texts(6)
    found, (x, y) = embedder.similarity(a, b), map(embedder.embed, (a, b))
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found, x.astype(np.float64) @ y.T, atol=1e-6)
    assert embedder.similarity("one", "one").shape == (1, 1)
    assert embedder.similarity("one", "one").item() == pytest.approx(1)


def test_nothing_long_and_empty(classifier, embedder) -> None:
    assert classifier.classify([]) == []
    assert classifier.probabilities([]).shape == (0, 3)
    assert embedder.embed([]).shape == (0, 16)
    long = "x" * 32
    np.testing.assert_array_equal(embedder.embed(long), embedder.embed(long + "what is cut off"))
    with pytest.raises(UsageError, match="text 2 is empty"):
        embedder.embed(["a", " \n"])
