"""One loaded model in several threads, precision of a call, classes with odd names, images as they are made."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from decoders import decoder
from luoxia.core.errors import UsageError
from luoxia.decoding.loop import Decoding
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.provenance.label import Label
from luoxia.tasks.image_generation.model import CHUNK, ImageGenerator
from luoxia.tasks.image_generation.networks import stylegan2
from luoxia.tasks.image_generation.styles import Controls
from luoxia.tasks.image_translation.model import ImageTranslator
from luoxia.tasks.image_translation.networks import cyclegan
from luoxia.tasks.language_modeling.model import TextGenerator
from pairs import a_generator


class Counted(nn.Module):
    """Gray images whose level is the class, and how often it was asked."""

    latent, calls = 3, 0

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        self.calls += 1
        level = z[:, 0] if labels is None else labels / 10
        return level[:, None, None, None].expand(-1, 1, 4, 4).float()


@pytest.fixture(scope="module")
def styled() -> ImageGenerator:
    torch.manual_seed(1)
    network = a_generator(stylegan2, 6, (3, 16, 16), 4, max_channels=8, styles=8, mapping_layers=2)
    network.mean_w.normal_()
    return ImageGenerator(network, classes=(), details=Label(), shape=(16, 16, 3))


@pytest.fixture(scope="module")
def writer() -> TextGenerator:
    tokenizer = Tokenizer.train("byte")
    return TextGenerator(decoder(vocabulary=tokenizer.vocabulary), tokenizer, details=Label())


def together(ask: Callable[[int], Any], times: int = 8) -> list[Any]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(ask, range(times)))


def test_threads_share_a_generator_of_images(styled: ImageGenerator) -> None:
    def ask(i: int) -> bytes:
        dtype = torch.bfloat16 if i % 4 == 3 else None
        return styled.sample(2, i // 2, noise="random", dtype=dtype).tobytes()

    before = torch.random.get_rng_state()
    assert together(ask) == [ask(i) for i in range(8)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert styled.dtype == torch.float32


def test_threads_share_a_writer(writer: TextGenerator) -> None:
    def ask(i: int) -> list[str]:
        return writer.sample(2, i // 2, prompt="ab", decoding=Decoding(max_tokens=6))

    before = torch.random.get_rng_state()
    assert together(ask) == [ask(i) for i in range(8)]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_threads_share_a_translator_of_images() -> None:
    torch.manual_seed(0)
    networks = cyclegan.ModuleGroup(
        {"a2b": cyclegan.Generator(cyclegan.GeneratorConfig(channels=3, width=4, blocks=1))}
    )
    translator = ImageTranslator(networks, channels=3, details=Label())
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)

    def ask(i: int) -> bytes:
        dtype = torch.bfloat16 if i % 2 else None
        return translator.translate(images[i // 2], dtype=dtype).tobytes()

    expected = [ask(i) for i in range(8)]
    assert together(ask) == expected
    assert expected[0] != expected[1] and translator.dtype == torch.float32


def test_a_writer_takes_the_keys_of_the_command_line(writer: TextGenerator) -> None:
    decoding = Decoding(max_tokens=6, temperature=0.5, top_k=9, top_p=0.9, stop=("a", "b"))
    keys = {"max_tokens": np.int64(6), "temperature": 0.5, "top_k": "9", "top_p": 0.9, "stop": ["a", "b"]}
    texts = writer.sample(2, 3, prompt="ab", decoding=decoding)
    assert writer.sample(2, 3, prompt="ab", **keys) == texts
    assert writer.sample(2, 3, prompt="ab", decoding=decoding, stop="a,b") == texts
    assert "".join(writer.stream("ab", 3, **keys)) == texts[0]
    for given, told in (
        ({"max_token": 3}, "unknown key 'max_token'; did you mean max_tokens"),
        ({"foo": 3}, "unknown key 'foo'; known are prompt, "),
        ({"top_p": 2}, "top_p=2: must be 1 or less"),
        ({"temperature": "hot"}, "temperature=hot: must be a number"),
    ):
        with pytest.raises(UsageError, match=f"^{told}"):
            writer.sample(2, prompt="ab", **given)
        with pytest.raises(UsageError, match=f"^{told}"):
            next(writer.stream("ab", **given))


def test_a_lighter_writer_is_another(writer: TextGenerator) -> None:
    ids = [[1, 2, 3]]
    before = writer.logits(ids)
    light = writer.lighten(int8=True)
    assert torch.equal(writer.logits(ids), before)
    assert not torch.equal(light.logits(ids), before)


def test_only_what_is_asked_for_is_computed() -> None:
    network = Counted()
    generator = ImageGenerator(network, classes=(), details=Label(), shape=(4, 4, 1))
    assert generator.shape == (4, 4, 1) and network.calls == 0
    chunks = generator.stream(3 * CHUNK + 1, 2)
    assert network.calls == 0
    assert len(next(chunks)) == CHUNK and network.calls == 1
    assert ImageGenerator(Counted(), classes=(), details=Label()).shape == (4, 4, 1)
    with pytest.raises(UsageError, match="n="):
        generator.stream(0)


@pytest.mark.parametrize("n", [1, CHUNK, CHUNK + 3])
def test_chunks_are_the_images_of_the_whole(styled: ImageGenerator, n: int) -> None:
    controls: dict[str, Any] = {"noise": "random", "mix": 5, "truncation": 0.7}
    whole = styled.render(styled.latents(n, 3), None, Controls(seed=3, **controls))
    assert np.array_equal(np.concatenate(list(styled.stream(n, 3, **controls))), whole)
    assert np.array_equal(styled.sample(n, 3, **controls), whole)


def test_a_walk_comes_in_chunks(styled: ImageGenerator) -> None:
    points = styled.points(styled.latents(3, 1), None)
    chunks = list(styled.stream_walk(points, 30))
    assert [len(chunk) for chunk in chunks] == [CHUNK, 90 - CHUNK]
    assert np.array_equal(np.concatenate(chunks), styled.walk(points, 30))


# ------------------------------------------------------------------ classes


def levels(generator: ImageGenerator, label: Any) -> list[int]:
    return [round((float(x) / 127.5 - 1) * 10) for x in generator.sample(4, label=label)[:, 0, 0, 0]]


def test_a_class_may_have_the_name_of_a_reserved_word_or_of_a_number() -> None:
    generator = ImageGenerator(Counted(3), classes=("2", "none", "some"), details=Label())
    assert levels(generator, "none") == [1] * 4
    assert levels(generator, "2") == [0] * 4
    assert levels(generator, "1") == levels(generator, 1) == [1] * 4
    assert levels(generator, None) == levels(generator, "None") == [0, 1, 2, 0]
    assert generator.labels_of_one(2).tolist() == [0, 0]


def test_the_word_none_asks_for_no_class_where_none_has_that_name() -> None:
    generator = ImageGenerator(Counted(2), classes=("a", "b"), details=Label())
    assert levels(generator, "none") == [0, 1, 0, 1]
    plain = ImageGenerator(Counted(), classes=(), details=Label())
    assert plain.labels(3, "none") is None
    with pytest.raises(UsageError, match="conditional"):
        plain.labels(3, "nothing")


def test_the_first_class_is_the_first_whatever_others_are_called() -> None:
    generator = ImageGenerator(Counted(3), classes=("-1", "0", "1"), details=Label())
    assert generator.labels_of_one(2).tolist() == [0, 0]
