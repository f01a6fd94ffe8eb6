"""CycleGAN's networks: the published counts, a forward pass by hand, any size of image, what a pixel depends on."""

import pytest
import torch
import torch.nn.functional as F

from luoxia.nn.fused_ops import Reflected
from luoxia.tasks.image_translation.networks.cut import ContrastiveGenerator
from luoxia.tasks.image_translation.networks.cyclegan import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    InstanceNorm,
    ModuleGroup,
)


def count(network):
    return sum(p.numel() for p in network.parameters())


def layer(inputs, outputs, kernel):
    return inputs * outputs * kernel**2 + outputs


def test_the_published_configurations_have_the_published_sizes():
    residual = 2 * layer(256, 256, 3)
    ends = (
        layer(3, 64, 7)
        + layer(64, 3, 7)
        + 2 * (layer(64, 128, 3) + layer(128, 256, 3))
        - (128 + 256)
        + 64
        + 128
    )
    assert count(Generator(GeneratorConfig(channels=3))) == ends + 9 * residual == 11_378_179
    assert count(Generator(GeneratorConfig(channels=3, blocks=6))) == ends + 6 * residual == 7_837_699
    patch = sum(layer(*shape, 4) for shape in ((3, 64), (64, 128), (128, 256), (256, 512), (512, 1)))
    assert count(Discriminator(DiscriminatorConfig(channels=3))) == patch == 2_764_737


# ---------------------------------------------------------------------- by hand, in float64


def normalized(x):
    """Each plane to mean 0 and variance 1."""
    out = torch.empty_like(x)
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            plane = x[i, c]
            out[i, c] = (plane - plane.mean()) / (plane.var(unbiased=False) + 1e-5).sqrt()
    return out


def reflected(x, reach):
    """Rows and columns taken by their mirrored numbers."""
    rows, columns = (
        [abs(i) if i < side else 2 * (side - 1) - i for i in range(-reach, side + reach)]
        for side in x.shape[2:]
    )
    return x[:, :, rows][:, :, :, columns]


def convolved(x, weights, stride=1):
    """A convolution as a sum over its taps."""
    kernel, bias = weights.weight, weights.bias
    size = kernel.shape[2]
    h, w = ((side - size) // stride + 1 for side in x.shape[2:])
    out = bias[None, :, None, None].expand(len(x), -1, h, w)
    for i in range(size):
        for j in range(size):
            part = x[:, :, i : i + stride * (h - 1) + 1 : stride, j : j + stride * (w - 1) + 1 : stride]
            out = out + torch.einsum("nchw,oc->nohw", part, kernel[:, :, i, j])
    return out


def enlarged(x, weights):
    """A transposed convolution, kernel 3, stride 2: each pixel adds its stamp to a canvas twice the size."""
    n, _, h, w = x.shape
    canvas = x.new_zeros(n, weights.weight.shape[1], 2 * h + 2, 2 * w + 2)
    for i in range(h):
        for j in range(w):
            stamp = torch.einsum("nc,cokl->nokl", x[:, :, i, j], weights.weight)
            canvas[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += stamp
    return canvas[:, :, 1 : 2 * h + 1, 1 : 2 * w + 1] + weights.bias[None, :, None, None]


def generated(network, x):
    """The paper's figure, term by term."""
    x = F.relu(normalized(convolved(reflected(x, 3), network.stem[0])))
    for down in network.down:
        x = F.relu(normalized(convolved(F.pad(x, (1, 1, 1, 1)), down[0], stride=2)))
    for block in network.blocks:
        y = F.relu(normalized(convolved(reflected(x, 1), block.layers[0])))
        x = x + normalized(convolved(reflected(y, 1), block.layers[3]))
    for up in (m for m in network.up if isinstance(m, torch.nn.ConvTranspose2d)):
        x = F.relu(normalized(enlarged(x, up)))
    if network.resize:
        for up in (network.up[1], network.up[5]):
            x = F.relu(
                normalized(convolved(reflected(x.repeat_interleave(2, 2).repeat_interleave(2, 3), 1), up))
            )
    return torch.tanh(convolved(reflected(x, 3), network.up[-2]))


def judged(network, x):
    for module in network.layers:
        if isinstance(module, torch.nn.Conv2d):
            x = convolved(F.pad(x, (1, 1, 1, 1)), module, stride=module.stride[0])
        else:
            x = normalized(x) if isinstance(module, InstanceNorm) else torch.where(x > 0, x, 0.2 * x)
    return x


@pytest.fixture
def images():
    torch.manual_seed(torch.seed() % 2**31)
    return torch.rand(2, 3, 16, 12, dtype=torch.float64) * 2 - 1


def lively(network):
    """Larger weights than the initial ones, and biases: so that every term shows."""
    network = network.double()
    for p in network.parameters():
        torch.nn.init.normal_(p, 0, 0.2)
    return network


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_a_generator_is_the_papers_figure(images, training, resize):
    network = lively(Generator(GeneratorConfig(channels=3, width=4, blocks=2, resize=resize))).train(training)
    torch.testing.assert_close(network(images), generated(network, images), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("patch", "side"), [(16, 16), (34, 20), (70, 32)])
def test_a_discriminator_judges_patches(patch, side, monkeypatch):
    network = lively(Discriminator(DiscriminatorConfig(channels=3, width=4, patch=patch)))
    x = torch.rand(2, 3, side, side, dtype=torch.float64, requires_grad=True)
    logits = network(x)
    torch.testing.assert_close(logits, judged(network, x))
    monkeypatch.setattr(InstanceNorm, "forward", lambda self, x: x)  # which sees the whole image
    wide = torch.rand(1, 3, 160, 160, dtype=torch.float64, requires_grad=True)
    row = network(wide)[0, 0]
    (slope,) = torch.autograd.grad(row[row.shape[0] // 2, row.shape[1] // 2], wide)
    seen = slope.abs().sum((0, 1, 2)).nonzero()
    assert int(seen.max() - seen.min()) + 1 == patch


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (4, 5), (13, 22), (9, 31)])
def test_any_size_comes_back(size, resize):
    network = Generator(GeneratorConfig(channels=1, width=2, blocks=1, resize=resize))
    assert network(torch.rand(1, 1, *size)).shape == (1, 1, *size)


@pytest.mark.parametrize("resize", [False, True])
def test_what_a_pixel_depends_on_is_within_reach(monkeypatch, resize):
    torch.manual_seed(0)
    network = lively(Generator(GeneratorConfig(channels=1, width=8, blocks=2, resize=resize)))
    monkeypatch.setattr(InstanceNorm, "forward", lambda self, x: 0.1 * x)
    x = torch.rand(1, 1, 120, 120, dtype=torch.float64, requires_grad=True)
    max_channels = 0
    for at in (60, 61, 62, 63):
        (slope,) = torch.autograd.grad(network(x)[0, 0, at, at], x)
        seen = slope.abs().sum((0, 1, 2)).nonzero()
        max_channels = max(max_channels, at - int(seen.min()), int(seen.max()) - at)
    assert network.reach - 4 <= max_channels <= network.reach


def test_reflection_and_its_gradient():
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    for reach in (1, 3):
        assert torch.equal(Reflected.apply(x, reach), F.pad(x, (reach,) * 4, mode="reflect"))
        assert torch.autograd.gradcheck(lambda x, reach=reach: Reflected.apply(x, reach), x)


def test_networks_together_take_an_input_each():
    both = ModuleGroup(
        {
            "a2b": Generator(GeneratorConfig(channels=1, width=2, blocks=1)),
            "b2a": Generator(GeneratorConfig(channels=1, width=2, blocks=1)),
        }
    )
    a, b = torch.rand(2, 1, 8, 8), torch.rand(3, 1, 12, 8)
    made_b, made_a = both(a, b)
    assert torch.equal(made_b, both["a2b"](a)) and torch.equal(made_a, both["b2a"](b))


# ---------------------------------------------------------------------- CUT


def test_cut_compares_five_layers_at_the_same_places():
    network = ContrastiveGenerator(GeneratorConfig(channels=3, width=4, blocks=3), dimensions=16).double()
    x = torch.rand(2, 3, 14, 18, dtype=torch.float64)
    pixels = network.pixels(x)
    maps = network.a2b.encode(x)
    assert pixels == [m.shape[2] * m.shape[3] for m in maps] == [16 * 20, 80, 20, 20, 20]
    places = [torch.randperm(n)[:7] for n in pixels]
    made, queries, keys = network(x, places)
    assert torch.equal(made, network.a2b(x)) and made.shape == x.shape
    for n, (q, k, at, head, source) in enumerate(
        zip(queries, keys, places, network.heads, maps, strict=True)
    ):
        assert q.shape == k.shape == (2, 7, 16) and q.requires_grad and not k.requires_grad
        row, column = divmod(int(at[3]), source.shape[3])
        by_hand = head(source[1, :, row, column])
        torch.testing.assert_close(k[1, 3].double(), by_hand / by_hand.norm(), rtol=1e-5, atol=1e-6), n
