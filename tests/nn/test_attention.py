"""Attention, positions, masks and the cache, each against its definition written out in loops."""

import copy
import math

import pytest
import torch
from torch import nn

from luoxia.core.errors import UsageError
from luoxia.nn.attention import CrossAttention, HeadNorm, RMSNorm, SelfAttention, attend, rms_norm
from luoxia.nn.cache import Cache
from luoxia.nn.context import AttentionContext, causal_context, causal_mask, full_context, since_start
from luoxia.nn.positions import Table, rates, rotary, rotate, sinusoid


def by_query(q, k, v, seen):
    """softmax(QKᵀ/√d)V in float64, one query at a time; seen (n, t, s) bool. Returns (n, t, heads · d)."""
    q, k, v = q.double(), k.double(), v.double()
    n, heads, t, d = q.shape
    out = torch.zeros(n, t, heads, d, dtype=torch.float64)
    for row in range(n):
        for head in range(heads):
            group = head // (heads // k.shape[1])
            for i in range(t):
                keys = seen[row, i].nonzero()[:, 0].tolist()
                scores = [float(q[row, head, i] @ k[row, group, j]) / math.sqrt(d) for j in keys]
                top = max(scores)
                weights = [math.exp(score - top) for score in scores]
                for j, weight in zip(keys, weights, strict=True):
                    out[row, i, head] += weight / sum(weights) * v[row, group, j]
    return out.flatten(2)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("t", [1, 5])
@pytest.mark.parametrize("kind", ["all", "causal", "mask"])
def test_attention_is_its_equation(kv_heads, t, kind):
    s = t if kind == "causal" else 7
    q = 3 * torch.randn(2, 4, t, 6)
    k, v = 3 * torch.randn(2, kv_heads, s, 6), torch.randn(2, kv_heads, s, 6)
    seen = torch.ones(2, t, s, dtype=torch.bool)
    if kind == "causal":
        seen = seen.tril()
    if kind == "mask":
        seen = torch.rand(2, t, s) < 0.5
        seen[:, :, 0] = True
    mask = seen[:, None] if kind == "mask" else None
    ours = attend(q, k, v, mask, kind == "causal", 0.0)
    torch.testing.assert_close(ours.double(), by_query(q, k, v, seen), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("t", [1, 6])
def test_dropped_attention_keeps_the_mean(t):
    q, k, v = torch.randn(1, 4, t, 8), torch.randn(1, 2, 6, 8), torch.rand(1, 2, 6, 8)
    torch.manual_seed(0)
    outs = torch.stack([attend(q, k, v, None, False, 0.5) for _ in range(400)])
    assert outs.std(0).min() > 0.01
    torch.testing.assert_close(outs.mean(0), attend(q, k, v, None, False, 0.0), atol=0.15, rtol=0)


@pytest.mark.parametrize("width", [2, 7, 16])
def test_sinusoid_is_its_formula(width):
    table = sinusoid(30, width)
    for p in range(30):
        for c in range(width):
            angle = p / 10_000 ** ((c - c % 2) / width)
            assert table[p, c].item() == pytest.approx(
                math.cos(angle) if c % 2 else math.sin(angle), abs=1e-6
            )


def turned(x, position, theta):
    """Half-split rotation of one vector as a product of complex numbers, in float64."""
    d = len(x)
    z = torch.complex(x[: d // 2].double(), x[d // 2 :].double())
    angle = torch.tensor([position * theta ** (-2 * i / d) for i in range(d // 2)], dtype=torch.float64)
    z = z * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([z.real, z.imag])


@pytest.mark.parametrize("theta", [10_000.0, 500.0])
def test_rotation_is_a_complex_product(theta):
    x = torch.randn(2, 9, 3, 8)
    ours = rotate(x, rotary(9, 8, theta).chunk(2, dim=-2))
    for row, position, head in [(0, 0, 0), (1, 3, 2), (0, 8, 1)]:
        reference = turned(x[row, position, head], position, theta)
        torch.testing.assert_close(ours[row, position, head].double(), reference, atol=1e-6, rtol=1e-6)


def test_rotated_products_know_only_the_distance():
    q, k = torch.randn(64), torch.randn(64)
    table = rotary(400, 64, 10_000.0)

    def at(x, position):
        return rotate(x.view(1, 1, 1, 64), table[position : position + 1].chunk(2, dim=-2)).flatten()

    for distance in (0, 1, 17):
        products = torch.stack([at(q, p + distance) @ at(k, p) for p in (0, 5, 100, 380)])
        torch.testing.assert_close(products, products[:1].expand(4), atol=2e-4, rtol=1e-4)
    assert not torch.isclose(at(q, 3) @ at(k, 2), at(q, 4) @ at(k, 2), atol=1e-3)


def test_stretched_rates_are_llamas():
    modeling = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig

    for kind, ours in [
        ({"rope_type": "linear", "factor": 4.0}, (4.0,)),
        (
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 512,
            },
            (8.0, 1.0, 4.0, 512),
        ),
    ]:
        config = LlamaConfig(hidden_size=128, num_attention_heads=2, max_position_embeddings=4096)
        config.rope_parameters = {"rope_theta": 10_000.0, **kind}
        theirs, scale = modeling.ROPE_INIT_FUNCTIONS[kind["rope_type"]](config, "cpu")
        assert scale == 1.0
        torch.testing.assert_close(rates(64, 10_000.0, *ours).float(), theirs.float(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rms_norm_is_its_equation(gradient, dtype):
    x = (5 * torch.randn(3, 4, 10)).to(dtype).requires_grad_(gradient)
    ours = rms_norm(x, 1e-3)
    wide = x.detach().double().requires_grad_()
    reference = wide / (wide.square().mean(-1, keepdim=True) + 1e-3).sqrt()
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, reference.to(dtype))
    if gradient:
        weights = torch.randn(3, 4, 10).to(dtype)
        (ours * weights).sum().backward()
        (reference * weights).sum().backward()
        close = {"atol": 0.03, "rtol": 0.03} if dtype == torch.bfloat16 else {"atol": 1e-6, "rtol": 1e-5}
        torch.testing.assert_close(x.grad, wide.grad.to(dtype), **close)


def test_rms_norm_of_nothing_has_a_gradient():
    zero = torch.zeros(2, 6, requires_grad=True)
    rms_norm(zero, 1e-6).sum().backward()
    assert zero.grad.isfinite().all()


def test_gains():
    norm, heads = RMSNorm(6, 1e-6, True), HeadNorm(3, 2, 6, 1e-6, True)
    x = torch.randn(2, 4, 5, 6)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(heads.weight)
    plain = rms_norm(x, 1e-6)
    torch.testing.assert_close(norm(x), plain * norm.weight)
    torch.testing.assert_close(heads(x)[:, :, :3], plain[:, :, :3] * heads.weight[0])
    torch.testing.assert_close(heads(x)[:, :, 3:], plain[:, :, 3:] * heads.weight[1])
    assert not list(RMSNorm(6, 1e-6, False).parameters()) + list(HeadNorm(3, 2, 6, 1e-6, False).parameters())


def test_tables_stay_exact():
    reference = rotary(16, 8, 100.0)
    network = nn.Sequential(nn.Linear(2, 2), Table(rotary, 16, 8, 100.0)).to(torch.bfloat16)
    assert network[0].weight.dtype == torch.bfloat16
    assert torch.equal(network[1].table, reference) and torch.equal(
        copy.deepcopy(network)[1].table, reference
    )
    assert list(network.state_dict()) == ["0.weight", "0.bias"]
    with torch.device("meta"):
        empty = nn.Sequential(nn.Linear(2, 2), Table(rotary, 16, 8, 100.0))
    assert torch.equal(empty[1].table, reference)  # ready for load_state_dict(…, assign=True)
    assert torch.equal(empty.to_empty(device="cpu")[1].table, reference)
    assert network.to("meta")[1].table.is_meta


@pytest.mark.parametrize("window", [None, 1, 3])
def test_masks_by_definition(window):
    queries, keys = torch.arange(4, 9), torch.arange(11)
    same = torch.rand(2, 5, 11) < 0.5
    plain, narrowed = causal_mask(queries, keys, window), causal_mask(queries, keys, window, same)
    assert plain.shape == (1, 1, 5, 11) and narrowed.shape == (2, 1, 5, 11)
    for i, query in enumerate(range(4, 9)):
        for key in range(11):
            seen = key <= query and (window is None or query - key < window)
            assert plain[0, 0, i, key].item() == seen
            assert narrowed[1, 0, i, key].item() == (seen and same[1, i, key].item())


def test_positions_start_with_each_segment():
    segments = torch.tensor([[4, 4, 4, 9, 9, 1], [0, 1, 0, 0, 0, 0], [7, 7, 7, 7, 7, 7]])
    expected = [[0, 1, 2, 0, 1, 0], [0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]
    assert since_start(segments).tolist() == expected
    mask = torch.tensor([[False, False, True, True], [True, True, True, False]])
    assert full_context(4, mask.device, mask).positions.tolist() == [[0, 1, 0, 1], [0, 1, 2, 0]]


def test_plain_rows_need_no_mask():
    def context(t, *settings):
        return causal_context(t, torch.device("cpu"), *settings)

    assert context(6).causal and context(6).mask is None
    assert context(6, 6).causal and not context(6, 5).causal
    cache = empty(rows=2)
    assert context(6, None, cache).causal
    cache.advance(6)
    single = context(1, None, cache)
    assert single.mask is None and not single.causal and single.positions.tolist() == [6]


def empty(rows=3, length=10, **settings):
    return Cache((2, rows, 2, length, 4), dtype=torch.float32, device="cpu", **settings)


@pytest.mark.parametrize("static", [False, True])
def test_cache_gives_back_what_was_written(static):
    cache = empty(static=static)
    written = []
    for t in (4, 1, 2):
        cache.upcoming(t)
        for layer in range(2):
            k, v = torch.randn(3, 2, t, 4), torch.randn(3, 2, t, 4)
            keys, values = cache.write(layer, k, v)
            end = cache.length + t
            assert torch.equal(keys[:, :, end - t : end], k) and torch.equal(values[:, :, end - t : end], v)
            assert keys.shape[2] == (10 if static else end)
        written.append(k)
        cache.advance(t)
    assert cache.length == 7 and torch.equal(cache.keys[1, :, :, :7], torch.cat(written, 2))
    before = cache.keys.clone()
    cache.reorder(torch.tensor([2, 0, 0]))
    assert torch.equal(cache.keys[:, :, :, :7], before[:, [2, 0, 0], :, :7])
    cache.reorder(torch.tensor([0, 1, 1, 2, 2]))
    assert torch.equal(cache.keys[:, :, :, :7], before[:, [2, 0, 0, 0, 0], :, :7])
    cache.reset()
    assert cache.length == 0 and cache.upcoming(3).tolist() == [0, 1, 2]


def test_cache_reorders_starts_and_memory():
    cache = empty(start=torch.tensor([0, 2, 1]))
    k, v, mask = torch.randn(3, 2, 5, 4), torch.randn(3, 2, 5, 4), torch.rand(3, 1, 1, 5) < 0.5
    cache.memory, cache.memory_mask = [(k, v), (v, k)], mask
    cache.reorder(torch.tensor([0, 0, 1, 1, 2, 2]))
    wide = cache.memory
    assert cache.start.tolist() == [0, 0, 2, 2, 1, 1] and torch.equal(wide[0][0], k.repeat_interleave(2, 0))
    cache.reorder(
        torch.tensor([1, 1, 3, 2, 4, 4])
    )  # among the beams of one source: the memory stays as it is
    assert cache.memory is wide and cache.start.tolist() == [0, 0, 2, 2, 1, 1]
    cache.reorder(torch.tensor([4, 2]))
    assert torch.equal(cache.memory[1][1], k[[2, 1]]) and torch.equal(cache.memory_mask, mask[[2, 1]])
    assert cache.start.tolist() == [1, 2]


def test_full_cache_refuses():
    cache = empty(length=4)
    cache.advance(3)
    with pytest.raises(UsageError, match="holds 4 tokens and 5 are needed"):
        cache.upcoming(2)
    assert empty(start=torch.zeros(3, dtype=torch.int64)).start is None


@pytest.mark.parametrize("norm", [False, True])
def test_self_attention_from_its_rows(norm):
    """The rows of ``qkv`` are the heads of queries, of keys, of values: sliced by hand and attended in float64."""
    heads = HeadNorm(4, 2, 6, 1e-6, True) if norm else None
    layer = SelfAttention(10, 4, 2, 6, qkv_bias=True, bias=False, norm=heads, dropout=0.0).eval()
    x = torch.randn(2, 5, 10)
    if heads is not None:
        nn.init.uniform_(heads.weight, 0.5, 2)
    w, b = layer.qkv.weight, layer.qkv.bias
    with torch.no_grad():
        q, k, v = (
            (x @ w[rows].T + b[rows]).view(2, 5, -1, 6).transpose(1, 2)
            for rows in (slice(0, 24), slice(24, 36), slice(36, 48))
        )
        if heads is not None:
            q, k = rms_norm(q, 1e-6) * heads.weight[0], rms_norm(k, 1e-6) * heads.weight[1]
        reference = (
            by_query(q, k, v, torch.ones(2, 5, 5, dtype=torch.bool).tril()) @ layer.output.weight.T.double()
        )
        ours = layer(x, AttentionContext(torch.arange(5), causal=True), 0)
    assert layer.output.bias is None
    torch.testing.assert_close(ours.double(), reference, atol=2e-6, rtol=1e-5)


def test_cross_attention_from_its_rows():
    layer = CrossAttention(10, 4, 2, 6, qkv_bias=False, bias=False, dropout=0.0).eval()
    x, memory = torch.randn(2, 3, 10), torch.randn(2, 7, 10)
    mask = torch.rand(2, 7) < 0.6
    mask[:, 0] = True
    w = layer.kv.weight
    with torch.no_grad():
        q = (x @ layer.query.weight.T).view(2, 3, 4, 6).transpose(1, 2)
        k, v = ((memory @ half.T).view(2, 7, 2, 6).transpose(1, 2) for half in (w[:12], w[12:]))
        reference = by_query(q, k, v, mask[:, None].expand(2, 3, 7)) @ layer.output.weight.T.double()
        ours = layer(x, AttentionContext(torch.arange(3), memory=memory, memory_mask=mask[:, None, None]), 0)
    torch.testing.assert_close(ours.double(), reference, atol=2e-6, rtol=1e-5)
