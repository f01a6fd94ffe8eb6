"""Threads that share a model of text get what one thread gets; so do those of images in ``test_reentrant.py``."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

import decoders
from luoxia.media.text.spec import TextSpec
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.provenance.label import Label
from luoxia.tasks.text_classification.model import TextClassifier
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.tasks.text_embedding.model import TextEmbedder
from luoxia.tasks.text_embedding.recipes import EmbedText
from luoxia.tasks.text_translation.model import Translator

SMALL = {"layers": 1, "heads": 2, "width": 16, "longest": 32}
TEXTS = [["ab", "a longer text"], ["x"], ["ab", "y", "abc abc abc"], ["a longer text", "x"]]
BYTES = Tokenizer.train("byte")


def translator() -> Callable[[list[str]], Any]:
    model = Translator(decoders.translator(vocabulary=BYTES.vocabulary), BYTES, details=Label())
    return lambda texts: model.translate(texts, beams=len(texts), max_tokens=6)


def classifier() -> Callable[[list[str]], Any]:
    network = ClassifyText.from_settings(SMALL).build_generator(TextSpec(BYTES.vocabulary, 3))
    model = TextClassifier(network, BYTES, classes=("a", "b", "c"), details=Label())
    return lambda texts: model.probabilities(texts).tolist()


def embedder() -> Callable[[list[str]], Any]:
    network = EmbedText.from_settings(SMALL).build_generator(TextSpec(BYTES.vocabulary))
    model = TextEmbedder(network, BYTES, details=Label())
    return lambda texts: model.embed(texts).tolist()


@pytest.mark.parametrize("kind", [translator, classifier, embedder])
def test_threads_share_it(kind: Callable[[], Callable[[list[str]], Any]]) -> None:
    torch.manual_seed(0)
    ask, before = kind(), torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ask, TEXTS * 4))
    assert together == [ask(texts) for texts in TEXTS] * 4
    assert torch.equal(torch.random.get_rng_state(), before)
