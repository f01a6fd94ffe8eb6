"""Fronts and backs: codebooks against loops, vectors, tied heads."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from by_hand import TINY, built, close
from loops import causal, stacked
from torch import nn

from luoxia.core.errors import UsageError
from luoxia.nn.embedding import CodebookEmbedding, Embedding, VectorEmbedding
from luoxia.nn.head import Head
from luoxia.nn.quantize import replace_linear
from luoxia.nn.transformer import Decoder, Encoder, initialize

BOOKS, FILL = 3, 29  # one id more than is predicted: what fills a delay pattern
PLAIN = replace(TINY, positions="none")
UNTIED = replace(TINY, tied=False)


def codebooks(config=TINY, fill=1, books=BOOKS):
    front = Embedding(config, CodebookEmbedding(books, config.vocabulary + fill, config.width))
    return Decoder(config, front, Head(config, books))


def codes(*size):
    return torch.randint(FILL + 1, (*size, BOOKS))


def shaken(network):
    """The same network in float64, every weight random."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.3)
    return network.double().eval()


def test_codes_of_a_position_are_added():
    front, ids = Embedding(PLAIN, CodebookEmbedding(BOOKS, 30, 24)), codes(2, 5)
    with torch.no_grad():
        ours = front(ids, torch.arange(5))
        for row in range(2):
            for t in range(5):
                vectors = [front.tokens.weight[30 * k + int(ids[row, t, k])] for k in range(BOOKS)]
                torch.testing.assert_close(ours[row, t], sum(vectors))


def test_a_code_is_never_another_codebooks():
    front = CodebookEmbedding(BOOKS, 30, 24)
    with pytest.raises(IndexError):
        front(torch.tensor([[[30, 0, 0]]]))
    with pytest.raises(UsageError, match="ids of 2 codebooks for a network of 3"):
        front(torch.zeros(1, 1, 2, dtype=torch.int64))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("fill", [0, 1])
@pytest.mark.parametrize("softcap", [0.0, 4.0])
def test_heads_of_codebooks_are_heads_apart(tied, fill, softcap):
    network = shaken(codebooks(replace(TINY, tied=tied, softcap=softcap), fill))
    ids = torch.randint(29, (2, 6, BOOKS))
    with torch.no_grad():
        hidden, logits = network.hidden(ids), network(ids)
        assert logits.shape == (2, 6, BOOKS, 29) and torch.equal(logits, network.head(hidden))
        rows = 29 + fill if tied else 29
        matrix = network.embedding.tokens.weight if tied else network.output.weight
        for k in range(BOOKS):
            own = F.linear(hidden, matrix[rows * k : rows * k + 29])
            close(logits[:, :, k], 4 * (own / 4).tanh() if softcap else own, 1e-6)


def test_a_decoder_of_codebooks_is_its_equations():
    network, ids = shaken(codebooks(PLAIN)), codes(1, 6)
    with torch.no_grad():
        rows = [
            sum(network.embedding.tokens.weight[30 * k + ids[0, t, k]] for k in range(BOOKS))
            for t in range(6)
        ]
        close(network.hidden(ids)[0], stacked(network, torch.stack(rows), causal(0, 6)), 1e-9)


def test_one_tied_head_may_predict_less_than_is_read():
    """A token that hides others is embedded, and never predicted."""
    network = shaken(Encoder(TINY, Embedding(TINY, nn.Embedding(30, 24)), Head(TINY)))
    with torch.no_grad():
        assert network(torch.tensor([[29, 3, 29]])).shape == (1, 3, 29)
        close(network.output.matrix(network.embedding_weight), network.embedding.tokens.weight[:29], 0)


def test_vectors_are_projected():
    network = shaken(Encoder(PLAIN, Embedding(PLAIN, VectorEmbedding(10, 24))))
    x, everything = torch.randn(1, 5, 10, dtype=torch.float64), [list(range(5))] * 5
    weight, bias = network.embedding.tokens.weight, network.embedding.tokens.bias
    with torch.no_grad():
        rows = torch.stack([weight @ vector + bias for vector in x[0]])
        close(network(x)[0], stacked(network, rows, everything), 1e-9)


@pytest.mark.parametrize("kind", [Decoder, Encoder])
def test_hidden_vectors_in_and_out(kind):
    config = replace(PLAIN, vocabulary=0)
    network = shaken(kind(config, Embedding(config, nn.Identity())))
    x = torch.randn(1, 5, 24, dtype=torch.float64)
    seen = causal(0, 5) if kind is Decoder else [list(range(5))] * 5
    with torch.no_grad():
        close(network(x)[0], stacked(network, x[0], seen), 1e-9)
        assert network.output is None and not any(
            "output" in n and "stack" not in n for n in network.state_dict()
        )


def test_projected_vectors_are_not_rounded_by_autocast():
    network = Encoder(TINY, Embedding(TINY, VectorEmbedding(10, 24)))
    with torch.autocast("cpu", torch.bfloat16):
        assert network.embedding(torch.randn(1, 3, 10), torch.arange(3)).dtype == torch.float32


def test_gradients_reach_every_front_and_back():
    config = replace(UNTIED, grid=(3, 4), positions="learned", vocabulary=29)
    front = Embedding(config, CodebookEmbedding(BOOKS, 29, 24))
    networks = [
        (Decoder(config, front, Head(config, BOOKS)), torch.randint(29, (4, 12, BOOKS))),
        (Decoder(config, Embedding(config, VectorEmbedding(10, 24))), torch.randn(4, 12, 10)),
    ]
    places = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    for network, inputs in networks:
        network(inputs, positions=places).square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("style", ["gpt2", "zero", "xavier"])
def test_initial_weights_of_fronts(style):
    config = replace(TINY, vocabulary=400, width=128, tied=False, init=style)
    network = Decoder(config, Embedding(config, CodebookEmbedding(2, 400, 128)), Head(config, 2))
    spread = {"gpt2": 0.02, "zero": 1.0, "xavier": 128**-0.5}[style]
    assert network.embedding.tokens.weight.std().item() == pytest.approx(spread, rel=0.05)
    assert network.output.weight.shape == (800, 128) and bool(network.output.weight.any()) == (
        style != "zero"
    )
    vectors = VectorEmbedding(64, 128)
    nn.init.ones_(vectors.bias)
    initialize(vectors, config)
    deviation = {"gpt2": 0.02, "zero": 64**-0.5, "xavier": (2 / 192) ** 0.5}[style]
    assert vectors.weight.std().item() == pytest.approx(deviation, rel=0.05) and not vectors.bias.any()


@pytest.mark.parametrize("tied", [False, True])
def test_heads_of_codebooks_can_be_replaced(tied):
    """As quantizing does, the head included."""
    network, ids = shaken(codebooks(replace(TINY, tied=tied))), codes(2, 4)

    def linear(weight, bias):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
        layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
        return layer

    with torch.no_grad():
        before = network(ids)
        replace_linear(network, linear, head=True)
        close(network(ids), before, 1e-12)


def test_what_cannot_be_tied_is_refused():
    for front in (VectorEmbedding(10, 24), nn.Identity(), nn.Embedding(28, 24), CodebookEmbedding(2, 29, 24)):
        with pytest.raises(UsageError, match="set tied=False"):
            Decoder(TINY, Embedding(TINY, front), Head(TINY, BOOKS))
        built(lambda shape, front=front: Decoder(shape, Embedding(shape, front), Head(shape, BOOKS)), UNTIED)


def test_the_cache_takes_codebooks():
    network, ids = shaken(codebooks()), codes(2, 7)
    with torch.no_grad():
        cache = network.make_cache(2, 7)
        cached = torch.cat([network(part, cache=cache) for part in ids.split([3, 1, 2, 1], 1)], 1)
        close(cached, network(ids), 1e-12)
