"""Patches along one axis or several."""

import pytest
import torch

from luoxia.nn.patches import cut, patch_grid, put_together


@pytest.mark.parametrize(
    ("sizes", "patch"),
    [((12,), (4,)), ((10,), (4,)), ((8, 12), (4, 4)), ((7, 9), (4, 2)), ((3, 5, 6), (2, 2, 4))],
)
@pytest.mark.parametrize("channels", [1, 4])
def test_put_together_is_what_was_cut(sizes, patch, channels):
    x = torch.randn(2, channels, *sizes)
    patches = cut(x, patch)
    assert patches.shape[1] == torch.tensor(patch_grid(sizes, patch)).prod()
    assert torch.equal(put_together(patches, sizes, patch), x)


def test_a_patch_holds_what_lies_together():
    x = torch.arange(24.0).view(1, 1, 4, 6)
    assert cut(x, (2, 3))[0, 1].tolist() == [3, 4, 5, 9, 10, 11]
    assert cut(x, (2, 3))[0, 2].tolist() == [12, 13, 14, 18, 19, 20]
