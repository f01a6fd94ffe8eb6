"""R3GAN's networks: against another forward in float64, the paper's counts, what its initialization promises."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from luoxia.nn.grouped import GroupedConv2d
from luoxia.tasks.image_generation.networks import r3gan
from pairs import a_discriminator, a_generator

LATENT = 6


def count(network):
    return sum(p.numel() for p in network.parameters())


def pair(shape, width=4, **settings):
    settings = {"max_channels": 12, "group": 4, **settings}
    return a_generator(r3gan, LATENT, shape, width, **settings), a_discriminator(
        r3gan, shape, width, **settings
    )


def scramble(network):
    """Every parameter random: at the start many are 0, and would hide a mistake."""
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, 0.5)
    return network.double()


# ---------------------------------------------------------------------- the paper's numbers


@pytest.mark.parametrize("classes", [0, 10])
def test_the_published_configuration_has_21_million_parameters_a_side(classes):
    """768 channels at four stages of two blocks: 1 × 1 to 1,536, 3 × 3 in 96 groups of 16, back."""
    generator = a_generator(r3gan, 64, (3, 32, 32), classes=classes)
    discriminator = a_discriminator(r3gan, (3, 32, 32), classes=classes)
    block = 768 * 1536 + 1536 + 1536 * 16 * 9 + 1536 + 1536 * 768
    basis, image = 768 * 4 * 4, 3 * 768
    if classes:
        assert count(generator) == 8 * block + basis + image + 128 * 768 + 10 * 64
        assert count(discriminator) == 8 * block + basis + image + 768 * 768 + 10 * 768
    else:
        assert count(generator) == 8 * block + basis + image + 64 * 768
        assert count(discriminator) == 8 * block + basis + image + 768
    assert 20.6e6 < count(generator) < 21.4e6 and 20.6e6 < count(discriminator) < 21.4e6


@pytest.mark.parametrize("depth", [1, 3])
def test_weights_start_with_the_spread_of_the_paper(depth):
    torch.manual_seed(0)
    generator = a_generator(r3gan, 64, (3, 32, 32), 64, max_channels=64, depth=depth, classes=5)
    discriminator = a_discriminator(r3gan, (3, 32, 32), 64, max_channels=64, depth=depth, classes=5)
    gain = math.sqrt(2 / 1.04) * (4 * depth) ** -0.25
    for block in (
        m for net in (generator, discriminator) for m in net.modules() if isinstance(m, r3gan.Block)
    ):
        assert block.expand.weight.std().item() == pytest.approx(gain / math.sqrt(64), rel=0.05)
        assert block.mix.weight.std().item() == pytest.approx(gain / math.sqrt(16 * 9), rel=0.05)
        assert block.mix.groups == 8
        assert not block.reduce.weight.any() and not block.expand.bias.any() and not block.mix.bias.any()
    assert generator.weigh.weight.std().item() == pytest.approx(1 / math.sqrt(128), rel=0.05)
    assert generator.basis.std().item() == pytest.approx(1, rel=0.1)
    assert generator.embed.embedding.weight.std().item() == pytest.approx(1 / math.sqrt(5), rel=0.15)
    assert discriminator.basis.std().item() == pytest.approx(1 / 4, rel=0.1)
    assert discriminator.embed.embedding.weight.std().item() == pytest.approx(1 / math.sqrt(5 * 64), rel=0.15)


def test_every_block_starts_as_the_identity():
    torch.manual_seed(0)
    for network in pair((3, 16, 16)):
        for level in network.levels:
            channels = level.blocks[0].reduce.out_features
            x = torch.randn(2, channels, 5, 7)
            assert torch.equal(level(x), x)
            y = scramble(level)(x.double())
            assert (y - x).abs().mean() > 0.1, "a block that stays the identity learns nothing"


# ---------------------------------------------------------------------- against another forward


def plain_block(x, block):
    """The paper's figure with loops over groups."""
    y = torch.einsum("nchw,oc->nohw", x, block.expand.weight) + block.expand.bias[:, None, None]
    y = torch.where(y > 0, y, 0.2 * y)
    size = block.mix.weight.shape[1]
    parts = [
        F.conv2d(y[:, i : i + size], block.mix.weight[i : i + size], block.mix.bias[i : i + size], padding=1)
        for i in range(0, y.shape[1], size)
    ]
    y = torch.cat(parts, 1)
    y = torch.where(y > 0, y, 0.2 * y)
    return x + torch.einsum("nchw,oc->nohw", y, block.reduce.weight)


def filter_matrix(size):
    """(⌈size/2⌉, size): rows [1, 3, 3, 1] / 8 two pixels apart; the image is 0 outside."""
    matrix = torch.zeros((size + 1) // 2, size, dtype=torch.float64)
    for row in range(len(matrix)):
        for tap, weight in zip(range(2 * row - 1, 2 * row + 3), (1, 3, 3, 1), strict=True):
            if 0 <= tap < size:
                matrix[row, tap] = weight / 8
    return matrix


def halve(x):
    return filter_matrix(x.shape[2]) @ x @ filter_matrix(x.shape[3]).T


def double(x):
    rows, columns = filter_matrix(2 * x.shape[2]), filter_matrix(2 * x.shape[3])
    return 4 * rows.T @ x @ columns


def widened(x, layer):
    return x if isinstance(layer, nn.Identity) else torch.einsum("nchw,oc->nohw", x, layer.weight)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [(16, 16), (18, 26)])
def test_the_networks_compute_what_the_paper_says(classes, size):
    torch.manual_seed(int.from_bytes(str((classes, size)).encode(), "big") % 2**31)
    generator, discriminator = (scramble(n) for n in pair((3, *size), classes=classes, depth=2))
    z, labels = torch.randn(2, LATENT, dtype=torch.float64), torch.tensor([2, 0]) if classes else None
    joined = z if labels is None else torch.cat([z, generator.embed.embedding.weight[labels]], 1)
    x = generator.basis * (joined @ generator.weigh.weight.T)[:, :, None, None]
    for index, level in enumerate(generator.levels):
        if index:
            x = double(widened(x, generator.widen[index - 1]))
        for block in level.blocks:
            x = plain_block(x, block)
    x = torch.einsum("nchw,oc->nohw", x, generator.to_image.weight)
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    x = x[:, :, top : top + size[0], left : left + size[1]]
    images = generator(z, labels)
    torch.testing.assert_close(images, x)

    x = torch.einsum("nchw,oc->nohw", images, discriminator.from_image.weight)
    for index, level in enumerate(discriminator.levels):
        if index:
            x = widened(halve(x), discriminator.widen[index - 1])
        for block in level.blocks:
            x = plain_block(x, block)
    verdict = (x * discriminator.basis).sum((2, 3)) @ discriminator.judge.weight.T
    expected = (
        verdict[:, 0] if labels is None else (verdict * discriminator.embed.embedding.weight[labels]).sum(1)
    )
    torch.testing.assert_close(discriminator(images, labels), expected)


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (48, 64), (50, 31), (64, 64), (5, 4)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_channels(size, channels):
    generator, discriminator = pair((channels, *size))
    images = generator(torch.randn(2, LATENT))
    assert images.shape == (2, channels, *size) and discriminator(images).shape == (2,)
    assert (generator.latent, generator.classes) == (LATENT, 0)


@pytest.mark.parametrize("classes", [0, 3])
def test_gradients_reach_every_parameter(classes):
    torch.manual_seed(0)
    generator, discriminator = (scramble(n).float() for n in pair((1, 12, 12), classes=classes))
    labels = torch.tensor([0, 1, 2]) if classes else None
    discriminator(generator(torch.randn(3, LATENT), labels), labels).sum().backward()
    for network in (generator, discriminator):
        for name, p in network.named_parameters():
            assert p.grad is not None and p.grad.abs().sum() > 0, name


def test_bfloat16_everywhere_but_at_the_coarsest():
    """There float32 to the bit; elsewhere close to it."""
    torch.manual_seed(0)
    generator, discriminator = (scramble(n).float() for n in pair((1, 16, 16)))
    seen = {}
    for network in (generator, discriminator):
        for name, block in network.named_modules():
            if isinstance(block, r3gan.Block):
                block.register_forward_hook(
                    lambda m, i, o, name=name, n=network: seen.update({(n, name): o.dtype})
                )
    z = torch.randn(4, LATENT)
    with torch.autocast("cpu", torch.bfloat16):
        logits = discriminator(generator(z))
    assert logits.dtype == torch.float32
    for (network, name), dtype in seen.items():
        coarsest = 0 if network is generator else len(discriminator.levels) - 1
        assert dtype == (torch.float32 if name.startswith(f"levels.{coarsest}.") else torch.bfloat16), name
    exact = discriminator(generator(z))
    torch.testing.assert_close(logits, exact, rtol=0.1, atol=0.1 * exact.std().item())


# ---------------------------------------------------------------------- the grouped convolution


@pytest.mark.parametrize(("channels", "groups", "kernel"), [(6, 3, 3), (4, 1, 3), (4, 4, 5)])
def test_grouped_convolution_to_the_second_derivative(channels, groups, kernel):
    torch.manual_seed(channels)
    ours = GroupedConv2d(channels, kernel, groups).double()
    x = torch.randn(2, channels, 4, 3, dtype=torch.float64, requires_grad=True)
    plain = F.conv2d(x, ours.weight, ours.bias, padding=kernel // 2, groups=groups)
    torch.testing.assert_close(ours(x), plain)

    def run(x, weight, bias):
        return torch.func.functional_call(ours, {"weight": weight, "bias": bias}, (x,))

    inputs = (x, ours.weight, ours.bias)
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)
