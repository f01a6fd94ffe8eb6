"""ADA's transforms against numpy in float64, by undoing them, and through their first and second derivatives."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch.autograd import gradcheck, gradgradcheck

from luoxia.adversarial.ada.adaptive import GROUPS, Ada, groups_of
from luoxia.adversarial.ada.color import affine, recolor
from luoxia.adversarial.ada.corruption import POWER, bands, filter_bands, filtered
from luoxia.adversarial.ada.geometry import (
    SYM6,
    inverse,
    mirrored,
    moved,
    rotation,
    sampled_down,
    sampled_up,
    spread_in_order,
    warp,
)
from luoxia.core.values import Annealed
from luoxia.nn.torch_private import spread_samples
from luoxia.training.objective import Rng

GEN = torch.Generator().manual_seed(torch.seed() % 2**32)
P0, P1 = torch.tensor(0.0), torch.tensor(1.0)


def images(n=4, c=3, h=16, w=20, dtype=torch.float64):
    return torch.rand(n, c, h, w, generator=GEN, dtype=dtype) * 2 - 1


def smooth(n=2, c=3, h=48, w=40):
    """Images without what interpolation would lose."""
    x = torch.randn(n, c, h, w, generator=GEN, dtype=torch.float64).numpy()
    return torch.from_numpy(scipy.ndimage.gaussian_filter(x, (0, 0, 3, 3), mode="reflect") * 6)


def rng():
    return Rng(int(torch.randint(2**31, (), generator=GEN)))


def gap(a, b):
    return (a - b).abs().max().item()


# ---------------------------------------------------------------------- all of them


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 28, 28), (4, 13, 22), (2, 9, 8)])
def test_probability_0_is_the_identity(group, shape):
    x = images(3, *shape)
    assert gap(GROUPS[group](x, P0, rng()), x) < 1e-5  # the places are float32


def test_nothing_is_computed_while_p_is_0():
    x, ada = images(3, 3, 16, 16, torch.float32), Ada("bgcfnc", {})
    assert torch.equal(ada(x, rng()), x)
    ada.p.fill_(0.9)
    assert gap(ada(x, rng()), x) > 1e-3


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_group_changes_every_image_in_its_own_way(group, channels):
    x = images(1, channels, 16, 20).expand(64, -1, -1, -1)
    y = GROUPS[group](x, P1, rng())
    assert y.shape == x.shape and y.isfinite().all()
    changed = ((y - x).abs().amax((1, 2, 3)) > 1e-3).double().mean()
    assert changed > 0.9 and len(y.flatten(1).unique(dim=0)) > 16
    same = rng()
    again = [GROUPS[group](x, P1, Rng(same.generator.initial_seed())) for _ in range(2)]
    assert torch.equal(*again), "the random generator decides alone"


@pytest.mark.parametrize("group", ["blit", "geometry", "color", "cutout"])
def test_probability_is_that_of_each_transform(group):
    x = images(1, 3, 12, 12, dtype=torch.float32).expand(500, -1, -1, -1)
    for p in (0.1, 0.4):
        changed = (
            ((GROUPS[group](x, torch.tensor(p), rng()) - x).abs().amax((1, 2, 3)) > 1e-3)
            .float()
            .mean()
            .item()
        )
        turns = 1 - math.sqrt(1 - p)  # each of the two
        expected = {
            "blit": 1
            - (1 - p / 2) * (1 - p * 3 / 4) * (1 - p * 8 / 9),  # a third of shifts ≤ 1.5 is 0, each way
            "geometry": 1 - (1 - p) ** 3 * (1 - turns) ** 2,
            "color": 1 - (1 - p) ** 4 * (1 - p / 2),
            "cutout": p,
        }[group]
        assert changed == pytest.approx(expected, abs=0.09)


def test_pipes_name_groups():
    assert groups_of("bgc") == ("blit", "geometry", "color")
    assert groups_of("bgcfnc") == tuple(GROUPS) and groups_of("filter") == ("filter",)


@pytest.mark.parametrize("group", GROUPS)
def test_second_derivatives(group):
    x = images(1, 3, 4, 5).requires_grad_()
    seed = int(torch.randint(2**31, (), generator=GEN))

    def twisted(x):  # the transforms are linear: their second derivative alone would be nothing
        return GROUPS[group](x.sin(), P1, Rng(seed)).square()

    assert gradcheck(twisted, x, fast_mode=True) and gradgradcheck(twisted, x, fast_mode=True)


def test_penalties_reach_the_weights_through_augmentation():
    """R1 of a linear critic on shifted images: ∇ₓ (w · shift(x)) is w shifted back."""
    x = images(1, 1, 8, 8).expand(5, -1, -1, -1).clone().requires_grad_()
    weight = torch.randn(1, 1, 8, 8, generator=GEN, dtype=torch.float64, requires_grad=True)
    seed = 3
    y = Ada("bg", {}, fixed=0.7)(x, Rng(seed))
    (slopes,) = torch.autograd.grad((y * weight).sum(), x, create_graph=True)
    (found,) = torch.autograd.grad(slopes.square().sum(), weight)
    probes = torch.eye(64, dtype=torch.float64).view(64, 1, 1, 8, 8)
    matrix = torch.stack([Ada("bg", {}, fixed=0.7)(probe.expand(5, 1, 8, 8), Rng(seed)) for probe in probes])
    matrix = matrix.flatten(2).transpose(0, 1)  # (5, inputs, outputs)
    expected = 2 * sum(m.T @ m @ weight.flatten() for m in matrix)
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-6, atol=1e-8)


# ---------------------------------------------------------------------- pixels moved as they are


def numpy_blit(x, flip, turns, shift):
    y = np.flip(x, 2) if flip else x
    y = np.rot90(y, turns, (1, 2))
    padded = np.pad(y, [(0, 0), (40, 40), (40, 40)], "symmetric")
    down, right = shift
    return padded[:, 40 - down : 40 - down + x.shape[1], 40 - right : 40 - right + x.shape[2]]


@pytest.mark.parametrize("shape", [(3, 10, 10), (2, 9, 14)])
def test_pixels_move_as_in_numpy(shape):
    turns = torch.tensor([0.0, 1, 2, 3, 1, 2] if shape[1] == shape[2] else [0.0, 2, 2, 0, 2, 0])
    flip = torch.tensor([False, False, True, True, True, False])
    shift = torch.randint(-9, 10, (6, 2), generator=GEN).float()
    x = images(6, *shape)
    expected = [
        numpy_blit(image.numpy(), bool(f), int(t), (int(s[0]), int(s[1])))
        for image, f, t, s in zip(x, flip, turns, shift, strict=True)
    ]
    assert np.array_equal(moved(x, flip, turns, shift).numpy(), np.stack(expected)), "to the bit"


def test_mirrors_and_turns_undo_themselves():
    x, none = images(4, 3, 11, 11), torch.zeros(4, 2)
    flip, no = torch.ones(4).bool(), torch.zeros(4).bool()
    turns = torch.tensor([0.0, 1, 2, 3])
    assert torch.equal(moved(moved(x, flip, 0 * turns, none), flip, 0 * turns, none), x)
    assert torch.equal(moved(moved(x, no, turns, none), no, (4 - turns) % 4, none), x)


def test_mirrors_at_the_edges():
    line = np.pad(np.arange(4), 9, "symmetric")
    assert mirrored(torch.arange(-9, 13), 4).tolist() == line.tolist()


# ---------------------------------------------------------------------- the warp


def test_the_filter_is_orthonormal():
    h = np.array(SYM6)
    for m in range(6):
        assert (h[2 * m :] * h[: len(h) - 2 * m]).sum() == pytest.approx(float(m == 0), abs=1e-9)
    assert h.sum() == pytest.approx(math.sqrt(2), abs=1e-9)
    signs = (-1.0) ** np.arange(12)
    for power in range(6):  # six vanishing moments: what makes it Daubechies's
        assert (signs * h * np.arange(12) ** power).sum() == pytest.approx(0, abs=1e-4)


def test_sampling_up_and_down_is_the_identity():
    x = images(2, 3, 7, 10)
    assert gap(sampled_down(sampled_up(x)[:, :, 1:-2, 1:-2]), x) < 1e-9


def test_the_warp_puts_things_where_it_says():
    """Against scipy's splines, where neither meets the mirror."""
    x = smooth()
    matrix = rotation(torch.tensor([0.4, -1.1])) @ torch.tensor([[1.1, 0.1], [0.0, 0.9]])
    shift = torch.tensor([[2.3, -1.6], [0.4, 3.1]])
    found = warp(x, matrix, shift).numpy()
    middle = np.array([(48 - 1) / 2, (40 - 1) / 2])
    for image, m, s, y in zip(x.numpy(), matrix.double().numpy(), shift.double().numpy(), found, strict=True):
        back = np.linalg.inv(m)
        offset = middle - back @ (middle + s)
        for channel, own in zip(image, y, strict=True):
            expected = scipy.ndimage.affine_transform(channel, back, offset, order=5, mode="reflect")
            error = np.abs(expected - own)[12:-12, 10:-10]
            assert error.max() < 0.02 * channel.std(), "and 2 % is what linear interpolation loses"


@pytest.mark.parametrize("size", [(2, 3, 5, 6), (1, 1, 8, 8), (2, 2, 1, 3)])
def test_values_are_spread_in_order_as_by_the_kernel(size):
    y = torch.randn(size[0], size[1], 7, 9, generator=GEN, dtype=torch.float64)
    places = (
        torch.rand(size[0], 7, 9, 2, generator=GEN, dtype=torch.float64) * 2.6 - 1.3
    )  # beyond the border too
    places[0, 0, :2] = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    spread = spread_in_order(y, places, torch.Size(size))
    torch.testing.assert_close(spread, spread_samples(y, places, torch.Size(size)))


def test_inverses():
    matrix = torch.randn(5, 2, 2, generator=GEN, dtype=torch.float64)
    torch.testing.assert_close(inverse(matrix), torch.linalg.inv(matrix))


def test_a_turn_there_and_back():
    x = smooth(3)
    angle = torch.tensor([0.3, -0.8, 2.0])
    none = torch.zeros(3, 2)
    back = warp(warp(x, rotation(angle), none), rotation(-angle), none)
    center = (slice(None), slice(None), slice(14, -14), slice(10, -10))
    assert gap(back[center], x[center]) < 0.03 * x.std()
    assert gap(warp(x, rotation(angle), none)[center], x[center]) > 0.5 * x.std()


@pytest.mark.parametrize(
    ("turns", "shift"), [(1, (0, 0)), (2, (0, 0)), (3, (0, 0)), (0, (3, -2)), (0, (-11, 15))]
)
def test_the_warp_agrees_with_moved_pixels(turns, shift):
    x = smooth(1, 3, 40, 40)
    s = torch.tensor([shift]).float()
    warped = warp(x, rotation(torch.tensor([turns * math.pi / 2])), s)
    exact = moved(x, torch.zeros(1).bool(), torch.tensor([float(turns)]), s)
    assert gap(warped[:, :, 3:-3, 3:-3], exact[:, :, 3:-3, 3:-3]) < 0.04 * x.std()


# ---------------------------------------------------------------------- colors


def numpy_colors(x, brightness, contrast, flip, hue, saturation):
    """The paper's product of matrices in homogeneous coordinates."""
    v = np.ones((3, 1)) / math.sqrt(3)
    eye = np.eye(3)
    k = np.array([[0, -v[2, 0], v[1, 0]], [v[2, 0], 0, -v[0, 0]], [-v[1, 0], v[0, 0], 0]])
    steps = [
        (eye, np.full(3, brightness)),
        (contrast * eye, np.zeros(3)),
        (eye - 2 * v @ v.T * (flip < 0), np.zeros(3)),
        (eye + math.sin(hue) * k + (1 - math.cos(hue)) * k @ k, np.zeros(3)),  # Rodrigues
        (v @ v.T + saturation * (eye - v @ v.T), np.zeros(3)),
    ]
    y = x.reshape(3, -1)
    for matrix, offset in steps:
        y = matrix @ y + offset[:, None]
    return y.reshape(x.shape)


def test_colors_are_numpys():
    n = 6
    x = images(n)
    draw = lambda: torch.randn(n, generator=GEN, dtype=torch.float64)  # noqa: E731
    values = [draw(), draw().exp(), draw().sign(), draw() * 2, draw().exp()]
    matrix, offset = affine(*values)
    found = (matrix @ x.flatten(2) + offset[:, :, None]).view_as(x)
    for i in range(n):
        expected = numpy_colors(x[i].numpy(), *(v[i].item() for v in values))
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-12)


def test_gray_images_change_as_gray_colors_do_and_alpha_stays():
    gray, alpha, seed = images(5, 1), images(5, 1), 11
    colored = recolor(gray.expand(-1, 3, -1, -1), P1, Rng(seed))
    torch.testing.assert_close(colored[:, :1], recolor(gray, P1, Rng(seed)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(colored[:, 2:], recolor(gray, P1, Rng(seed)), atol=1e-5, rtol=1e-5)
    for x in (gray, images(5, 3)):
        both = recolor(torch.cat([x, alpha], 1), P1, Rng(seed))
        assert torch.equal(both[:, -1:], alpha)
        torch.testing.assert_close(both[:, :-1], recolor(x, P1, Rng(seed)), atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------------- bands


def test_bands_are_octaves_and_sum_to_one_impulse():
    filters = bands().numpy()
    assert filters.shape[0] == len(POWER)
    total = filters.sum(0)
    middle = len(total) // 2
    assert total[middle] == pytest.approx(1) and np.abs(np.delete(total, middle)).max() < 1e-12
    response = np.abs(np.fft.rfft(filters, 4096))
    frequency = np.linspace(0, math.pi, response.shape[1])
    for row, (low, high) in zip(
        response, [(0, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1 / 2), (1 / 2, 1)], strict=True
    ):
        inside = (frequency >= low * math.pi) & (frequency < high * math.pi)
        assert (row**2)[inside].sum() / (row**2).sum() > 0.75
        np.testing.assert_allclose(filters, filters[:, ::-1], atol=1e-12)


def test_filtering_is_scipys():
    x, lines = images(3, 2, 12, 15), torch.randn(3, 9, generator=GEN, dtype=torch.float64)
    lines = lines + lines.flip(1)
    for image, line, y in zip(x.numpy(), lines.numpy(), filtered(x, lines).numpy(), strict=True):
        expected = scipy.ndimage.convolve1d(image, line, axis=1, mode="reflect")
        expected = scipy.ndimage.convolve1d(expected, line, axis=2, mode="reflect")
        np.testing.assert_allclose(y, expected, atol=1e-12)


def test_strengthened_bands_keep_the_energy_of_a_natural_image():
    seed, n = 5, 300
    gains = []
    for frequency in (1 / 16, 3 / 16, 3 / 8, 3 / 4):
        wave = torch.cos(math.pi * frequency * torch.arange(256.0).double()).expand(n, 1, 8, -1)
        gains.append(filter_bands(wave, P1, Rng(seed))[:, :, :, 64:-64].square().sum((1, 2, 3)).sqrt())
    assert all(g.std() / g.mean() > 0.1 for g in gains)


# ---------------------------------------------------------------------- how p adapts


def follow(signs, batch=32, samples=1000.0, per_step=1, **settings):
    """p after each of some steps, of batches of logits with these means of their signs."""
    state = {}
    ada, found = Ada("bgc", state, samples=samples, **settings), []
    for step, share in enumerate(signs):
        ada.advance(step * batch)
        found.append(ada.p.item())
        for _ in range(per_step):
            ada.hear(torch.tensor(share))
    return found


def test_p_moves_every_four_batches_towards_the_target():
    p = follow([0.9] * 13)
    steps = 4 * 32 / 1000
    assert p == pytest.approx([0] * 4 + [steps] * 4 + [2 * steps] * 4 + [3 * steps], abs=1e-6)
    p = follow([0.9] * 8 + [0.2] * 4 + [0.59] * 4 + [0.61, 0.5, 0.5, 0.5] + [0.0] * 5)
    assert (
        p[8] == pytest.approx(2 * steps)
        and p[12] == pytest.approx(steps)
        and p[16] == pytest.approx(0, abs=1e-6)
    )
    assert p[-1] == 0, "never below"
    assert max(follow([1.0] * 60)) == 1, "never above"
    assert follow([0.5] * 9, target=0.4)[-1] > 0


def test_p_counts_images_however_many_batches_a_step_has():
    slow, fast = follow([0.9] * 9), follow([0.9] * 9, per_step=4)
    assert fast[1:] == pytest.approx([32 / 1000 * k for k in range(1, 9)], abs=1e-6)
    assert slow[-1] == pytest.approx(fast[-1])


def test_a_fixed_p_stays_and_an_annealed_one_goes_its_way():
    assert follow([1.0] * 9, fixed=0.3) == pytest.approx([0.3] * 9)
    annealed = follow([1.0] * 9, fixed=Annealed(0.0, 0.6), course=128)
    assert annealed[:5] == pytest.approx([Annealed(0.0, 0.6).at(k / 4) for k in range(5)], abs=1e-6)
    assert annealed[5:] == pytest.approx([0.6] * 4)
