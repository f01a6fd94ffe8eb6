"""DiffAugment: each transform against loops, one setting for each sample, differentiable, decided by rng alone."""

import pytest
import torch

from luoxia.adversarial.augment import TRANSFORMS, augment, color, cutout, mirror, translation
from luoxia.adversarial.losses import LOSSES
from luoxia.adversarial.objective import Adversarial
from luoxia.tasks.image_generation.recipes.adversarial import AUGMENTATIONS
from luoxia.training.objective import Batch, Rng

NAMES = list(TRANSFORMS)


def images(n=6, c=3, h=8, w=12, dtype=torch.float32, seed=0):
    return (torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(seed)) * 2 - 1).to(dtype)


class Fixed(Rng):
    """Gives settings chosen by the test, in the order the transform asks."""

    def __init__(self, *draws):
        self.draws = list(draws)
        self.asked = []

    def _next(self, *shape):
        self.asked.append(shape)
        return torch.as_tensor(self.draws.pop(0)).expand(shape)

    def uniform(self, *shape):
        return self._next(*shape)

    def integers(self, low, high, *shape):
        value = self._next(*shape)
        assert ((low <= value) & (value < high)).all()
        return value


def test_the_menu_of_the_recipes_is_this_one():
    assert set(AUGMENTATIONS) == set(TRANSFORMS)


def test_nothing_when_there_are_none():
    x = images()
    rng = Fixed()
    assert augment(x, (), rng) is x and rng.asked == []


@pytest.mark.parametrize("name", NAMES)
def test_differentiable(name):
    x = images(3, 2, 4, 5, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: TRANSFORMS[name](t, Rng(0)), x)
    assert torch.autograd.gradgradcheck(lambda t: TRANSFORMS[name](t, Rng(0)).square(), x)


@pytest.mark.parametrize("name", NAMES)
def test_decided_by_the_generator_alone(name):
    x = images(32)
    first = TRANSFORMS[name](x, Rng(7))
    torch.rand(3)
    assert torch.equal(first, TRANSFORMS[name](x, Rng(7)))
    assert not torch.equal(first, TRANSFORMS[name](x, Rng(8)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shape_and_input_are_kept(name, channels):
    x = images(c=channels)
    before = x.clone()
    y = TRANSFORMS[name](x, Rng(0))
    assert y.shape == x.shape and y.dtype == x.dtype and torch.equal(x, before)


@pytest.mark.parametrize("name", NAMES)
def test_each_sample_has_its_own_setting(name):
    """The same picture 64 times becomes many different ones: all, or as many as there are settings."""
    x = images(1, 3, 16, 16).repeat(64, 1, 1, 1)
    different = len(TRANSFORMS[name](x, Rng(0)).flatten(1).unique(dim=0))
    assert different >= {"mirror": 2, "translation": 15, "cutout": 30, "color": 64}[name]


@pytest.mark.parametrize("name", NAMES)
def test_samples_do_not_mix(name):
    """A sample's gradient and value do not depend on its neighbors."""
    x = images().requires_grad_()
    (slope,) = torch.autograd.grad(TRANSFORMS[name](x, Rng(0))[2].square().sum(), x)
    others = [i for i in range(len(x)) if i != 2]
    assert (slope[others] == 0).all() and (slope[2] != 0).any()


@pytest.mark.parametrize("h, w", [(8, 8), (16, 24), (28, 28)])
def test_translation_by_loops(h, w):
    x = images(5, 2, h, w)
    reach_y, reach_x = round(h / 8 + 1e-9), round(w / 8 + 1e-9)
    if h == 28:
        reach_y = reach_x = 4  # 3.5, rounded up
    dy = torch.tensor([[-reach_y], [0], [reach_y], [1], [-1]])
    dx = torch.tensor([[reach_x], [0], [-reach_x], [-1], [1]])
    found = translation(x, Fixed(dy, dx))
    for i in range(5):
        for row in range(h):
            for column in range(w):
                source = min(max(row + int(dy[i]), 0), h - 1), min(max(column + int(dx[i]), 0), w - 1)
                assert torch.equal(found[i, :, row, column], x[i, :, source[0], source[1]])
    assert torch.equal(found[1], x[1])


def test_translation_uses_its_whole_range_evenly():
    """Shifts of a ramp tell by how much: −2 … 2 of 16, each about as often."""
    x = torch.arange(16.0).view(1, 1, 1, 16).expand(5000, 1, 16, 16)
    shifts = translation(x, Rng(0))[:, 0, 0, 8] - 8
    values, counts = shifts.unique(return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2] and counts.min() > 850


@pytest.mark.parametrize("h, w", [(8, 8), (9, 12)])
def test_cutout_by_loops(h, w):
    x = images(4, 2, h, w).abs() + 0.1
    cy, cx = torch.tensor([[0], [h // 2], [h], [3]]), torch.tensor([[0], [w // 2], [w], [w]])
    found = cutout(x, Fixed(cy, cx))
    for i in range(4):
        for row in range(h):
            for column in range(w):
                hidden = abs(row - int(cy[i])) < h / 4 and abs(column - int(cx[i])) < w / 4
                expected = torch.zeros(2) if hidden else x[i, :, row, column]
                assert torch.equal(found[i, :, row, column], expected)


def test_cutout_hides_about_half_of_each_side():
    hidden = (cutout(torch.ones(1, 1, 64, 64), Fixed([[32]], [[32]])) == 0)[0, 0]
    assert 30 <= hidden.any(1).sum() <= 32 and 30 <= hidden.any(0).sum() <= 32


def test_mirror_by_hand():
    x = images(3)
    found = mirror(x, Fixed(torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1, 1)))
    assert (
        torch.equal(found[0], x[0].flip(-1)) and torch.equal(found[1], x[1]) and torch.equal(found[2], x[2])
    )


def test_color_by_loops():
    """Brightness, then saturation about each pixel's gray, then contrast about the picture's mean."""
    x = images(3, dtype=torch.float64)
    b, s, c = (torch.rand(3, 1, 1, 1, generator=torch.Generator().manual_seed(i)).double() for i in range(3))
    found = color(x, Fixed(b, s, c))
    for i in range(3):
        bright = x[i] + (b[i].item() - 0.5)
        gray = (bright[0] + bright[1] + bright[2]) / 3
        vivid = torch.stack([gray + (plane - gray) * (2 * s[i].item()) for plane in bright])
        mean = vivid.sum() / vivid.numel()
        torch.testing.assert_close(found[i], mean + (vivid - mean) * (0.5 + c[i].item()))


def test_color_leaves_a_picture_alone_at_its_middle_setting():
    x = images()
    torch.testing.assert_close(color(x, Fixed(0.5, 0.5, 0.5)), x)


def test_transforms_apply_in_the_order_given():
    x = images(4, 3, 16, 16)
    rng = Rng(3)
    expected = cutout(translation(x, rng), rng)
    assert torch.equal(augment(x, ("translation", "cutout"), Rng(3)), expected)
    assert not torch.equal(augment(x, ("cutout", "translation"), Rng(3)), expected)


def test_the_discriminator_sees_augmented_images_only():
    """Real and generated alike, in D's step and in G's, with gradients to G through the transform."""

    class Bias(torch.nn.Module):
        latent, classes = 2, 0

        def __init__(self):
            super().__init__()
            self.picture = torch.nn.Parameter(images(1)[0].abs() + 0.1)

        def forward(self, z, labels=None):
            return self.picture.expand(len(z), -1, -1, -1)

    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, x, labels=None):
            self.seen.append(x)
            return x.sum((1, 2, 3))

    generator, discriminator = Bias(), Sum()
    objective = Adversarial(
        generator, discriminator, LOSSES["relativistic"](), augmentations=("cutout",), penalties=[]
    )
    real = Batch(images(8).abs() + 0.1)
    objective.discriminator_losses(real, Rng(0))
    losses = objective.generator_losses(real, Rng(1))
    seen = torch.cat(discriminator.seen)
    assert len(seen) == 4 * 8 and (seen == 0).flatten(1).any(1).all()
    losses["adversarial"].backward()
    assert generator.picture.grad.abs().sum() > 0
