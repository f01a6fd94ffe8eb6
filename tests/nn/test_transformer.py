"""The Transformer against torch's own and against a float64 one in loops; its weights, sizes and training."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from by_hand import STYLES, TINY, built, close, reference_logits, words
from torch import nn

from luoxia.core.errors import UsageError
from luoxia.nn.transformer import Decoder, Encoder, EncoderDecoder, TransformerConfig, vaswani


@pytest.mark.parametrize("style", STYLES)
def test_decoder_is_its_equations(style):
    network = built(Decoder, replace(TINY, **STYLES[style]))
    ids = words(2, 7)
    with torch.no_grad():
        ours = network(ids)
    close(ours, torch.stack([reference_logits(network, row) for row in ids]))


CHANGES = [
    {"kv_heads": 2},
    {"norm": "layer"},
    {"norm": "layer", "bias": True},
    {"norm_first": False},
    {"norm_affine": False},
    {"norm_eps": 0.1},
    {"positions": "none"},
    {"positions": "sinusoidal"},
    {"positions": "learned"},
    {"rope_theta": 50.0},
    {"activation": "gelu_tanh"},
    {"activation": "relu"},
    {"activation": "relu2"},
    {"activation": "swiglu"},
    {"qk_norm": True},
    {"bias": True},
    {"qkv_bias": True},
    {"head_width": 8},
    {"window": 3},
    {"tied": False},
    {"softcap": 2.0},
    {"embedding_scale": True},
    {"embedding_norm": True},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: " ".join(f"{k}={v}" for k, v in c.items()))
def test_each_option_changes_what_it_names(change):
    """The changed network still is its equations, and differs from the unchanged one under the same weights."""
    network, plain = built(Decoder, replace(TINY, **change)), built(Decoder, TINY)
    state = network.state_dict()
    fits = {name: w for name, w in state.items() if name in plain.state_dict()}
    shared = {name: w for name, w in fits.items() if w.shape == plain.state_dict()[name].shape}
    plain.load_state_dict(shared, strict=False)
    ids = words(6)
    with torch.no_grad():
        ours, without = network(ids[None])[0], plain(ids[None])[0]
    close(ours, reference_logits(network, ids))
    assert (ours - without).abs().max() > 1e-4


def test_shapes_of_real_models():
    """Qwen2 has biases for queries, keys and values alone; Qwen3 gains of heads, wider than width / heads."""
    qwen2 = Decoder(replace(TINY, qkv_bias=True, activation="swiglu", kv_heads=2))
    biased = {name.split(".", 3)[-1] for name, _ in qwen2.named_parameters() if name.endswith("bias")}
    assert biased == {"attention.qkv.bias"}
    qwen3 = Decoder(replace(TINY, qk_norm=True, head_width=16, kv_heads=2, tied=True))
    block = qwen3.stack.layers[0].attention
    assert block.norm.weight.shape == (2, 16) and block.qkv.weight.shape == ((4 + 2 * 2) * 16, 24)
    assert block.output.weight.shape == (24, 64) and "output.weight" not in qwen3.state_dict()
    bert = built(
        Encoder,
        replace(TINY, **STYLES["vaswani"] | {"positions": "learned"}, embedding_norm=True, token_types=2),
    )
    ids, types = words(1, 6), torch.tensor([[0, 0, 0, 1, 1, 1]])
    with torch.no_grad():
        assert not torch.allclose(bert(ids, None, types), bert(ids))
        assert torch.equal(bert(ids, None, 0 * types), bert(ids))


@pytest.mark.parametrize(
    ("shape", "bias_too", "expected"),
    [
        (
            TransformerConfig(50_257, 768, 12, 12, norm="layer", positions="learned", bias=True),
            True,
            124_439_808,
        ),
        (
            TransformerConfig(32_000, 4096, 32, 32, hidden=11_008, activation="swiglu", tied=False),
            False,
            6_738_415_616,
        ),
    ],
    ids=["GPT-2 124M", "Llama 2 7B"],
)
def test_sizes_of_published_decoders(shape, bias_too, expected):
    with torch.device("meta"):
        network = Decoder(shape)
    assert sum(p.numel() for p in network.parameters()) == expected
    assert any(name.endswith("bias") for name, _ in network.named_parameters()) == bias_too


def test_size_of_the_papers_base_model():
    """About 65 million (table 3), by the formula: with biases everywhere but at the shared embedding."""
    with torch.device("meta"):
        network = EncoderDecoder(vaswani(37_000))
    d, inner = 512, 2048
    attention, feed_forward, norm = 4 * (d * d + d), 2 * d * inner + inner + d, 2 * d
    layers = 6 * (attention + feed_forward + 2 * norm) + 6 * (2 * attention + feed_forward + 3 * norm)
    count = sum(p.numel() for p in network.parameters())
    assert count == 37_000 * d + layers and 62e6 < count < 66e6


# Torch's own layers, with our weights in them.


def to_torch_attention(ours, theirs):
    theirs.in_proj_weight.copy_(ours.qkv.weight)
    theirs.in_proj_bias.copy_(ours.qkv.bias)
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def to_torch(stack, shape, decoder=False):
    kind = nn.TransformerDecoderLayer if decoder else nn.TransformerEncoderLayer
    layers = []
    for block in stack.layers:
        settings = {"activation": shape.activation, "batch_first": True, "norm_first": shape.norm_first}
        theirs = kind(
            shape.width, shape.heads, shape.d_ff, dropout=0.0, layer_norm_eps=shape.norm_eps, **settings
        )
        norms = [block.attention_norm, block.feed_forward_norm]
        with torch.no_grad():
            to_torch_attention(block.attention, theirs.self_attn)
            if decoder:
                norms.insert(1, block.cross_norm)
                cross = theirs.multihead_attn
                cross.in_proj_weight.copy_(torch.cat([block.cross.query.weight, block.cross.kv.weight]))
                cross.in_proj_bias.copy_(torch.cat([block.cross.query.bias, block.cross.kv.bias]))
                cross.out_proj.load_state_dict(block.cross.output.state_dict())
        theirs.linear1.load_state_dict(block.feed_forward.up.state_dict())
        theirs.linear2.load_state_dict(block.feed_forward.down.state_dict())
        for i, norm in enumerate(norms, 1):
            getattr(theirs, f"norm{i}").load_state_dict(norm.state_dict())
        layers.append(theirs.train())  # no dropout: train() only keeps torch off its other kernels
    return layers


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_whole_figure_against_torch(norm_first, activation):
    shape = vaswani(29, width=24, layers=2, heads=4, hidden=40, context=32)
    shape = replace(shape, norm_first=norm_first, activation=activation)
    network = built(EncoderDecoder, shape)
    source, target = words(3, 8), words(3, 5)
    mask = torch.arange(8) < torch.tensor([[8], [3], [5]])
    with torch.no_grad():
        memory = network.embedding(source, torch.arange(8))
        for layer in to_torch(network.encoder, shape):
            memory = layer(memory, src_key_padding_mask=~mask)
        memory = network.encoder.norm(memory)
        x = network.embedding(target, torch.arange(5))
        causal = nn.Transformer.generate_square_subsequent_mask(5)
        for layer in to_torch(network.decoder, shape, decoder=True):
            x = layer(x, memory, tgt_mask=causal, tgt_is_causal=True, memory_key_padding_mask=~mask)
        reference = F.linear(network.decoder.norm(x), network.embedding.tokens.weight)
        close(network(source, mask, target), reference)
        close(network.encode(source, mask)[mask], memory[mask])
        encoder = Encoder(shape).eval()
        encoder.load_state_dict(
            {
                n.replace("encoder.", "stack."): w
                for n, w in network.state_dict().items()
                if "decoder" not in n
            }
        )
        assert torch.equal(encoder(source, mask), network.encode(source, mask))


# Training.


@pytest.mark.parametrize("style", STYLES)
def test_gradient_reaches_every_weight(style):
    shape = replace(TINY, **STYLES[style], dropout=0.1, attention_dropout=0.1)
    for network in (built(Decoder, shape).train(), built(EncoderDecoder, shape).train()):
        ids = words(3, 8)
        logits = network(ids) if isinstance(network, Decoder) else network(ids, None, ids)
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_checkpointing_gives_the_same_gradient():
    network = built(Decoder, replace(TINY, **STYLES["modern"], dropout=0.2)).train()
    ids, segments = words(3, 8), torch.arange(8).div(3, rounding_mode="floor").expand(3, 8)

    def trained():
        """The gradients, and how many numbers were kept for them."""
        torch.manual_seed(1)
        network.zero_grad()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
            loss = network(ids, segments=segments).square().mean()
        loss.backward()
        return [p.grad.clone() for p in network.parameters()], sum(kept)

    gradients, saved = zip(*(trained() for network.checkpointing in (False, True)), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert saved[1] < saved[0] / 2


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_dropout_is_for_training_only(probability):
    network = built(Decoder, replace(TINY, dropout=probability))
    ids = words(2, 6)
    with torch.no_grad():
        assert torch.equal(network(ids), network(ids))
        network.train()
        assert torch.equal(network(ids), network(ids)) == (probability == 0)


def test_initial_weights():
    shape = TransformerConfig(500, width=128, layers=8, heads=4, tied=False)
    gpt2, zero = Decoder(shape), Decoder(replace(shape, init="zero"))
    xavier = EncoderDecoder(vaswani(500, width=128, heads=4))
    block = gpt2.stack.layers[3]
    assert block.attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert gpt2.output.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert gpt2.embedding.tokens.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.feed_forward.down.weight.std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.05)
    assert block.attention.output.weight.std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.05)
    block = zero.stack.layers[3]
    assert block.feed_forward.up.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    assert not block.feed_forward.down.weight.any() and not block.attention.output.weight.any()
    ids = torch.randint(500, (2, 9))
    assert not zero(ids).any()  # so that the first loss is log(vocabulary)
    assert not Decoder(replace(shape, init="zero", tied=True)).stack.layers[0].feed_forward.down.weight.any()
    x = xavier.embedding.tokens(ids) * xavier.embedding.scale
    assert x.std().item() == pytest.approx(1.0, rel=0.1)
    up = xavier.decoder.layers[0].feed_forward.up
    assert up.weight.abs().max().item() == pytest.approx(math.sqrt(6 / sum(up.weight.shape)), rel=0.01)
    assert not up.bias.any()


@pytest.mark.parametrize("style", ["gpt2", "modern"])
def test_decoder_learns_to_copy(style):
    """Six random letters, a bar, the same six: all of the copy is right in ≥ 90% of new rows (by chance: 2e-9)."""
    torch.manual_seed(0)
    shape = replace(TINY, width=32, hidden=64, **STYLES[style], init="gpt2" if style == "gpt2" else "zero")
    network = Decoder(shape)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3 if style == "gpt2" else 5e-3)

    def batch(n):
        letters = torch.randint(1, 29, (n, 6))
        return torch.cat([letters, torch.zeros(n, 1, dtype=torch.int64), letters], 1)

    for _ in range(150):
        ids = batch(32)
        loss = F.cross_entropy(network(ids)[:, 6:-1].flatten(0, 1), ids[:, 7:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ids = batch(200)
    with torch.no_grad():
        right = (network(ids)[:, 6:-1].argmax(-1) == ids[:, 7:]).all(1).float().mean()
    assert right >= 0.9


# What cannot be built or run.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, "width=24 is not a multiple of heads=5"),
        ({"kv_heads": 3}, "heads=4 is not a multiple of kv_heads=3"),
        ({"head_width": 7}, "even head width, not 7"),
    ],
)
def test_impossible_shapes_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(TINY, **change)


def test_rows_beyond_the_context_are_refused():
    message = "33 tokens in a row, and this model's context holds 32"
    network = Decoder(TINY)
    with pytest.raises(UsageError, match=message):
        network(words(1, 33))
    with pytest.raises(UsageError, match=message):
        network.make_cache(1, 33)
    for call in (lambda n: n.encode(words(1, 33)), lambda n: n.decode(words(1, 33), None)):
        with pytest.raises(UsageError, match=message):
            call(EncoderDecoder(TINY))
    with pytest.raises(UsageError, match=message):
        Encoder(TINY)(words(1, 33))
