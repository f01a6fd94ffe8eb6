"""The Transformer over a grid, against its equations in float64, one place and one head at a time."""

import math

import pytest
import torch
from by_hand import close, fed, linear, normed

from luoxia.nn.conditioning import Condition
from luoxia.nn.grid_decoder import GridDecoder
from luoxia.nn.positions import pairs_per_axis


def made(grid=(3, 4), vocabulary=7, codebooks=2, prefix=5, **sizes):
    torch.manual_seed(0)
    decoder = GridDecoder(
        grid, vocabulary, codebooks, prefix=prefix, **{"width": 24, "layers": 2, "heads": 2, **sizes}
    ).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return decoder


def request(decoder, n=2, prefix=3):
    torch.manual_seed(1)
    order = torch.rand(n, decoder.places).argsort(1)
    tokens = torch.randint(decoder.vocabulary, (n, decoder.places, decoder.codebooks))
    return tokens, order, Condition(torch.randn(n, prefix, decoder.config.width)) if prefix else None


def turned(x, coordinates):
    """Each axis turns pairs of its own: (i, i + half) as a complex number."""
    half, first, out = len(x) // 2, 0, x.clone()
    for coordinate, share in zip(coordinates, pairs_per_axis(len(x), len(coordinates)), strict=True):
        for i in range(share):
            angle = coordinate * 10_000.0 ** (-i / share)
            z = complex(x[first + i], x[first + i + half]) * complex(math.cos(angle), math.sin(angle))
            out[first + i], out[first + i + half] = z.real, z.imag
        first += share
    return out


def reference(decoder, tokens, order, prefix):
    """Logits (t, codebooks, vocabulary) of one row."""
    state = {name: value.double() for name, value in decoder.state_dict().items()}
    columns = decoder.grid[1]
    config, before = decoder.config, 0 if prefix is None else len(prefix)
    places = [(0, decoder.prefix - before + j) for j in range(before)]
    own = [*places, (0, decoder.prefix), *[(1 + p // columns, p % columns) for p in order.tolist()[:-1]]]
    target = [*places, *[(1 + p // columns, p % columns) for p in order.tolist()]]
    books = state["tokens.weight"].view(decoder.codebooks, decoder.vocabulary, -1)
    content = [
        state["start"],
        *[sum(book[i] for book, i in zip(books, row, strict=True)) for row in tokens[:-1]],
    ]
    x = [] if prefix is None else list(prefix.double())
    x += [c + state["targets.weight"][p] for c, p in zip(content, order, strict=True)]
    state = {name.removeprefix("decoder."): value for name, value in state.items()}
    for layer in range(config.layers):
        name = f"stack.layers.{layer}"
        inside = [normed(y, state, f"{name}.attention_norm", config) for y in x]
        parts = [linear(y, state, f"{name}.attention.qkv").view(3, config.heads, -1) for y in inside]
        for i in range(len(x)):
            seen = range(max(i + 1, before))
            mixed = []
            for h in range(config.heads):
                q = turned(normed(parts[i][0][h], {}, "", config), target[i])
                keys = [turned(normed(parts[j][1][h], {}, "", config), own[j]) for j in seen]
                weights = torch.stack([q @ k for k in keys]).div(math.sqrt(len(q))).softmax(0)
                mixed.append(sum(w * parts[j][2][h] for w, j in zip(weights, seen, strict=True)))
            x[i] = x[i] + linear(torch.cat(mixed), state, f"{name}.attention.output")
        x = [
            y
            + fed(
                normed(y, state, f"{name}.feed_forward_norm", config), state, f"{name}.feed_forward", config
            )
            for y in x
        ]
    x = [normed(y, state, "stack.norm", config) for y in x[before:]]
    return torch.stack([linear(y, state, "output").view(decoder.codebooks, -1) for y in x])


@pytest.mark.parametrize("before", [0, 3])
def test_a_random_order_and_a_raster_against_a_loop_in_float64(before):
    decoder = made()
    tokens, order, prefix = request(decoder, prefix=before)
    order[1] = torch.arange(decoder.places)
    logits = decoder(tokens, order, prefix)
    for row in range(2):
        vectors = None if prefix is None else prefix.vectors[row]
        close(logits[row], reference(decoder, tokens[row], order[row], vectors), 1e-5)


@pytest.mark.parametrize("grid", [(12,), (2, 3, 2)])
def test_any_number_of_axes(grid):
    decoder = made(grid)
    tokens, order, prefix = request(decoder)
    assert decoder(tokens, order, prefix).shape == (2, 12, 2, 7)
    assert len({tuple(c) for c in decoder.coordinates.tolist()}) == decoder.prefix + 1 + 12


def test_a_token_is_predicted_from_those_before_it_alone():
    decoder = made()
    tokens, order, prefix = request(decoder)
    changed = tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % decoder.vocabulary
    before, after = decoder(tokens, order, prefix), decoder(changed, order, prefix)
    assert torch.equal(before[:, :6], after[:, :6]) and not torch.equal(before[:, 6], after[:, 6])


def test_a_token_is_predicted_for_the_place_that_is_asked_for():
    decoder = made()
    tokens, order, prefix = request(decoder)
    exchanged = order[:, [*range(6), 7, 6, *range(8, 12)]]
    before, after = decoder(tokens, order, prefix), decoder(tokens, exchanged, prefix)
    assert torch.equal(before[:, :6], after[:, :6]) and not torch.allclose(before[:, 6], after[:, 6])


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("known", [0, 5])
def test_cached_steps_give_the_logits_of_one_pass(padded, known):
    decoder = made()
    tokens, order, prefix = request(decoder)
    if padded:
        prefix = Condition(prefix.vectors, torch.tensor([[True, False, True], [True, True, True]]))
    whole = decoder(tokens, order, prefix)
    cache = decoder.begin(2, prefix)
    own = torch.cat([order.new_full((2, 1), -1), order[:, :known]], 1)
    steps = [decoder.step(tokens[:, :known], own, order[:, : known + 1], cache=cache)]
    for i in range(known, decoder.places - 1):
        steps.append(
            decoder.step(
                tokens[:, i : i + 1], order[:, i : i + 1], order[:, i + 1 : i + 2], cache=cache, last=True
            )
        )
    close(torch.cat(steps, 1), whole, 1e-5)


def test_padding_of_a_prefix_changes_nothing():
    decoder = made()
    tokens, order, prefix = request(decoder)
    noise = torch.cat([torch.randn(2, 2, 24), prefix.vectors], 1)
    mask = torch.tensor([[False, False, True, True, True]] * 2)
    close(decoder(tokens, order, Condition(noise, mask)), decoder(tokens, order, prefix), 1e-5)


def test_gradients_reach_every_weight():
    decoder = made(dropout=0.1).train()
    tokens, order, prefix = request(decoder)
    decoder(tokens, order, prefix).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters())
