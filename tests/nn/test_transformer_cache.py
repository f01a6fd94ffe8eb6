"""What the past, the padding and the neighbors may not change, and what the cache may not either."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from by_hand import STYLES, TINY, built, close, words

from luoxia.nn.transformer import Decoder, EncoderDecoder, vaswani


@pytest.mark.parametrize("style", STYLES)
def test_future_changes_nothing(style):
    network = built(Decoder, replace(TINY, **STYLES[style]))
    ids = words(2, 9)
    other = ids.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 29
    with torch.no_grad():
        first, second = network(ids), network(other)
    assert torch.equal(first[:, :5], second[:, :5]) and not torch.allclose(first[:, 5:], second[:, 5:])


def test_target_sees_only_its_past_and_all_of_the_source():
    network = built(EncoderDecoder, vaswani(29, width=24, layers=2, heads=4, context=32))
    source, target = words(1, 6), words(1, 7).requires_grad_(False)
    embeddings = {}
    network.embedding.register_forward_hook(lambda m, i, out: embeddings.setdefault(len(embeddings), out))
    memory = network.encode(source).detach().requires_grad_()
    logits = network.decode(target, memory)
    (reached,) = torch.autograd.grad(logits[0, 2].sum(), memory, retain_graph=True)
    assert (reached[0].abs().sum(-1) > 0).all()
    (past,) = torch.autograd.grad(logits[0, 2].square().sum(), embeddings[1])
    assert (past[0].abs().sum(-1) > 0).tolist() == [True] * 3 + [False] * 4


@pytest.mark.parametrize("style", STYLES)
def test_padding_changes_nothing(style):
    """Rows padded at either end, under a mask, give what each gives alone."""
    network = built(Decoder, replace(TINY, **STYLES[style]))
    rows = [words(1, t) for t in (6, 3, 9)]
    for left in (True, False):
        ids, mask = torch.zeros(3, 9, dtype=torch.int64), torch.zeros(3, 9, dtype=torch.bool)
        for i, row in enumerate(rows):
            span = slice(9 - row.shape[1], 9) if left else slice(0, row.shape[1])
            ids[i, span], mask[i, span] = row[0], True
        with torch.no_grad():
            batched = network(ids, mask=mask)
            assert batched.isfinite().all()
            for i, row in enumerate(rows):
                close(batched[i][mask[i]], network(row)[0])


def test_source_padding_changes_nothing():
    network = built(EncoderDecoder, vaswani(29, width=24, layers=2, heads=4, context=32))
    source, target = words(1, 5), words(1, 4)
    padded = torch.cat([source, words(1, 3)], 1)
    mask = torch.arange(8)[None] < 5
    with torch.no_grad():
        close(network(padded, mask, target), network(source, None, target))
        assert not torch.allclose(network(padded, None, target), network(source, None, target))


@pytest.mark.parametrize("style", STYLES)
def test_packed_documents_are_as_if_alone(style):
    network = built(Decoder, replace(TINY, **STYLES[style]))
    ids = words(2, 12)
    lengths = [[5, 1, 6], [2, 9, 1]]
    segments = torch.stack(
        [torch.repeat_interleave(torch.tensor([7, 3, 8]), torch.tensor(n)) for n in lengths]
    )
    with torch.no_grad():
        packed = network(ids, segments=segments)
        for row in range(2):
            alone = [network(document[None])[0] for document in ids[row].split(lengths[row])]
            close(packed[row], torch.cat(alone))
        assert not torch.allclose(packed, network(ids))


# The cache.


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("static", [False, True])
def test_cached_equals_uncached(style, static):
    """A prompt to the bit (its own length being read), and each later token within rounding."""
    network = built(Decoder, replace(TINY, **STYLES[style]))
    ids = words(3, 12)
    with torch.no_grad():
        full, cache = network(ids), network.make_cache(3, 12, static=static)
        parts = [network(part, cache=cache) for part in ids.split([5, 1, 1, 3, 1, 1], dim=1)]
        if not static:
            assert torch.equal(parts[0], network(ids[:, :5]))
        close(torch.cat(parts, 1), full)
        assert cache.length == 12
        cache.reset()
        close(network(ids, cache=cache), full)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("static", [False, True])
def test_batched_equals_single(style, static):
    """Prompts of unequal length, padded on the left, go on as each does alone."""
    network = built(Decoder, replace(TINY, **STYLES[style]))
    rows = [words(1, t) for t in (8, 3, 11)]
    start = torch.tensor([5 - t // 2 for t in (8, 3, 11)])  # prompts of 4, 1 and 5 of their tokens
    prompt = torch.stack(
        [F.pad(row[0, : 5 - s], (int(s), 0), value=1) for row, s in zip(rows, start, strict=True)]
    )
    with torch.no_grad():
        cache = network.make_cache(3, 8, start=start, static=static)
        parts = [network(prompt, cache=cache)]
        later = torch.stack([F.pad(row[0], (0, 5))[5 - s :][:3] for row, s in zip(rows, start, strict=True)])
        parts += [network(token, cache=cache) for token in later.split(1, dim=1)]
        batched = torch.cat(parts, 1)
        assert batched.isfinite().all()
        for i, s in enumerate(start.tolist()):
            alone = network(torch.cat([prompt[i : i + 1, s:], later[i : i + 1]], 1))
            close(batched[i, s:], alone[0])


@pytest.mark.parametrize("static", [False, True])
def test_cached_translation_equals_uncached(static):
    shape = vaswani(29, width=24, layers=2, heads=4, context=32, kv_heads=2, encoder_layers=3)
    network = built(EncoderDecoder, shape)
    source, target = words(2, 6), words(4, 7)
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    pairs = torch.tensor([0, 0, 1, 1])
    with torch.no_grad():
        memory = network.encode(source, mask)
        cache = network.make_cache(memory, mask, 8, static=static)
        cache.reorder(pairs)  # two beams a source
        parts = [network.decode(part, None, None, cache) for part in target.split([1, 1, 3, 1, 1], dim=1)]
        close(torch.cat(parts, 1), network(source[pairs], mask[pairs], target))
        cache.reorder(torch.tensor([1, 1, 2, 3]))
        swapped = torch.cat([target[[1, 1, 2, 3]], words(4, 1)], 1)
        last = network.decode(swapped[:, -1:], None, None, cache)
        close(last, network(source[pairs], mask[pairs], swapped)[:, -1:])


def test_cache_is_of_the_dtype_in_which_the_network_attends():
    network = built(Decoder, replace(TINY, **STYLES["llama"], qk_norm=True)).to(torch.bfloat16)
    ids = words(2, 6)
    with torch.no_grad():
        full, cache = network(ids), network.make_cache(2, 6)
        assert cache.keys.dtype == full.dtype == torch.bfloat16
        cached = torch.cat([network(t, cache=cache) for t in ids.split(1, 1)], 1)
    close(cached, full, 0.02)
    network = network.float()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        cache = network.make_cache(2, 6)
        assert cache.keys.dtype == torch.bfloat16
        cached = torch.cat([network(t, cache=cache) for t in ids.split(1, 1)], 1)
        close(cached, network(ids), 0.02)


@pytest.mark.parametrize("style", ["gpt2", "modern"])
def test_compiles_in_one_graph(style):
    """Training, and a decoding step with a static cache, whose tokens then need no second compilation."""
    torch._dynamo.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    network = built(Decoder, replace(TINY, **STYLES[style]))
    compiled = torch.compile(network, backend=backend, fullgraph=True, dynamic=False)
    ids = words(2, 8)
    close(compiled(ids), network(ids))
    with torch.no_grad():
        cache, full = network.make_cache(2, 10, static=True), network(ids)
        steps = [network(ids[:, :3], cache=cache)]
        before = len(graphs)
        steps += [compiled(token, cache=cache) for token in ids[:, 3:].split(1, dim=1)]
    close(torch.cat(steps, 1), full)
    assert len(graphs) == before + 1
