"""What Luoxia calls of torch that torch does not promise to keep: each in one place, with a public way beside it.

``tests/nn/test_torch_private.py`` asks of each whether it is there and does what is written here; a release of
torch that drops one costs speed, not the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def found(place: Any, name: str) -> Any:
    """The private function of that name; None in a release without it."""
    return getattr(place, name, None)


def each(operation: str, tensors: Sequence[Tensor], *arguments: Any) -> list[Tensor]:
    """``tensor.operation(*arguments)`` of all tensors in few kernels, such as ``each("mul_", weights, 0.5)``.

    An argument that is a list holds one value for each tensor.
    """
    together = found(torch, f"_foreach_{operation}")
    if together is not None:
        changed = together(tensors, *arguments)
        return list(tensors if operation.endswith("_") else changed)
    rows = zip(*(a if isinstance(a, list) else [a] * len(tensors) for a in arguments), strict=True)
    return [getattr(tensor, operation)(*row) for tensor, row in zip(tensors, rows, strict=True)]


def adam_(
    parameters: list[Tensor],
    gradients: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
    **settings: Any,
) -> None:
    """An update of Adam under β1 = 0 in place, ``steps`` counted up; the gradients are used up.

    ``settings``: lr, beta2, weight_decay, eps, grad_scale and found_inf, which undoes the count too. torch's kernel is
    called without torch's sorting of parameters: they must be of one type and on one device.
    """
    kernel = found(torch, "_fused_adam_")
    moments: Any = (parameters, gradients, gradients, squares, [], steps)
    settings |= {"beta1": 0.0, "amsgrad": False, "maximize": False}
    if kernel is None:
        from torch.optim.adam import adam

        adam(*moments, **{**settings, "fused": True})
        return
    each("add_", steps, 1)
    kernel(*moments, **settings)
    if settings["found_inf"] is not None:  # an update that was skipped does not count
        each("sub_", steps, [settings["found_inf"]] * len(steps))


def int8_products(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """X (rows, in) in bfloat16, weight (out, in) in 8 bits, scale (out,) → x Wᵀ · scale (rows, out), on a CPU."""
    kernel = found(torch, "_weight_int8pack_mm")
    if kernel is None:
        return F.linear(x, weight.to(x.dtype)) * scale.to(x.dtype)
    products: Tensor = kernel(x, weight, scale)
    return products


def packs_bfloat16() -> bool:
    """Whether oneDNN lays out and multiplies bfloat16 matrices here: `packed` and `packed_products` need it."""
    names = ("_is_mkldnn_bf16_supported", "_reorder_linear_weight", "_linear_pointwise")
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or not all(found(torch.ops.mkldnn, name) for name in names):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packed(weight: Tensor) -> Tensor:
    """A matrix (out, in) in bfloat16 in oneDNN's own order, which no method of a tensor knows."""
    laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return laid_out


def packed_products(x: Tensor, weight: Tensor, bias: Tensor | None, then: tuple[str, str]) -> Tensor:
    """X (..., in) times a `packed` matrix, plus a bias (out,); ``then``: oneDNN's name of an activation, its kind."""
    name, kind = then
    products: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, [], kind)
    return products


def has_bfloat16_units() -> bool:
    """Whether this CPU multiplies bfloat16 natively."""
    asked = [found(torch.cpu, name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    if None not in asked:
        return any(bool(ask()) for ask in asked if ask is not None)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile"))


def weight_gradient(g: Tensor, x: Tensor, weight: Tensor, padding: int, groups: int) -> Tensor:
    """dL/dw of a convolution with stride 1, from g = dL/dy (n, out, h, w) and x (n, in, h, w)."""
    kernel = found(torch.ops.aten, "convolution_backward")
    gradient: Tensor
    if kernel is None:
        from torch.nn.grad import conv2d_weight

        gradient = conv2d_weight(x, weight.shape, g, padding=padding, groups=groups)  # type: ignore[no-untyped-call]
        return gradient
    around = ([1, 1], [padding, padding], [1, 1], False, [0, 0], groups)
    gradient = kernel(g, x, weight, None, *around, [False, True, False])[1]
    return gradient


def attends_packed(device: torch.device) -> bool:
    """Whether the flash kernel for rows of packed documents is there: `packed_attention` needs it."""
    if device.type != "cuda" or torch.version.cuda is None or found(torch.ops.aten, PACKED) is None:
        return False
    return torch.backends.cuda.is_flash_attention_available() and torch.cuda.get_device_capability(
        device
    ) >= (8, 0)


def packed_attention(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """softmax(QKᵀ/√d)V of each position over those before it in its document, in half precision.

    Q (tokens, heads, d), k and v (tokens, kv_heads, d), documents end to end; ``bounds`` (documents + 1,) int32: where
    each begins, and the end of the last. None is longer than ``longest``. Gives (tokens, heads, d).
    """
    kernel = found(torch.ops.aten, PACKED)
    attended: Tensor = kernel(q, k, v, bounds, bounds, longest, longest, 0.0, True, False)[0]
    return attended


def any_length(tensor: Tensor) -> Tensor:
    """The tensor, marked for ``torch.compile``: its first dimension changes from call to call, so compile once for all.

    Without the mark torch compiles for the first length, and for any when it meets a second.
    """
    import torch._dynamo

    mark = found(torch._dynamo, "maybe_mark_dynamic")
    if mark is not None:
        mark(tensor, 0)
    return tensor


PACKED = "_flash_attention_forward"
SAMPLING = (0, 1, True)
"""Bilinear, clamped to the border, corners at ±1."""


def spread_samples(y: Tensor, places: Tensor, size: torch.Size) -> Tensor:
    """The adjoint of bilinear ``grid_sample``, clamped to the border and with corners at ±1.

    Y (n, c, h, w) at places (n, h, w, 2) → an image of ``size``.
    """
    kernel = found(torch.ops.aten, "grid_sampler_2d_backward")
    if kernel is None:
        with torch.enable_grad():
            x = y.new_zeros(size).requires_grad_()
            sampled = F.grid_sample(x, places, "bilinear", "border", align_corners=True)
        return torch.autograd.grad(sampled, x, y)[0]
    spread: Tensor = kernel(y, y.new_zeros(()).expand(size), places, *SAMPLING, [True, False])[0]
    return spread
