"""R1 and R2 from the pass that gives the logits: the same losses and gradients as in passes of their own."""

import pytest
import torch

from luoxia.adversarial.joint_r1_r2 import OnePass
from luoxia.adversarial.losses import LOSSES
from luoxia.adversarial.objective import Adversarial
from luoxia.adversarial.penalties import PENALTIES
from luoxia.tasks.image_generation.networks import r3gan
from luoxia.tasks.image_generation.recipes.r3gan import R3GAN
from luoxia.training.objective import Batch, Rng
from pairs import a_discriminator, a_generator

SHAPE = (2, 8, 8)


def losses_and_gradients(kind, loss, classes, dtype=torch.float32):
    torch.manual_seed(3)
    generator, discriminator = (
        a_generator(r3gan, 4, SHAPE, 4, max_channels=8, group=4, classes=classes),
        a_discriminator(r3gan, SHAPE, 4, max_channels=8, group=4, classes=classes),
    )
    with torch.no_grad():
        for p in (*generator.parameters(), *discriminator.parameters()):
            p.normal_(0, 0.3)
    objective = kind(generator, discriminator, LOSSES[loss](), penalties=PENALTIES["r1+r2"](0.7))
    labels = torch.tensor([0, 2, 1, 1, 0]) if classes else None
    batch = Batch(torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(4)), labels)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        losses = objective.discriminator_losses(batch, Rng(5))
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in discriminator.named_parameters()}


@pytest.mark.parametrize("loss", ["relativistic", "nonsaturating"])
@pytest.mark.parametrize("classes", [0, 3])
def test_one_pass_equals_three(loss, classes):
    one, one_slopes = losses_and_gradients(OnePass, loss, classes)
    three, three_slopes = losses_and_gradients(Adversarial, loss, classes)
    assert one.keys() == three.keys() == {"adversarial", "r1", "r2"}
    for name, value in three.items():
        torch.testing.assert_close(one[name], value, rtol=1e-5, atol=1e-6)
    for name, slope in three_slopes.items():
        torch.testing.assert_close(one_slopes[name], slope, rtol=1e-4, atol=1e-5, msg=name)


def test_under_autocast_the_pass_is_rounded_and_its_losses_are_float32():
    mixed, slopes = losses_and_gradients(OnePass, "relativistic", 0, torch.bfloat16)
    exact, expected = losses_and_gradients(OnePass, "relativistic", 0)
    assert all(value.dtype == torch.float32 for value in mixed.values())
    assert not torch.equal(mixed["r1"], exact["r1"]), "real images pass D in bfloat16 too"
    for name in ("adversarial", "r1"):
        torch.testing.assert_close(mixed[name], exact[name], rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(slopes["judge.weight"], expected["judge.weight"], rtol=0.1, atol=0.05)


@pytest.mark.parametrize(("settings", "kind"), [({}, OnePass), ({"penalty": "r1"}, Adversarial)])
def test_which_recipe_has_it(settings, kind):
    from luoxia.media.image.images import ImageSpec

    assert type(R3GAN(**settings).build(ImageSpec(8, 8, 1, 0))) is kind
