"""The two Transformers of ``transformer-gan``: against forwards written out in float64, to the second derivative."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from luoxia.adversarial.penalties import ZeroCentered
from luoxia.tasks.image_generation.networks import transformer_gan
from luoxia.training.objective import Rng
from pairs import a_discriminator, a_generator

LATENT, WIDTH, HEADS = 5, 8, 2
PATCH, ODD = 4, 3


def pair(shape, classes=0, layers=2, patch=PATCH):
    own = {"layers": layers, "heads": HEADS, "patch": patch, "classes": classes}
    return a_generator(transformer_gan, LATENT, shape, WIDTH, **own), a_discriminator(
        transformer_gan, shape, WIDTH, **own
    )


def scramble(network):
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, 0.4)
    return network.double()


def attention(x, layer):
    """Softmax(QKᵀ/√d)V, head by head."""
    q, k, v = F.linear(x, layer.qkv.weight, layer.qkv.bias).chunk(3, -1)
    size = WIDTH // HEADS
    heads = []
    for start in range(0, WIDTH, size):
        part = slice(start, start + size)
        weights = (q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(size)).softmax(-1)
        heads.append(weights @ v[..., part])
    return F.linear(torch.cat(heads, -1), layer.output.weight, layer.output.bias)


def norm(x):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()


def affine(x, layer):
    return norm(x) * layer.weight + layer.bias


def feed_forward(x, layer):
    hidden = F.linear(x, layer.up.weight, layer.up.bias)
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    return F.linear(hidden, layer.down.weight, layer.down.bias)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [(8, 12), (10, 7)])
def test_the_generator_written_out(classes, size):
    generator = scramble(pair((3, *size), classes)[0])
    z, labels = torch.randn(2, LATENT, dtype=torch.float64), torch.tensor([2, 0]) if classes else None
    joined = z if labels is None else torch.cat([z, generator.condition.embedding.weight[labels]], 1)
    style = generator.style[2](F.gelu(generator.style[0](joined)))
    x = generator.positions + generator.shift(style)[:, None]
    for block in generator.stack.layers:
        six = (block.modulation(style * torch.sigmoid(style))).view(2, 1, 6, WIDTH).unbind(2)
        x = x + six[2] * attention(norm(x) * (1 + six[0]) + six[1], block.attention)
        x = x + six[5] * feed_forward(norm(x) * (1 + six[3]) + six[4], block.feed_forward)
    pixels = generator.to_pixels(affine(x, generator.stack.norm))
    rows, columns = -(-size[0] // PATCH), -(-size[1] // PATCH)
    whole = torch.zeros(2, 3, rows * PATCH, columns * PATCH, dtype=torch.float64)
    for token in range(rows * columns):
        r, c = divmod(token, columns)
        patch = pixels[:, token].view(2, 3, PATCH, PATCH)
        whole[:, :, r * PATCH : (r + 1) * PATCH, c * PATCH : (c + 1) * PATCH] = patch
    top, left = (rows * PATCH - size[0]) // 2, (columns * PATCH - size[1]) // 2
    expected = whole[:, :, top : top + size[0], left : left + size[1]]
    torch.testing.assert_close(generator(z, labels), expected)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("size", "patch"), [((8, 12), PATCH), ((10, 7), PATCH), ((10, 7), ODD)])
def test_the_discriminator_written_out(classes, size, patch):
    discriminator = scramble(pair((3, *size), classes, patch=patch)[1])
    images, labels = torch.randn(2, 3, *size, dtype=torch.float64), torch.tensor([2, 0]) if classes else None
    rows, columns, around = -(-size[0] // patch), -(-size[1] // patch), patch // 2
    seen = patch + 2 * around
    padded = torch.zeros(2, 3, rows * patch + 2 * around, columns * patch + 2 * around, dtype=torch.float64)
    padded[:, :, around : around + size[0], around : around + size[1]] = images
    matrix = discriminator.embed.weight.flatten(1)
    tokens = [
        padded[:, :, r : r + seen, c : c + seen].flatten(1) @ matrix.T + discriminator.embed.bias
        for r in range(0, rows * patch, patch)
        for c in range(0, columns * patch, patch)
    ]
    x = torch.stack(tokens, 1) + discriminator.positions
    for block in discriminator.stack.layers:
        x = x + attention(affine(x, block.attention_norm), block.attention)
        x = x + feed_forward(affine(x, block.feed_forward_norm), block.feed_forward)
    features = affine(x, discriminator.stack.norm).mean(1)
    expected = features @ discriminator.critic.linear.weight[0] + discriminator.critic.linear.bias
    if classes:
        expected = expected + (features * discriminator.critic.projection.weight[labels]).sum(1) / WIDTH**0.5
    torch.testing.assert_close(discriminator(images, labels), expected)


def test_r1_and_its_gradient_by_finite_differences():
    """In float32 as in training: fused attention would raise here, for it has no second derivative."""
    torch.manual_seed(0)
    discriminator = scramble(pair((1, 8, 8))[1])
    images = torch.randn(3, 1, 8, 8)
    loss = ZeroCentered(1.0)(lambda x, y: discriminator.float()(x, y), images, None, None, Rng(0))
    weight = discriminator.stack.layers[0].attention.qkv.weight
    (slope,) = torch.autograd.grad(loss, weight)
    discriminator.double()

    def penalty():
        total = 0.0
        for i in range(3):
            x = images[i : i + 1].double().requires_grad_()
            (g,) = torch.autograd.grad(discriminator(x).sum(), x)
            total += 0.5 * g.square().sum().item() / 3
        return total

    assert loss.item() == pytest.approx(penalty(), rel=1e-4)
    weight, step = discriminator.stack.layers[0].attention.qkv.weight, 1e-5
    for place in ((0, 0), (9, 3), (20, 7)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
            values.append(penalty())
            with torch.no_grad():
                weight[place] -= sign * step
        assert slope[place].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=2e-2, abs=1e-4)


def test_layers_start_as_the_identity_and_can_learn():
    torch.manual_seed(0)
    generator, discriminator = pair((1, 8, 8))
    whole = generator(torch.ones(1, LATENT)), discriminator(torch.ones(1, 1, 8, 8))
    for network in (generator, discriminator):
        del network.stack.layers[0]
    assert torch.equal(generator(torch.ones(1, LATENT)), whole[0])
    assert torch.equal(discriminator(torch.ones(1, 1, 8, 8)), whole[1])
    generator, discriminator = pair((1, 8, 8))
    optimizer = torch.optim.SGD([*generator.parameters(), *discriminator.parameters()], lr=0.3)
    for _ in range(3):  # the gates open first, and what they let through learns after
        before = {id(p): p.detach().clone() for p in (*generator.parameters(), *discriminator.parameters())}
        optimizer.zero_grad()
        z, target = torch.randn(4, LATENT), torch.randn(4, 1, 8, 8)
        ((generator(z) - target).square().mean() + discriminator(target).square().mean()).backward()
        optimizer.step()
    named = [*generator.named_parameters(), *discriminator.named_parameters()]
    assert [name for name, p in named if torch.equal(p, before[id(p)])] == []


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("size", [(28, 28), (48, 64), (5, 4)])
def test_shapes_and_no_convolution_but_the_patch_embedding(channels, size):
    generator, discriminator = pair((channels, *size))
    images = generator(torch.randn(2, LATENT))
    assert images.shape == (2, channels, *size) and discriminator(images).shape == (2,)
    assert images.std() > 0.3, "an image at the start, though its layers are the identity"
    assert not (generator(torch.randn(2, LATENT))[0] - images[0]).abs().max() < 1e-3, "and z already matters"
    convolutions = [m for n in (generator, discriminator) for m in n.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions == [discriminator.embed]
