"""A stack as its equations have it, in float64, one position and one head at a time."""

import math

import torch
from by_hand import fed, linear, normed


def angles(coordinates, shares, theta=10_000.0):
    """The angle of each pair of a position: every axis has ``shares`` pairs of its own."""
    return [
        c * theta ** (-i / share) for c, share in zip(coordinates, shares, strict=True) for i in range(share)
    ]


def turned(x, turns):
    """A vector of 2k components, whose pairs (i, i + k) are turned as complex numbers."""
    half = len(x) // 2
    out = x.clone()
    for i, angle in enumerate(turns or []):
        z = complex(x[i], x[i + half]) * complex(math.cos(angle), math.sin(angle))
        out[i], out[i + half] = z.real, z.imag
    return out


def weighed(q, keys, values):
    weights = torch.stack([q @ k for k in keys]).div(math.sqrt(len(q))).softmax(0)
    return sum(w * v for w, v in zip(weights, values, strict=True))


def attended(rows, state, name, config, seen, turns):
    heads, groups, d = config.heads, config.groups, config.d_k
    parts = [linear(x, state, f"{name}.qkv").view(-1, d) for x in rows]
    out = []
    for i, own in enumerate(parts):
        mixed = []
        for head in range(heads):
            g = heads + head * groups // heads
            keys = [turned(parts[j][g], turns[j]) for j in seen[i]]
            mixed.append(weighed(turned(own[head], turns[i]), keys, [parts[j][g + groups] for j in seen[i]]))
        out.append(linear(torch.cat(mixed), state, f"{name}.output"))
    return out


def crossed(rows, state, name, config, memory):
    heads, groups, d = config.heads, config.groups, config.d_k
    pairs = [linear(y, state, f"{name}.kv").view(2 * groups, d) for y in memory]
    out = []
    for x in rows:
        queries = linear(x, state, f"{name}.query").view(heads, d)
        mixed = []
        for head in range(heads):
            g = head * groups // heads
            mixed.append(weighed(queries[head], [p[g] for p in pairs], [p[g + groups] for p in pairs]))
        out.append(linear(torch.cat(mixed), state, f"{name}.output"))
    return out


def stacked(network, rows, seen, turns=None, memory=None):
    """Embedded rows (t, width) → hidden ones: position i sees ``seen[i]`` and is turned by the angles ``turns[i]``."""
    config = network.config
    state = {name: weight.detach().double() for name, weight in network.state_dict().items()}
    rows, turns = list(rows.detach().double()), turns or [None] * len(rows)
    for layer in range(config.layers):
        name = f"stack.layers.{layer}"
        for part in (
            ("attention", "feed_forward") if memory is None else ("attention", "cross", "feed_forward")
        ):
            before = [normed(x, state, f"{name}.{part}_norm", config) for x in rows]
            if part == "attention":
                added = attended(before, state, f"{name}.attention", config, seen, turns)
            elif part == "cross":
                added = crossed(before, state, f"{name}.cross", config, memory.detach().double())
            else:
                added = [fed(x, state, f"{name}.feed_forward", config) for x in before]
            rows = [x + y for x, y in zip(rows, added, strict=True)]
    return torch.stack([normed(x, state, "stack.norm", config) for x in rows])


def causal(prefix, length, hidden=()):
    """What each of prefix + length positions sees: all of the prefix but ``hidden`` ones, and the past."""
    whole = range(prefix + length)
    return [[j for j in whole if (j < prefix or j <= i) and (j not in hidden or i in hidden)] for i in whole]
