"""Tiny networks with weights that matter, and a decoder written out in float64 to hold them against."""

import math

import torch
from torch import nn

from luoxia.nn.transformer import TransformerConfig

ROUNDING = 2e-6  # in float32, of the largest value: matrices of other shapes are summed in another order
TINY = TransformerConfig(29, width=24, layers=2, heads=4, hidden=40, context=32)
STYLES = {
    "gpt2": {"norm": "layer", "positions": "learned", "activation": "gelu_tanh", "bias": True},
    "modern": {
        "qk_norm": True,
        "norm_affine": False,
        "activation": "relu2",
        "kv_heads": 2,
        "softcap": 5.0,
        "tied": False,
    },
    "llama": {"activation": "swiglu", "kv_heads": 1, "head_width": 10, "qkv_bias": True, "tied": False},
    "mistral": {"activation": "swiglu", "kv_heads": 2, "window": 4},
    "vaswani": {
        "norm": "layer",
        "norm_first": False,
        "positions": "sinusoidal",
        "activation": "relu",
        "bias": True,
    },
}


def built(kind, shape):
    """A network whose every weight, gains and biases too, is random and matters."""
    network = kind(shape).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.3)
    return network


def close(ours, reference, bound=ROUNDING):
    assert ours.shape == reference.shape and ours.isfinite().all()
    assert (ours.double() - reference.double()).abs().max() <= bound * reference.double().abs().max()


def words(*size):
    return torch.randint(TINY.vocabulary, size)


# A decoder as its equations have it, in float64, one token and one head at a time, knowing only the weights.


def normed(x, state, name, shape):
    if shape.norm == "rms":
        x = x / (x.square().mean() + shape.norm_eps).sqrt()
    else:
        x = (x - x.mean()) / (x.var(unbiased=False) + shape.norm_eps).sqrt()
    return x * state.get(f"{name}.weight", 1.0) + state.get(f"{name}.bias", 0.0)


def linear(x, state, name):
    return state[f"{name}.weight"] @ x + state.get(f"{name}.bias", 0.0)


def turn(x, position, shape):
    if shape.positions != "rotary":
        return x
    half = shape.d_k // 2
    angle = [position * shape.rope_theta ** (-i / half) for i in range(half)]
    out = x.clone()
    for i, a in enumerate(angle):
        out[i] = x[i] * math.cos(a) - x[i + half] * math.sin(a)
        out[i + half] = x[i + half] * math.cos(a) + x[i] * math.sin(a)
    return out


def fed(x, state, name, shape):
    h = linear(x, state, f"{name}.up")
    if shape.activation == "swiglu":
        gate, up = h[: shape.d_ff], h[shape.d_ff :]
        h = gate / (1 + (-gate).exp()) * up
    elif shape.activation == "gelu_tanh":
        h = h / 2 * (1 + (math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)).tanh())
    elif shape.activation == "gelu":
        h = h / 2 * (1 + torch.erf(h / math.sqrt(2)))
    else:
        h = h.clamp(min=0) ** (2 if shape.activation == "relu2" else 1)
    return linear(h, state, f"{name}.down")


def attended(rows, state, name, shape):
    heads, groups, d = shape.heads, shape.groups, shape.d_k
    q, k, v = [], [], []
    for position, x in enumerate(rows):
        parts = linear(x, state, f"{name}.qkv").view(-1, d)
        for head in range(heads + groups if shape.qk_norm else 0):
            gains = state.get(f"{name}.norm.weight", torch.ones(2, d))[int(head >= heads)]
            parts[head] = parts[head] / (parts[head].square().mean() + shape.norm_eps).sqrt() * gains
        q.append([turn(x, position, shape) for x in parts[:heads]])
        k.append([turn(x, position, shape) for x in parts[heads : heads + groups]])
        v.append(parts[heads + groups :])
    out = []
    for i in range(len(rows)):
        first = 0 if shape.window is None else max(0, i - shape.window + 1)
        mixed = []
        for head in range(heads):
            g = head * groups // heads
            weights = (
                torch.stack([q[i][head] @ k[j][g] for j in range(first, i + 1)]).div(math.sqrt(d)).softmax(0)
            )
            mixed.append(sum(w * v[j][g] for w, j in zip(weights, range(first, i + 1), strict=True)))
        out.append(linear(torch.cat(mixed), state, f"{name}.output"))
    return out


def embedded(token, position, state, shape):
    x = state["embedding.tokens.weight"][token] * (math.sqrt(shape.width) if shape.embedding_scale else 1)
    if shape.positions == "learned":
        x = x + state["embedding.positions.weight"][position]
    if shape.positions == "sinusoidal":
        waves = [position / 10_000 ** ((c - c % 2) / shape.width) for c in range(shape.width)]
        x = x + torch.tensor([math.cos(a) if c % 2 else math.sin(a) for c, a in enumerate(waves)])
    return normed(x, state, "embedding.norm", shape) if shape.embedding_norm else x


def reference_logits(network, ids):
    shape = network.config
    state = {name: weight.detach().double() for name, weight in network.state_dict().items()}
    rows = [embedded(token, position, state, shape) for position, token in enumerate(ids.tolist())]
    for layer in range(shape.layers):
        name = f"stack.layers.{layer}"
        for part in ("attention", "feed_forward"):
            before = [normed(x, state, f"{name}.{part}_norm", shape) if shape.norm_first else x for x in rows]
            if part == "attention":
                added = attended(before, state, f"{name}.attention", shape)
            else:
                added = [fed(x, state, f"{name}.feed_forward", shape) for x in before]
            rows = [x + y for x, y in zip(rows, added, strict=True)]
            if not shape.norm_first:
                rows = [normed(x, state, f"{name}.{part}_norm", shape) for x in rows]
    if shape.norm_first:
        rows = [normed(x, state, "stack.norm", shape) for x in rows]
    head = state["embedding.tokens.weight"] if shape.tied else state["output.weight"]
    logits = torch.stack([head @ x for x in rows])
    return shape.softcap * (logits / shape.softcap).tanh() if shape.softcap else logits
