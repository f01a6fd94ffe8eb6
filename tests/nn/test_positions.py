"""Positions on a grid: each axis turns its own pairs, and has its own vectors."""

import math
from dataclasses import replace

import pytest
import torch
from by_hand import TINY, built, close
from loops import angles, causal, stacked, turned

from luoxia.core.errors import UsageError
from luoxia.nn.embedding import Embedding
from luoxia.nn.positions import Rotary, pairs_per_axis, raster, rotate
from luoxia.nn.transformer import Decoder, Encoder

GRIDS = {2: (5, 7), 3: (4, 5, 7)}
SHARES = {(2, 12): [3, 3], (3, 12): [2, 2, 2], (2, 10): [2, 3], (3, 8): [2, 1, 1]}


def some(grid, *size):
    """Random coordinates (*size, axes)."""
    return torch.stack([torch.randint(length, size) for length in grid], -1)


def test_rasters_run_along_the_last_axis():
    assert raster((2, 3)).tolist() == [[r, c] for r in range(2) for c in range(3)]
    assert raster((2, 2, 2))[5].tolist() == [1, 0, 1] and raster((4,)).tolist() == [[0], [1], [2], [3]]


def test_every_axis_has_pairs():
    for axes in range(1, 5):
        for pairs in range(axes, 40):
            shares = pairs_per_axis(2 * pairs, axes)
            assert sum(shares) == pairs and len(shares) == axes and min(shares) >= 1
            assert len(set(shares[1:])) <= 1 and max(shares) - min(shares) <= axes - 1


@pytest.mark.parametrize(("axes", "width"), SHARES)
def test_axial_rotation_is_one_rotation_for_each_axis(axes, width):
    assert pairs_per_axis(width, axes) == SHARES[axes, width]
    table, positions = Rotary(0, GRIDS[axes], width, 500.0), some(GRIDS[axes], 2, 6)
    x = torch.randn(2, 6, 3, width, dtype=torch.float64)
    ours = rotate(x, table(positions))
    for row, t, head in [(0, 0, 0), (1, 5, 2), (1, 3, 1)]:
        turns = angles(positions[row, t].tolist(), SHARES[axes, width], 500.0)
        torch.testing.assert_close(ours[row, t, head], turned(x[row, t, head], turns), atol=1e-6, rtol=1e-6)


def test_one_axis_is_a_row():
    row, grid = Rotary(9, None, 8, 10_000.0), Rotary(0, (9,), 8, 10_000.0)
    for ours, reference in zip(grid(torch.arange(9)[:, None]), row(torch.arange(9)), strict=True):
        assert torch.equal(ours, reference)


@pytest.mark.parametrize("axes", [2, 3])
def test_products_know_only_the_distance_along_each_axis(axes):
    size, width = 40, 24
    table = Rotary(0, (size,) * axes, width, 10_000.0)
    q, k = torch.randn(2, 1, 1, 1, width, dtype=torch.float64)

    def product(at, distance):
        here = rotate(q, table(torch.tensor([[a + d for a, d in zip(at, distance, strict=True)]])))
        return (here * rotate(k, table(torch.tensor([at])))).sum()

    for distance in ((0, 0, 0), (3, 0, 1), (1, 7, 2)):
        products = [product(at[:axes], distance[:axes]) for at in ((0, 0, 0), (5, 11, 2), (30, 1, 25))]
        torch.testing.assert_close(torch.stack(products), products[0].expand(3), atol=1e-5, rtol=1e-5)
    swapped = [product((4,) * axes, (1, 2, 2)[:axes]), product((4,) * axes, (2, 1, 2)[:axes])]
    assert (swapped[0] - swapped[1]).abs() > 1e-3


@pytest.mark.parametrize("axes", [2, 3])
def test_learned_vectors_of_the_axes_are_added(axes):
    config = replace(TINY, positions="learned", grid=GRIDS[axes])
    front, ids, positions = Embedding(config), torch.randint(29, (2, 6)), some(GRIDS[axes], 2, 6)
    with torch.no_grad():
        ours = front(ids, positions)
    first = [sum(GRIDS[axes][:axis]) for axis in range(axes)]
    for row, t in [(0, 0), (1, 5)]:
        places = [start + int(c) for start, c in zip(first, positions[row, t], strict=True)]
        parts = [front.tokens.weight[ids[row, t]], *(front.positions.weight[place] for place in places)]
        torch.testing.assert_close(ours[row, t], sum(parts))


@pytest.mark.parametrize("order", ["raster", "random"])
@pytest.mark.parametrize("axes", [2, 3])
def test_a_decoder_on_a_grid_is_its_equations(axes, order):
    """Each row has an order of its own; what a position may see follows the order, where it is the grid."""
    grid = GRIDS[axes]
    network = built(Decoder, replace(TINY, grid=grid, context=64, head_width=12)).double()
    ids, places = torch.randint(29, (2, 7)), raster(grid)[:7].expand(2, -1, -1)
    if order == "random":
        places = torch.stack([raster(grid)[torch.randperm(math.prod(grid))[:7]] for _ in range(2)])
    with torch.no_grad():
        ours = network.hidden(ids, positions=places)
        for row in range(2):
            turns = [angles(place, SHARES[axes, 12]) for place in places[row].tolist()]
            close(ours[row], stacked(network, network.embedding(ids, places)[row], causal(0, 7), turns))


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_an_encoder_knows_places_not_the_order(positions):
    network = built(Encoder, replace(TINY, grid=(5, 7), positions=positions)).double()
    ids, places, order = torch.randint(29, (1, 9)), some((5, 7), 9), torch.randperm(9)
    with torch.no_grad():
        straight, shuffled = network(ids, positions=places), network(ids[:, order], positions=places[order])
        close(shuffled, straight[:, order], 1e-12)
        assert not torch.allclose(network(ids, positions=places[order]), straight)


def test_positions_of_a_row_can_be_given():
    network = built(Decoder, TINY).double()
    ids, places = torch.randint(29, (2, 6)), torch.randint(30, (2, 6))
    with torch.no_grad():
        assert torch.equal(network(ids, positions=torch.arange(6)), network(ids))
        ours = network.hidden(ids, positions=places)
        turns = [angles((place,), (3,)) for place in places[1].tolist()]
        close(ours[1], stacked(network, network.embedding(ids, places)[1], causal(0, 6), turns))


@pytest.mark.parametrize("static", [False, True])
def test_cached_steps_in_any_order(static):
    network = built(Decoder, replace(TINY, grid=(4, 4), kv_heads=2)).double()
    ids, places = (
        torch.randint(29, (2, 9)),
        torch.stack([raster((4, 4))[torch.randperm(16)[:9]] for _ in range(2)]),
    )
    with torch.no_grad():
        cache, parts = network.make_cache(2, 9, static=static), [4, 1, 3, 1]
        steps = zip(ids.split(parts, 1), places.split(parts, 1), strict=True)
        cached = [network(token, cache=cache, positions=place) for token, place in steps]
        close(torch.cat(cached, 1), network(ids, positions=places), 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": (4, 4), "positions": "sinusoidal"}, "lie on one axis"),
        ({"grid": (4, 4, 4), "head_width": 4}, "head width of 4 has no pair for each of 3 axes"),
    ],
)
def test_impossible_grids_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(TINY, **change)


def test_grids_are_read_from_json_and_need_positions():
    config = replace(TINY, grid=[4, 4])
    assert config.grid == (4, 4) and hash(config)
    with pytest.raises(UsageError, match=r"positions= of the shape \(length, 2\)"):
        Decoder(config)(torch.zeros(1, 3, dtype=torch.int64))
