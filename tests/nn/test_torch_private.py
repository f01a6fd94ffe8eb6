"""torch's private functions are there, do what we think, and can be done without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.testing import CompileCounter

import luoxia
from luoxia.nn import torch_private

FOREACH = ("mul_", "add_", "sub_", "lerp_", "lerp", "clamp_min_", "clamp_max_")


@pytest.fixture(params=[True, False], ids=["private", "public"])
def there(request, monkeypatch):
    """Once with torch's private functions, once as in a release without them."""
    if not request.param:
        monkeypatch.setattr(torch_private, "found", lambda place, name: None)
    return request.param


def draw(*sizes: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


def test_they_stand_in_one_module_alone():
    private = re.compile(
        r"torch\._[a-z]|torch\.cpu\._|ops\.(mkldnn|aten)\.|_local_tensor|torch\._C\b|_foreach_|_fused_"
    )
    source = Path(luoxia.__file__).parent
    found = {
        f"{path.relative_to(source)}: {line.strip()}"
        for path in source.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if path.name != "torch_private.py" and private.search(line)
    }
    assert not found


def test_they_are_there():
    assert all(hasattr(torch, f"_foreach_{name}") for name in FOREACH)
    assert hasattr(torch, "_fused_adam_") and hasattr(torch, "_weight_int8pack_mm")
    assert hasattr(torch.ops.aten, "grid_sampler_2d_backward")
    assert hasattr(torch.ops.aten, "convolution_backward")
    assert hasattr(torch.cpu, "_is_avx512_bf16_supported") and hasattr(torch.cpu, "_is_amx_tile_supported")
    if torch.backends.mkldnn.is_available():
        names = ("_is_mkldnn_bf16_supported", "_reorder_linear_weight", "_linear_pointwise")
        assert all(hasattr(torch.ops.mkldnn, name) for name in names)


@pytest.mark.parametrize("name", FOREACH)
def test_each(there, name):
    tensors, ends = [draw(3), draw(2, 2, seed=1)], [draw(3, seed=2), draw(2, 2, seed=3)]
    arguments = (ends, 0.3) if name.startswith("lerp") else (0.4,)
    rows = [(end, 0.3) for end in ends] if name.startswith("lerp") else [(0.4,)] * 2
    wanted = [getattr(t.clone(), name)(*row) for t, row in zip(tensors, rows, strict=True)]
    before = [t.clone() for t in tensors]
    found = torch_private.each(name, tensors, *arguments)
    for one, tensor, old, other in zip(found, tensors, before, wanted, strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(tensor, other if name.endswith("_") else old)


def test_each_takes_a_value_on_the_device():
    found = torch_private.each("mul_", [torch.ones(2), torch.ones(3)], torch.tensor(0.5))
    assert [t.tolist() for t in found] == [[0.5] * 2, [0.5] * 3]


@pytest.mark.parametrize("bad", [None, 0.0, 1.0])
def test_adam(there, bad):
    lr, beta2, decay, eps = 0.1, 0.9, 0.01, 1e-8
    weight, square, step = draw(5), draw(5, seed=1).square(), torch.tensor(3.0)
    gradient = draw(5, seed=2)
    g = gradient + decay * weight
    v = beta2 * square + (1 - beta2) * g**2
    wanted = weight - lr * g / ((v / (1 - beta2**4)).sqrt() + eps)  # algorithm 1 with β1 = 0
    if bad:
        wanted, v = weight.clone(), square.clone()
    found = None if bad is None else torch.tensor(bad)
    settings = {"lr": lr, "beta2": beta2, "weight_decay": decay, "eps": eps, "grad_scale": None}
    torch_private.adam_([weight], [gradient], [square], [step], found_inf=found, **settings)
    torch.testing.assert_close(weight, wanted)
    torch.testing.assert_close(square, v)
    assert step == (3.0 if bad else 4.0)


def test_products_of_8_bits(there):
    weight = torch.randint(-127, 128, (8, 64), generator=torch.Generator().manual_seed(1), dtype=torch.int8)
    x, scale = draw(3, 64).bfloat16(), torch.rand(8).bfloat16()
    wanted = F.linear(x.double(), weight.double()) * scale.double()
    found = torch_private.int8_products(x, weight, scale).double()
    assert ((found - wanted).norm() / wanted.norm()) < 0.01


@pytest.mark.skipif(not torch_private.packs_bfloat16(), reason="this CPU has no oneDNN for bfloat16")
@pytest.mark.parametrize("then", [("none", ""), ("gelu", "tanh")])
def test_packed_products(then):
    weight, bias, x = draw(8, 16).bfloat16(), draw(8, seed=1).bfloat16(), draw(3, 16, seed=2).bfloat16()
    wanted = F.linear(x.double(), weight.double(), bias.double())
    wanted = F.gelu(wanted, approximate="tanh") if then[0] == "gelu" else wanted
    found = torch_private.packed_products(x, torch_private.packed(weight), bias, then).double()
    assert ((found - wanted).norm() / wanted.norm()) < 0.01


def test_without_onednn_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not torch_private.packs_bfloat16()


def test_without_its_functions_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(torch_private, "found", lambda place, name: None)
    assert not torch_private.packs_bfloat16()


def test_units_of_bfloat16_are_found_in_public_too(monkeypatch):
    known = torch_private.has_bfloat16_units()
    monkeypatch.setattr(torch_private, "found", lambda place, name: None)
    if hasattr(torch.cpu, "get_capabilities"):
        assert torch_private.has_bfloat16_units() == known
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert torch_private.has_bfloat16_units() is False


def test_spread_is_the_adjoint_of_sampling(there):
    image, y, places = draw(2, 3, 5, 6).double(), draw(2, 3, 4, 4, seed=1).double(), draw(2, 4, 4, 2, seed=2)
    sampled = F.grid_sample(image, places.double(), "bilinear", "border", align_corners=True)
    with torch.no_grad():
        spread = torch_private.spread_samples(y, places.double(), image.shape)
    torch.testing.assert_close((sampled * y).sum(), (image * spread).sum())
    assert spread.shape == image.shape and not spread.requires_grad


def test_any_length_is_compiled_once(there):
    counter = CompileCounter()
    double = torch.compile(lambda x: x * 2, backend=counter)
    for length in (3, 5, 9):
        x = draw(length)
        assert torch.equal(double(torch_private.any_length(x)), x * 2)
    assert counter.frame_count == (1 if there else 2)


def test_a_cpu_has_no_kernel_for_packed_documents(there):
    assert hasattr(torch.ops.aten, torch_private.PACKED)
    assert not torch_private.attends_packed(torch.device("cpu"))


def test_gradients_of_weights(there):
    x, weight, g = draw(2, 4, 5, 6), draw(6, 2, 3, 3, seed=1).requires_grad_(), draw(2, 6, 5, 6, seed=2)
    wanted = torch.autograd.grad(F.conv2d(x, weight, padding=1, groups=2), weight, g)[0]
    torch.testing.assert_close(torch_private.weight_gradient(g, x, weight.detach(), 1, 2), wanted)
