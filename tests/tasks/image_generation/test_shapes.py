"""Networks: the shapes they give, how many parameters they have, and that every one of them learns."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from luoxia.media.image.images import ImageSpec
from luoxia.nn.layers import center_crop, coarse, halvings, normalization, spectrally_normalized
from luoxia.tasks.image_generation.networks import dcgan, mlp, resnet
from luoxia.tasks.image_generation.recipes.gan import DCGAN, GAN
from pairs import a_discriminator, a_generator

FAMILIES = {"mlp": mlp, "dcgan": dcgan, "resnet": resnet}
SIZES = [(28, 28), (32, 32), (48, 64), (50, 50), (64, 64), (128, 128)]
LATENT = 6


def pair(family, shape, **settings):
    """A generator and a discriminator, as narrow as can be."""
    module = FAMILIES[family]
    width = (8, 8) if family == "mlp" else 4
    both = {k: v for k, v in settings.items() if k in ("classes", "dropout")}
    return a_generator(module, LATENT, shape, width, **both), a_discriminator(
        module, shape, width, **settings
    )


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [*SIZES, (8, 8), (9, 31), (5, 4)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_shapes(family, size, channels):
    shape = (channels, *size)
    generator, discriminator = pair(family, shape)
    images = generator(torch.randn(2, LATENT))
    assert images.shape == (2, *shape) and images.abs().max() <= 1
    assert discriminator(images).shape == (2,)
    assert discriminator(images[:1]).shape == (1,)
    assert (generator.latent, generator.classes) == (LATENT, 0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("size", [(28, 28), (48, 64)])
def test_labels_matter(family, projection, size):
    torch.manual_seed(0)
    generator, discriminator = pair(family, (3, *size), classes=5, projection=projection)
    for network in (generator, discriminator):
        for name, p in network.named_parameters():
            if p.dim() > 1 and "norm" not in name:
                nn.init.normal_(p, std=0.3)
    generator.eval()
    z, labels = torch.randn(1, LATENT).expand(5, -1), torch.arange(5)
    images = generator(z, labels)
    logits = discriminator(images[:1].expand(5, -1, -1, -1), labels)
    assert images.shape == (5, 3, *size) and logits.shape == (5,)
    assert len(images.flatten(1).unique(dim=0)) == 5 and len(logits.unique()) == 5
    assert generator.classes == 5


def test_projection_is_an_inner_product():
    """Logit = w·f + b + ⟨v(label), f⟩ / √d."""
    critic = mlp.Critic(7, classes=3)
    features, labels = torch.randn(4, 7), torch.tensor([2, 0, 1, 2])
    found = critic(features, labels)
    for i in range(4):
        f, v = features[i], critic.projection.weight[labels[i]]
        expected = critic.linear.weight[0] @ f + critic.linear.bias[0] + (v @ f) / 7**0.5
        torch.testing.assert_close(found[i], expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "settings", [{}, {"classes": 4}, {"classes": 4, "projection": True}, {"norm": "layer"}]
)
@pytest.mark.parametrize("size", [(28, 28), (50, 50)])
def test_gradients_reach_every_parameter(family, settings, size):
    if family == "mlp":  # its critic has no normalization
        settings = {key: value for key, value in settings.items() if key != "norm"}
    torch.manual_seed(0)
    generator, discriminator = pair(family, (2, *size), **settings)
    labels = torch.arange(8) % 4 if "classes" in settings else None
    logits = discriminator(generator(torch.randn(8, LATENT), labels), labels)
    (logits * torch.randn(8)).sum().backward()
    for network in (generator, discriminator):
        for name, p in network.named_parameters():
            assert p.grad is not None and p.grad.abs().sum() > 0, name


# ---------------------------------------------------------------------- counts


def test_the_documents_networks():
    """G 100-256-512-1024-784 and D 784-1024-512-256-1, every layer with its bias."""

    def dense(*widths):
        return sum(i * o + o for i, o in itertools.pairwise(widths))

    recipe, spec = GAN(), ImageSpec(28, 28, 1, 10)
    generator, discriminator = recipe.build_generator(spec), recipe.build_discriminator(spec)
    assert count(generator) == dense(100, 256, 512, 1024, 784) == 1_486_352
    assert count(discriminator) == dense(784, 1024, 512, 256, 1) == 1_460_225
    widths = [
        [m.out_features for m in n.modules() if isinstance(m, nn.Linear)] for n in (generator, discriminator)
    ]
    assert widths == [[256, 512, 1024, 784], [1024, 512, 256, 1]]


def test_published_dcgan():
    """64 × 64 × 3 at width 64: a 4 × 4 × 512 start, kernels 4 × 4, BN everywhere but at G's output and D's input."""
    recipe = DCGAN(width=64, latent=100, refine=False, penalty="none", d_norm="batch")
    spec = ImageSpec(64, 64, 3, 0)
    ladder = [512, 256, 128, 64]
    g = 100 * 512 * 16 + 2 * 512
    g += sum(16 * i * o + 2 * o for i, o in itertools.pairwise(ladder))
    g += 16 * 64 * 3 + 3
    d = 16 * 3 * 64 + 64
    d += sum(16 * i * o + 2 * o for i, o in itertools.pairwise(ladder[::-1]))
    d += 16 * 512 + 1
    assert (count(recipe.build_generator(spec)), count(recipe.build_discriminator(spec))) == (g, d)
    # the widely copied implementation has 3,576,704 and 2,765,568: the same but for two biases and the last one
    assert (g - 3, d - 64 - 1) == (3_576_704, 2_765_568)


def test_dcgan_starts_as_the_paper_says():
    torch.manual_seed(0)
    recipe = DCGAN(width=16, penalty="none", d_norm="batch")
    for network in (
        recipe.build_generator(ImageSpec(32, 32, 3, 0)),
        recipe.build_discriminator(ImageSpec(32, 32, 3, 0)),
    ):
        for name, p in network.named_parameters():
            if p.numel() > 1000:
                assert abs(p.mean()) < 2e-3 and p.std().item() == pytest.approx(0.02, rel=0.1), name
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.03) and (module.bias == 0).all()
    first = next(m for m in network.modules() if isinstance(m, nn.LeakyReLU))
    assert first.negative_slope == 0.2


def test_published_resnet_discriminator():
    """CIFAR-10 (WGAN-GP, appendix F): four blocks of 128, two of them halving, mean pool, one output."""
    discriminator = a_discriminator(resnet, (3, 32, 32), 128)
    conv = lambda i, o, k: i * o * k * k + o  # noqa: E731
    first = conv(3, 128, 3) + conv(128, 128, 3) + conv(3, 128, 1)
    other = 2 * conv(128, 128, 3)
    assert count(discriminator) == first + 3 * other + 129
    sizes = []
    for block in discriminator.blocks:
        block.register_forward_hook(lambda m, i, o: sizes.append(tuple(o.shape[1:])))
    discriminator(torch.zeros(1, 3, 32, 32))
    assert sizes == [(128, 16, 16), (128, 8, 8), (128, 8, 8), (128, 8, 8)]


def test_published_resnet_generator():
    """4 × 4 × 128 and three doubling blocks for 32 × 32."""
    generator = a_generator(resnet, 128, (3, 32, 32), 128)
    block = 2 * (128 * 128 * 9 + 128) + (128 * 128 + 128) + 2 * 2 * 128
    assert count(generator) == 128 * 2048 + 2048 + 3 * block + 2 * 128 + 128 * 3 * 9 + 3


# ---------------------------------------------------------------------- the pieces


def test_halvings():
    assert [halvings(s, s) for s in (4, 8, 16, 32, 50, 64, 128, 256)] == [1, 1, 2, 3, 3, 4, 5, 6]
    assert halvings(48, 64) == halvings(64, 48) == 3
    for smallest, side in itertools.product((3, 4, 7), range(14, 200)):
        times = halvings(side, side, smallest)
        assert side / 2**times >= smallest > side / 2 ** (times + 1)


@pytest.mark.parametrize("size", range(5, 70))
def test_the_coarse_map_covers_the_image(size):
    levels = halvings(size, size)
    start = coarse(size, size, levels)[0]
    assert start * 2**levels >= size > (start - 1) * 2**levels
    x = torch.arange(start * 2**levels).float().view(1, 1, 1, -1).expand(1, 1, start * 2**levels, -1)
    cut = center_crop(x, size, size)
    left, right = cut[0, 0, 0, 0], x.shape[3] - 1 - cut[0, 0, 0, -1]
    assert cut.shape[2:] == (size, size) and abs(left - right) <= 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("projection", [False, True])
def test_spectral_norm_bounds_every_layer(family, projection):
    """The largest singular value of every matrix of D, by SVD, comes to 1 and stays there."""
    torch.manual_seed(0)
    _, network = pair(family, (3, 16, 16), classes=4, projection=projection)
    for p in network.parameters():
        nn.init.normal_(p, std=2.0)
    network = spectrally_normalized(network).train()
    images, labels = torch.randn(4, 3, 16, 16), torch.arange(4)
    for _ in range(60):
        network(images, labels)
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Embedding)]
    network.eval()
    assert len(layers) >= 3
    for layer in layers:
        matrix = layer.weight.detach().flatten(1).numpy()
        assert np.linalg.svd(matrix, compute_uv=False)[0] == pytest.approx(1, abs=0.02), layer


def test_spectral_norm_bounds_the_slope():
    """A fully connected critic of norm-1 layers cannot be steeper than 1 anywhere."""
    torch.manual_seed(0)
    critic = GAN(width=4, dropout=0, spectral_norm=True).build_discriminator(ImageSpec(8, 8, 1, 0))
    x = torch.randn(64, 1, 8, 8)
    for _ in range(100):
        critic(x)
    critic.eval()
    x.requires_grad_()
    (slopes,) = torch.autograd.grad(critic(x).sum(), x)
    assert slopes.flatten(1).norm(dim=1).max() <= 1.02


def test_spectral_norm_is_computed_in_float32():
    torch.manual_seed(0)
    layer = spectrally_normalized(nn.Linear(40, 30)).eval()
    exact = layer.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.weight, exact)
    reference = nn.utils.parametrizations.spectral_norm(nn.Linear(40, 30))
    with torch.no_grad():
        reference.parametrizations.weight.original.copy_(layer.parametrizations.weight.original)
        for _ in range(200):
            reference(torch.zeros(1, 40))
            layer.train()(torch.zeros(1, 40))
    torch.testing.assert_close(layer.eval().weight, reference.eval().weight, rtol=1e-4, atol=1e-6)


def test_evaluation_leaves_spectral_norm_alone():
    critic = GAN(width=4, spectral_norm=True).build_discriminator(ImageSpec(8, 8, 1, 0)).eval()
    before = {k: v.clone() for k, v in critic.state_dict().items()}
    critic(torch.randn(2, 1, 8, 8))
    assert all(torch.equal(v, before[k]) for k, v in critic.state_dict().items())


@pytest.mark.parametrize("family", ["dcgan", "resnet"])
def test_norms_of_the_discriminator(family):
    def kinds(norm):
        network = a_discriminator(FAMILIES[family], (3, 32, 32), 4, norm=norm)
        return {type(m) for m in network.modules()} & {nn.BatchNorm2d, nn.GroupNorm}

    assert kinds("none") == set() and kinds("batch") == {nn.BatchNorm2d} and kinds("layer") == {nn.GroupNorm}


def test_layer_norm_is_over_a_sample():
    """Channels and pixels of one sample together: mean 0, variance 1."""
    y = normalization("layer", 6)(torch.randn(3, 6, 5, 5) * 4 + 7)
    torch.testing.assert_close(y.flatten(1).mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.flatten(1).var(1, correction=0), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout(family):
    torch.manual_seed(0)
    generator, discriminator = pair(family, (1, 16, 16), dropout=0.5)
    z, images = torch.randn(4, LATENT), torch.randn(4, 1, 16, 16)
    assert not torch.equal(generator(z), generator(z))
    assert not torch.equal(discriminator(images), discriminator(images))
    for network, x in ((generator.eval(), z), (discriminator.eval(), images)):
        assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("family", FAMILIES)
def test_memory_format_does_not_matter(family):
    """Channels last in memory gives what the usual layout gives."""
    torch.manual_seed(0)
    _, discriminator = pair(family, (3, 28, 28), classes=3)
    images, labels = torch.randn(3, 3, 28, 28), torch.arange(3)
    found = discriminator(images.contiguous(memory_format=torch.channels_last), labels)
    torch.testing.assert_close(found, discriminator(images, labels), rtol=1e-4, atol=1e-5)
