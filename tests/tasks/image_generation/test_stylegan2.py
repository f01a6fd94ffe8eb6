"""StyleGAN2's layers against loops in float64, its networks against the published sizes and by what must not matter."""

import math

import pytest
import torch
import torch.nn.functional as F

from luoxia.nn.equalized import EqualConv, EqualLinear, MinibatchSpread
from luoxia.nn.modulation import StyledConv, ToOutput
from luoxia.tasks.image_generation.networks import stylegan2
from luoxia.tasks.image_generation.networks.stylegan2 import normalized, widths_at
from pairs import a_discriminator, a_generator

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])).double() / 64


def filtered(x, before, after):
    """The filter over x (n, c, h, w), with zeros around."""
    kernel = FILTER.expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (before, after, before, after)), kernel, groups=x.shape[1])


def zeros_between(x):
    """Each pixel followed by a zero, but the last: (h, w) → (2h − 1, 2w − 1)."""
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1)
    y[:, :, ::2, ::2] = x
    return y


def equation_3(layer, w):
    """The weights of each sample, one after another: equations 1 to 3 of the paper."""
    fan_in = layer.weight[0].numel()
    for row in w:
        style = layer.style.weight @ row / math.sqrt(len(row)) + layer.style.bias
        weight = layer.weight / math.sqrt(fan_in) * style[None, :, None, None]
        if isinstance(layer, StyledConv):
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        yield weight


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_styled_convolution_is_a_loop_over_samples(up, size):
    layer = StyledConv(3, 5, 7, up=up).double()
    with torch.no_grad():
        layer.bias.normal_()
        layer.strength.normal_()
    x, w = torch.randn(4, 3, *size).double(), torch.randn(4, 7).double()
    noise = torch.randn(4, 1, *(2 * s if up else s for s in size)).double()
    expected = []
    for row, weight, own in zip(x, equation_3(layer, w), noise, strict=True):
        if up:  # a transposed convolution is one with the kernel turned around, on zeros between the pixels
            y = F.conv2d(zeros_between(row[None]), weight.flip(2, 3), padding=2)
            y = 4 * filtered(y, 1, 1)
        else:
            y = F.conv2d(row[None], weight, padding=1)
        y = y + layer.strength * own + layer.bias[:, None, None]
        expected.append(math.sqrt(2) * torch.where(y > 0, y, 0.2 * y))
    torch.testing.assert_close(layer(x, w, noise), torch.cat(expected), rtol=1e-10, atol=1e-10)
    silent = layer(x, w, None)
    assert not torch.allclose(silent, layer(x, w, noise))
    torch.testing.assert_close(silent, layer(x, w, torch.zeros_like(noise)))


def test_contribution_to_the_image_is_a_loop_over_samples():
    layer = ToOutput(6, 3, 4).double()
    x, w = torch.randn(5, 6, 3, 3).double(), torch.randn(5, 4).double()
    expected = [F.conv2d(row[None], weight) for row, weight in zip(x, equation_3(layer, w), strict=True)]
    torch.testing.assert_close(layer(x, w), torch.cat(expected), rtol=1e-10, atol=1e-10)


def test_demodulation_forgets_the_scale_of_styles():
    """And keeps unit variance: what it was introduced for."""
    layer = StyledConv(64, 64, 1).double()
    x = torch.randn(8, 64, 16, 16).double()
    with torch.no_grad():
        layer.style.bias.normal_()
    w = torch.zeros(8, 1).double()
    once = layer(x, w, None)
    with torch.no_grad():
        layer.style.bias *= 37
    torch.testing.assert_close(layer(x, w, None), once, rtol=1e-6, atol=1e-6)
    assert once[:, :, 1:-1, 1:-1].square().mean().item() == pytest.approx(
        1.04, rel=0.1
    )  # (1 + 0.04) / 2 · gain²


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 4)])
def test_halving_convolutions_round_up_and_filter_first(size):
    x = torch.randn(2, 3, *size).double()
    wide = EqualConv(3, 4, 3, down=True).double()
    narrow = EqualConv(3, 4, 1, down=True, activate=False).double()
    for layer, before in ((wide, 2), (narrow, 1)):
        y = layer(x)
        assert y.shape == (2, 4, -(-size[0] // 2), -(-size[1] // 2))
        weight = layer.weight / math.sqrt(layer.weight[0].numel())
        full = F.conv2d(filtered(x, before, before + 1), weight)[:, :, ::2, ::2][
            :, :, : y.shape[2], : y.shape[3]
        ]
        expected = full if layer is narrow else math.sqrt(2) * F.leaky_relu(full, 0.2)
        torch.testing.assert_close(y, expected)


def test_a_slower_linear_layer_starts_alike_and_learns_slower():
    torch.manual_seed(0)
    plain = EqualLinear(5, 3, bias=0.5)
    torch.manual_seed(0)
    slow = EqualLinear(5, 3, bias=0.5, lr=0.01)
    x = torch.randn(4, 5)
    torch.testing.assert_close(plain(x), slow(x))
    torch.testing.assert_close(plain(x), x @ plain.weight.T / math.sqrt(5) + 0.5)
    for layer in (plain, slow):
        before = layer(x).detach()
        with torch.no_grad():
            layer.weight += 0.1  # what Adam does to either: steps of one size
        layer.moved = (layer(x) - before).abs().mean()
    assert (slow.moved / plain.moved).item() == pytest.approx(0.01, rel=1e-3)


def test_minibatch_spread_is_the_papers():
    x = torch.randn(8, 5, 3, 2).double()
    y = MinibatchSpread(4)(x)
    torch.testing.assert_close(y[:, :5], x)
    for start in (0, 4):
        own = x[start : start + 4]
        value = ((own - own.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[start : start + 4, 5:], value.expand(4, 1, 3, 2))
    assert MinibatchSpread(4)(x[:6]).shape == (6, 6, 3, 2), "groups need not fit"
    assert MinibatchSpread(4)(x[:1])[0, 5].max() < 1e-3, "one image alone does not vary"


@pytest.mark.parametrize(
    ("size", "width", "layers", "classes", "generator", "discriminator"),
    [
        (256, 64, 8, 0, 24_767_458, 24_001_089),  # FFHQ at 256 × 256, half the channels
        (32, 512, 2, 0, 19_947_539, 21_507_073),  # CIFAR-10
        (32, 512, 2, 10, 20_215_315, 23_876_096),  # CIFAR-10, by class
    ],
)
def test_published_configurations_have_their_size(size, width, layers, classes, generator, discriminator):
    with torch.device("meta"):
        g = a_generator(stylegan2, 512, (3, size, size), width, mapping_layers=layers, classes=classes)
        d = a_discriminator(stylegan2, (3, size, size), width, classes=classes)
    assert sum(p.numel() for p in g.parameters()) == generator
    assert sum(p.numel() for p in d.parameters()) == discriminator
    assert g.layers == 2 * math.log2(size) - 2


def test_widths():
    assert widths_at(6, 64, 512) == [512, 512, 512, 512, 256, 128, 64]


SHAPES = [(1, 28, 28), (3, 32, 32), (4, 17, 40), (2, 48, 33), (3, 64, 32)]


def small(shape, classes=0, **settings):
    torch.manual_seed(1)
    g = a_generator(stylegan2, 6, shape, 4, max_channels=16, styles=8, mapping_layers=2, classes=classes)
    d = a_discriminator(
        stylegan2, shape, 4, max_channels=16, styles=8, mapping_layers=2, classes=classes, group=2, **settings
    )
    with torch.no_grad():
        for name, p in g.named_parameters():
            if name.endswith("strength"):
                p.fill_(0.3)
    return g, d


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [0, 3])
def test_any_shape_and_every_parameter_learns(shape, classes):
    g, d = small(shape, classes)
    labels = torch.tensor([0, 2, 1, 0]) if classes else None
    images = g(torch.randn(4, 6), labels)
    assert images.shape == (4, *shape) and images.dtype == torch.float32
    logits = d(images, labels)
    assert logits.shape == (4,)
    logits.square().sum().backward()
    still = [
        n for net in (g, d) for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert still == []


def test_an_image_does_not_depend_on_its_batch():
    g, _ = small((3, 24, 24), classes=3)
    z, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 1, 0])
    noise = torch.randn(5, g.noise_size)
    together = g(z, labels, noise=noise)
    alone = torch.cat([g(z[i : i + 1], labels[i : i + 1], noise=noise[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(
        g(z[order], labels[order], noise=noise[order]), together[order], rtol=1e-4, atol=1e-5
    )


def test_logits_depend_on_the_group_but_not_on_its_order():
    _, d = small((3, 16, 16))
    x = torch.randn(6, 3, 16, 16)
    logits = d(x)
    order = torch.tensor([1, 0, 4, 5, 3, 2])
    torch.testing.assert_close(d(x[order]), logits[order], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        d.last.weight[:, -1] += 5.0  # of the channel that says how much the group varies
    apart = d(x[torch.tensor([0, 2, 1, 3, 4, 5])])
    assert not torch.allclose(apart[0], d(x)[0], rtol=1e-3)


def test_noise_is_random_in_training_constant_after_and_can_be_left_out():
    g, _ = small((3, 16, 16))
    z = torch.randn(3, 6)
    assert not torch.equal(g(z), g(z))
    g.eval()
    assert torch.equal(g(z), g(z)) and torch.equal(g(z), g(z, noise="const"))
    assert torch.equal(g(z, noise="none"), g(z, noise=torch.zeros(1, g.noise_size)))
    assert torch.equal(g(z), g(z, noise=g.constant_noise)) and not torch.equal(g(z), g(z, noise="none"))


def test_styles_mix_at_the_crossover():
    g, _ = small((3, 16, 16))
    g.eval()
    z, second = torch.randn(3, 6), torch.randn(3, 6)
    crossover = torch.tensor([0, 3, g.layers])
    _, w = g(z, second=second, crossover=crossover, with_w=True)
    first, other = g.map(z), g.map(second)
    torch.testing.assert_close(w[0], other[0])
    torch.testing.assert_close(w[1], torch.cat([first[1, :3], other[1, 3:]]))
    torch.testing.assert_close(w[2], first[2])
    torch.testing.assert_close(g.synthesize(g.map(z)), g(z))


def test_mean_w_follows_training_alone():
    g, _ = small((1, 16, 16))
    g.eval()(torch.randn(4, 6))
    assert g.mean_w.abs().max() == 0
    expected = torch.zeros(8)
    g.train()
    for _ in range(3):
        z, second = torch.randn(4, 6), torch.randn(4, 6)
        g(z, second=second, crossover=torch.full((4,), 3))
        expected = 0.995 * expected + 0.005 * g.map(z)[:, 0].mean(0)
    torch.testing.assert_close(g.mean_w, expected.detach())


def test_the_length_of_z_does_not_matter():
    g, _ = small((1, 16, 16))
    z = torch.randn(4, 6)
    torch.testing.assert_close(g.map(z), g.map(3 * z), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(normalized(z).square().mean(1), torch.ones(4))


def test_bf16_stays_close_to_float32():
    g, d = small((3, 32, 32))
    g, d = g.eval().to(memory_format=torch.channels_last), d.to(memory_format=torch.channels_last)
    z = torch.randn(4, 6)
    exact = g(z)
    with torch.autocast("cpu", torch.bfloat16):
        rough, logits = g(z), d(exact)
    assert rough.dtype == logits.dtype == torch.float32
    assert ((rough - exact).norm() / exact.norm()).item() < 0.02
    assert ((logits - d(exact)).abs().max() / d(exact).abs().max()).item() < 0.05
