"""Prefixes and memories: who sees them, what stands for none, and that the cache changes nothing."""

from dataclasses import replace

import pytest
import torch
from by_hand import STYLES, TINY, built, close, words
from loops import angles, causal, stacked
from torch import nn

from luoxia.core.errors import UsageError
from luoxia.nn.conditioning import Condition, Conditioner, join
from luoxia.nn.embedding import VectorEmbedding
from luoxia.nn.positions import raster
from luoxia.nn.transformer import Decoder, Encoder, initialize

EXACT = 1e-9


def vectors(*size):
    return torch.randn(*size, TINY.width, dtype=torch.float64)


def padded(*lengths, right=True):
    """A mask (n, longest), the padding to the right or to the left."""
    index, lengths = torch.arange(max(lengths)), torch.tensor(lengths)[:, None]
    return index < lengths if right else index >= max(lengths) - lengths


def decoder(style="llama", **changes):
    return built(Decoder, replace(TINY, **STYLES[style], **changes)).double()


# What a decoder and an encoder make of a prefix.


@pytest.mark.parametrize("p", [1, 4])
def test_every_position_sees_the_prefix(p):
    network = built(Decoder, replace(TINY, qk_norm=False, kv_heads=2)).double()
    prefix, ids = vectors(1, p), words(1, 5)
    with torch.no_grad():
        ours = network.hidden(ids, prefix=Condition(prefix))[0]
        rows = torch.cat([prefix[0], network.embedding.tokens(ids)[0]])
        turns = [angles((i,), (3,)) for i in range(p + 5)]
        close(ours, stacked(network, rows, causal(p, 5), turns))


def test_a_window_never_hides_the_prefix():
    network = decoder("mistral")  # which sees 4 positions back
    prefix, ids = vectors(2, 3), words(2, 9)
    with torch.no_grad():
        before = network(ids, prefix=Condition(prefix))
        first = torch.cat([vectors(2, 1), prefix[:, 1:]], 1)
        assert ((network(ids, prefix=Condition(first)) - before).abs().amax(-1) > 1e-6).all()
        other = ids.clone()
        other[:, 0] = (other[:, 0] + 1) % 29
        changed = (network(other, prefix=Condition(prefix)) - before).abs().amax(-1) > 1e-9
    assert not changed[:, :3].any() and changed[:, 3:7].all()
    assert not changed[:, 3 + 2 * 3 + 1 :].any()  # two layers of windows reach no further


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("right", [False, True])
def test_padding_of_a_prefix_changes_nothing(style, right):
    network = decoder(style)
    lengths, ids, mask = (4, 1, 6), words(3, 5), padded(4, 1, 6, right=right)
    prefix = vectors(3, 6)
    with torch.no_grad():
        batched = network(ids, prefix=Condition(prefix, mask))
        assert batched.isfinite().all()
        for row, length in enumerate(lengths):
            alone = network(ids[row : row + 1], prefix=Condition(prefix[row : row + 1, mask[row]]))
            close(batched[row, 6 - length :], alone[0], EXACT)


def test_tokens_after_a_prefix_may_be_padded():
    network, prefix, ids = decoder(), Condition(vectors(2, 4), padded(4, 2)), words(2, 6)
    mask = torch.arange(6) < torch.tensor([[6], [3]])
    with torch.no_grad():
        close(network(ids, prefix=prefix, mask=mask)[1, :7], network(ids, prefix=prefix)[1, :7], EXACT)


@pytest.mark.parametrize("mask", [None, padded(4, 2, 3)])
def test_an_encoder_sees_a_prefix(mask):
    network = built(Encoder, TINY).double()
    prefix, ids = Condition(vectors(3, 4), mask), words(3, 5)
    with torch.no_grad():
        batched = network(ids, prefix=prefix)
        for row in range(3):
            kept = prefix.vectors[row] if mask is None else prefix.vectors[row, mask[row]]
            rows = torch.cat([kept, network.embedding.tokens(ids[row])])
            seen, turns = [list(range(len(rows)))] * len(rows), [angles((i,), (3,)) for i in range(len(rows))]
            close(batched[row, -len(rows) :], stacked(network, rows, seen, turns))


def test_a_prefix_has_its_own_coordinates():
    """A row of text, real vectors last, before a raster: the same whatever its padding."""
    network = decoder(grid=(7, 4))
    ids, prefix = words(2, 8), vectors(2, 3)
    mask = padded(3, 2)
    places = torch.cat([torch.tensor([[0, 1], [0, 2], [0, 3]]), raster((2, 4)) + torch.tensor([1, 0])])
    with torch.no_grad():
        batched = network(ids, prefix=Condition(prefix, mask), positions=places)
        alone = network(ids[1:], prefix=Condition(prefix[1:, :2]), positions=places[1:])
        close(batched[1, 1:], alone[0], EXACT)
        elsewhere = torch.cat([places[:3] + torch.tensor([6, 0]), places[3:]])
        moved = network(ids[1:], prefix=Condition(prefix[1:, :2]), positions=elsewhere[1:])
        assert not torch.allclose(moved, alone)


# The cache.


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("mask", [None, padded(4, 2, 3)])
def test_prefilled_and_cached_equals_one_pass(style, static, mask):
    network, prefix, ids = decoder(style), Condition(vectors(3, 4), mask), words(3, 8)
    real = torch.ones(3, 12, dtype=torch.bool)
    if mask is not None:
        real[:, :4] = mask.flip(1)
    with torch.no_grad():
        full, cache = network(ids, prefix=prefix), network.make_cache(3, 12, static=static)
        for parts in ([0, 1, 1, 4, 2], [3, 1, 3, 1]):
            first, *later = ids.split(parts, 1)
            cached = [network(first if parts[0] else None, cache=cache, prefix=prefix)]
            cached += [network(part, cache=cache) for part in later]
            close(torch.cat(cached, 1)[real], full[real], EXACT)
            cache.reset()
        close(network(ids, cache=cache), network(ids), EXACT)  # the prefix is forgotten


def test_cached_rows_can_be_reordered():
    network, prefix, ids = decoder(), Condition(vectors(2, 3), padded(3, 1)), words(4, 3)
    rows = torch.tensor([0, 1, 1, 0])
    with torch.no_grad():
        cache = network.make_cache(2, 6)
        network(None, cache=cache, prefix=prefix)
        cache.reorder(rows)
        cached = network(ids, cache=cache)
        full = network(ids, prefix=Condition(prefix.vectors[rows], prefix.mask[rows]))
    close(cached, full[:, 3:], EXACT)


def test_a_prefix_opens_the_row():
    network, prefix = decoder(), Condition(vectors(1, 2))
    with torch.no_grad():
        cache = network.make_cache(1, 6)
        network(words(1, 2), cache=cache)
        with pytest.raises(UsageError, match="empty cache"):
            network(words(1, 1), cache=cache, prefix=prefix)
        with pytest.raises(UsageError, match="empty cache"):
            network(None, cache=network.make_cache(1, 6, start=torch.tensor([1])), prefix=prefix)
    with pytest.raises(UsageError, match="a row of its own"):
        network(words(1, 3), prefix=prefix, segments=torch.tensor([[0, 0, 1]]))
    with pytest.raises(UsageError, match="33 tokens in a row"):
        network(words(1, 31), prefix=prefix)


# Cross-attention to vectors that no encoder of ours made.


@pytest.mark.parametrize("mask", [None, padded(2, 5)])
def test_cross_attention_is_its_equation(mask):
    config = replace(TINY, positions="none", kv_heads=2)
    network = built(lambda c: Decoder(c, cross=True), config).double()
    ids, memory = words(2, 6), Condition(vectors(2, 5), mask)
    with torch.no_grad():
        ours = network.hidden(ids, memory=memory)
        for row in range(2):
            kept = memory.vectors[row] if mask is None else memory.vectors[row, mask[row]]
            close(ours[row], stacked(network, network.embedding.tokens(ids[row]), causal(0, 6), memory=kept))
        cache = network.make_cache(2, 9, memory=memory)
        parts = [network.hidden(part, cache=cache) for part in ids.split([2, 1, 3], 1)]
        close(torch.cat(parts, 1), ours, EXACT)


def test_a_prefix_beside_a_memory():
    network = built(lambda c: Decoder(c, cross=True), replace(TINY, **STYLES["modern"])).double()
    ids, prefix, memory = words(2, 5), Condition(vectors(2, 2)), Condition(vectors(2, 4), padded(4, 1))
    with torch.no_grad():
        cache = network.make_cache(2, 7, memory=memory)
        parts = [
            network(None, cache=cache, prefix=prefix),
            *(network(t, cache=cache) for t in ids.split(1, 1)),
        ]
        close(torch.cat(parts, 1), network(ids, prefix=prefix, memory=memory), EXACT)
        encoder = built(lambda c: Encoder(c, cross=True), TINY).double()
        assert not torch.allclose(encoder(ids, memory=memory), encoder(ids, memory=Condition(vectors(2, 4))))


def test_a_condition_that_nobody_reads_is_refused():
    ids, plain, cross = words(1, 3), decoder(), built(lambda c: Decoder(c, cross=True), TINY).double()
    memory = Condition(vectors(1, 2))
    calls = [
        lambda: plain(ids, memory=memory),
        lambda: cross(ids),
        lambda: cross(ids, cache=cross.make_cache(1, 3)),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="memory= is for networks with cross=True"):
            call()
    with pytest.raises(UsageError, match="style= is for networks of a ModulatedBlock"):
        plain(ids, style=vectors(1))


# Conditions, and none.


def conditioner(content=None, dropout=0.3):
    return Conditioner(content or VectorEmbedding(7, 24), 24, dropout).double()


def test_classes_are_embedded():
    ours, labels = conditioner(nn.Embedding(10, 24)).eval(), torch.tensor([3, 0])
    assert (
        torch.equal(ours(labels).vectors, ours.content.weight[labels][:, None]) and ours(labels).mask is None
    )
    absent = ours(labels, absent=torch.tensor([False, True]))
    assert torch.equal(absent.vectors[0, 0], ours.content.weight[3]) and absent.mask is None
    assert torch.equal(absent.vectors[1:], ours.without(1).vectors)


@pytest.mark.parametrize("use", ["prefix", "memory"])
def test_none_is_the_same_whatever_it_replaces(use):
    """Another condition, of another length: the logits of the tokens do not change."""
    network, ours = built(lambda c: Decoder(c, cross=use == "memory"), TINY).double(), conditioner().eval()
    ids, absent = words(2, 5), torch.tensor([True, False])
    x = torch.randn(2, 4, 7, dtype=torch.float64)
    with torch.no_grad():
        none = [network(ids[row : row + 1], **{use: ours.without(1)})[:, -5:] for row in range(2)]
        mixed = network(ids, **{use: ours(x, absent=absent)})
        close(mixed[:1, -5:], none[0], EXACT)
        close(mixed[1:, -5:], network(ids[1:], **{use: ours(x[1:])})[:, -5:], EXACT)
        close(network(ids, **{use: ours(x, padded(4, 2), absent)})[:1, -5:], none[0], EXACT)
        close(network(ids, **{use: ours(x[:, :1], absent=absent)})[:1, -5:], none[0], EXACT)
        close(network(ids, **{use: ours(x, padded(4, 0))})[1:, -5:], none[1], EXACT)


def test_training_drops_a_share_of_the_conditions():
    torch.manual_seed(0)
    ours, x = conditioner(dropout=0.3).train(), torch.randn(2000, 3, 7, dtype=torch.float64)
    condition = ours(x)
    dropped = condition.mask.sum(1) == 1
    assert dropped.double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (
        torch.equal(condition.vectors[~dropped], ours.content(x)[~dropped]) and condition.mask[~dropped].all()
    )
    assert (condition.vectors[dropped] == ours.none).all() and condition.mask[dropped][:, -1].all()
    condition.vectors[condition.mask].square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in ours.parameters())
    assert ours.eval()(x).mask is None


def test_without_dropout_there_is_no_vector_for_none():
    ours, x = conditioner(dropout=0.0), torch.randn(2, 3, 7, dtype=torch.float64)
    assert ours(x).mask is None and not any("none" in name for name in ours.state_dict())
    for call in (lambda: ours.without(1), lambda: ours(x, absent=torch.tensor([True, False]))):
        with pytest.raises(UsageError, match="dropout"):
            call()


def test_conditions_are_joined_and_packed():
    one, two = Condition(vectors(2, 1)), Condition(vectors(2, 3), padded(1, 3))
    both = join([one, two])
    assert both.mask.tolist() == [[True, True, False, False], [True] * 4] and both.length == 4
    packed = both.real_last()
    assert packed.mask.tolist() == [[False, False, True, True], [True] * 4] and packed.start.tolist() == [
        2,
        0,
    ]
    assert torch.equal(packed.vectors[0, 2:], both.vectors[0, :2]) and torch.equal(
        packed.vectors[1], both.vectors[1]
    )
    assert join([one, one]).mask is None and one.start is None and one.real_last() is one


def test_gradients_reach_the_condition_through_the_network():
    config = replace(TINY, tied=False)
    network, ours = Decoder(config, cross=True), Conditioner(VectorEmbedding(7, 24), 24, 0.5)
    initialize(ours, config)
    torch.manual_seed(0)
    ids = words(6, 5)
    condition = ours(torch.randn(6, 3, 7), padded(3, 1, 2, 3, 3, 2))
    network(ids, prefix=condition, memory=condition)[:, 2:-1].square().mean().backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for p in [*network.parameters(), *ours.parameters()]
    )


def test_training_with_a_prefix_compiles_in_one_graph():
    torch._dynamo.reset()
    network = decoder("modern", grid=(3, 4))
    ours = conditioner(nn.Embedding(10, 24)).eval()
    ids, labels, places = words(2, 6), torch.tensor([3, 5]), raster((3, 4))[:7]

    def logits(ids, labels):
        return network(ids, prefix=ours(labels), positions=places)

    compiled = torch.compile(logits, backend=lambda graph, inputs: graph.forward, fullgraph=True)
    close(compiled(ids, labels), logits(ids, labels), EXACT)
