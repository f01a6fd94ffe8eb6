"""Gradients written out, against those that autograd composes, and attention by products against the kernel."""

import pytest
import torch
import torch.nn.functional as F

from luoxia.nn import fused_ops as by_hand
from luoxia.nn.attention import attend, attend_by_products
from luoxia.nn.positions import rotary, rotate
from luoxia.nn.stack import relu2


def both(function, *inputs):
    """The value and the gradients of a random projection of it."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    return y, *torch.autograd.grad((y * direction).sum(), leaves)


def compare(one, two, *inputs, tolerance=1e-12):
    for a, b in zip(both(one, *inputs), both(two, *inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def normalized(x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt()


def test_normalization():
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    compare(lambda x: by_hand.Normalized.apply(x, 1e-3), normalized, x)


@pytest.mark.parametrize("per_row", [False, True])
def test_normalization_and_rotation(per_row):
    x = torch.randn(3, 5, 2, 8, dtype=torch.float64)
    positions = torch.randint(0, 20, (3, 5)) if per_row else torch.arange(5)
    rotation = rotary(20, 8, 100.0).double().unsqueeze(1)[positions].chunk(2, dim=-2)
    rotation = tuple(r.squeeze(-3) for r in rotation)
    compare(
        lambda x: by_hand.NormalizedAndRotated.apply(x, *rotation, 1e-3),
        lambda x: rotate(normalized(x), rotation),
        x,
        tolerance=1e-6,  # the table is in float32: a rotation to that
    )


def test_relu_squared():
    x = torch.randn(4, 7, dtype=torch.float64)
    compare(relu2, lambda x: x.clamp(min=0).pow(2), x)


def test_bfloat16_stays_bfloat16():
    x = torch.randn(3, 5, 2, 8).bfloat16()
    rotation = rotary(5, 8, 100.0).chunk(2, dim=-2)
    compare(
        lambda x: by_hand.NormalizedAndRotated.apply(x, *rotation, 1e-3).float(),
        lambda x: rotate(normalized(x.float()), rotation).bfloat16().float(),
        x,
        tolerance=2e-2,
    )


@pytest.mark.parametrize("mask", ["none", "causal", "rows", "shared"])
def test_attention_by_products_is_the_kernels(mask):
    q, k, v = (torch.randn(2, 3, 6, 4, dtype=torch.float64) for _ in range(3))
    masks = {"rows": torch.rand(2, 1, 6, 6) < 0.5, "shared": torch.rand(1, 1, 6, 6) < 0.5}
    seen = masks[mask] | torch.eye(6, dtype=torch.bool) if mask in masks else None
    causal = mask == "causal"
    compare(
        lambda *qkv: attend_by_products(*qkv, seen, causal, 0.0),
        lambda *qkv: F.scaled_dot_product_attention(*qkv, attn_mask=seen, is_causal=causal),
        q,
        k,
        v,
    )


def test_attention_in_training_drops_weights_and_keeps_their_mean():
    q, k = (torch.randn(1, 1, 4, 4, requires_grad=True) for _ in range(2))
    v = torch.eye(4).view(1, 1, 4, 4)
    torch.manual_seed(0)
    drawn = torch.stack([attend(q, k, v, None, False, 0.5).detach() for _ in range(4000)])
    weights = attend(q, k, v, None, False, 0.0)
    assert (drawn == 0).float().mean() == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(drawn.mean(0), weights, rtol=0, atol=0.05)
