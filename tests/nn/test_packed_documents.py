"""Documents packed into rows, by a kernel that knows where each begins in place of a mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from luoxia.media.text.tokens import Windows
from luoxia.nn import attention
from luoxia.nn.transformer import Decoder, TransformerConfig

SEGMENTS = np.array([[0, 0, 0, 1, 1, 2, 2, 2], [0] * 8, [0, 1, 2, 2, 2, 2, 3, 3]], np.int32)


def one_by_one(q, k, v, bounds, longest):
    """What the kernel promises, a document at a time."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
    parts = []
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        assert 0 <= end - begin <= longest
        own = (x[begin:end].transpose(0, 1) for x in (q, k, v))
        if end > begin:
            parts.append(F.scaled_dot_product_attention(*own, is_causal=True).transpose(0, 1))
    return torch.cat(parts)


def test_bounds_are_where_documents_begin():
    bounds = Windows(SEGMENTS, SEGMENTS, SEGMENTS).bounds()
    assert bounds.dtype == np.int32 and bounds.tolist() == [0, 3, 5, 8, 16, 17, 18, 22, 24]


@pytest.mark.parametrize(
    "given", [{}, {"qk_norm": True, "kv_heads": 1}, {"positions": "learned", "norm": "layer"}]
)
def test_it_computes_what_a_mask_computes(given, monkeypatch):
    torch.manual_seed(0)
    network = Decoder(TransformerConfig(40, width=16, layers=2, heads=2, context=8, **given)).double()
    ids, segments = torch.randint(0, 40, (3, 8)), torch.from_numpy(SEGMENTS)
    bounds = torch.from_numpy(Windows(SEGMENTS, SEGMENTS, SEGMENTS).bounds())
    masked = network(ids, segments=segments)
    assert torch.equal(network(ids, segments=segments, bounds=bounds), masked)  # the kernel knows no float64
    monkeypatch.setattr(Decoder, "attends_packed", lambda self, device: True)
    monkeypatch.setattr(attention, "packed_attention", one_by_one)
    torch.testing.assert_close(network(ids, segments=segments, bounds=bounds), masked)


@pytest.mark.parametrize(
    ("changed", "can"),
    [({}, True), ({"window": 4}, False), ({"attention_dropout": 0.1}, False), ({"head_width": 12}, False)],
)
def test_what_the_kernel_cannot_do_is_left_to_the_mask(changed, can):
    network = Decoder(TransformerConfig(40, width=16, layers=1, heads=2, context=8, **changed))
    ids = torch.zeros(1, 8, dtype=torch.int64)
    assert not network.attends_packed(ids.device)  # float32
    with torch.autocast("cpu", torch.bfloat16):
        assert network.attends_packed(ids.device) is can
