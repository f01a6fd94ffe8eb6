"""Quantizers: every code has one token and every token one code, over the whole book; bugs of public code."""

import pytest
import torch

from luoxia.core.errors import UsageError
from luoxia.nn.autoencoder import perturbed
from luoxia.nn.quantizers import FSQ, VQ, Continuous, k_means

BOOKS = [(2,), (2, 2), (3,), (4,), (8, 5, 5, 5), (7, 5, 5, 5, 5), (8, 8, 8, 6, 5), (2, 3, 16), (15, 2)]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def whole_book(quantizer):
    """Every token, as a batch of one row."""
    return torch.arange(quantizer.vocabulary)[None, :, None]


def latents_of(codes):
    """Latents that land in the middle of the intervals of ``codes``."""
    return torch.atanh(codes.double()).float()


@pytest.mark.parametrize("levels", BOOKS, ids=str)
def test_tokens_and_codes_of_the_whole_book_are_a_bijection(levels):
    fsq = FSQ(levels)
    tokens = whole_book(fsq)
    codes = fsq.codes_of(tokens)
    assert codes.shape == (1, len(levels), fsq.vocabulary) and codes.dtype == torch.float32
    assert len(codes[0].T.unique(dim=0)) == fsq.vocabulary
    again = fsq(latents_of(codes))
    assert again.tokens.dtype == torch.int64 and torch.equal(again.tokens, tokens)
    torch.testing.assert_close(again.codes, codes)


@pytest.mark.parametrize("levels", BOOKS, ids=str)
def test_codes_lie_symmetrically_around_0(levels):
    """The symmetric variant that was wrong: lucidrains/vector-quantize-pytorch, issues 194 and 200."""
    codes = FSQ(levels).codes_of(whole_book(FSQ(levels)))[0]
    for channel, many in zip(codes, levels, strict=True):
        values = channel.unique()
        assert len(values) == many
        torch.testing.assert_close(values, -values.flip(0))
        gaps = values.diff()
        torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps))


def test_two_levels_are_both_used():
    """The same, issue 237: one of two levels was out of reach."""
    latents = torch.randn(4000, 3, generator=rng())
    tokens = FSQ((2, 2, 2))(latents[..., None]).tokens
    assert torch.equal(tokens[:, 0, 0], ((latents > 0).long() * torch.tensor([1, 2, 4])).sum(1))
    assert torch.bincount(tokens.flatten(), minlength=8).min() > 400


def test_autocast_loses_no_code():
    """The same, issue 114: under bfloat16 half of the codes were used."""
    fsq = FSQ((8, 8, 8, 6, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = fsq(latents_of(fsq.codes_of(whole_book(fsq))).bfloat16())
    assert found.codes.dtype == torch.float32
    assert torch.equal(found.tokens, whole_book(fsq))


def test_no_latent_is_out_of_the_book():
    """The same, issue 207: noise gave negative tokens."""
    fsq = FSQ((8, 5, 2))
    ends = torch.tensor([-torch.inf, -1e30, -50.0, 0.0, 50.0, 1e30, torch.inf])
    tokens = fsq(torch.cartesian_prod(ends, ends, ends)[..., None]).tokens
    assert tokens.min() == 0 and tokens.max() == fsq.vocabulary - 1


def test_large_tokens_are_exact():
    """stable-codec, issue 8: where tokens passed through floats, one in twenty was wrong."""
    fsq = FSQ((2**15, 2**15))
    tokens = torch.randint(fsq.vocabulary, (1, 20_000, 1), generator=rng())
    assert tokens.max() > 2**24
    assert torch.equal(fsq(latents_of(fsq.codes_of(tokens))).tokens, tokens)


def test_a_latent_takes_the_code_of_its_interval():
    fsq = FSQ((5, 4))
    latents = torch.randn(200, 2, 3, generator=rng())
    codes = fsq(latents).codes
    for channel, many in enumerate((5, 4)):
        book = torch.tensor([(2 * i + 1) / many - 1 for i in range(many)])
        y = latents[:, channel].tanh()
        nearest = book[(y[..., None] - book).abs().argmin(-1)]
        torch.testing.assert_close(codes[:, channel], nearest)


def test_the_gradient_passes_the_rounding():
    latents = torch.randn(7, 4, 3, 2, generator=rng()).requires_grad_()
    weights = torch.randn(7, 4, 3, 2, generator=rng(1))
    (FSQ((8, 5, 5, 5))(latents).codes * weights).sum().backward()
    torch.testing.assert_close(latents.grad, weights * (1 - latents.detach().tanh() ** 2))


@pytest.mark.parametrize("levels", [(2,), (2, 2, 2), (8, 5, 5, 5)], ids=str)
def test_near_tokens_differ_by_one_step_of_one_digit(levels):
    fsq = FSQ(levels)
    tokens = whole_book(fsq)
    near = fsq.near(tokens, rng())
    assert near.min() >= 0 and near.max() < fsq.vocabulary
    steps = (fsq._digits(near) - fsq._digits(tokens)).abs()
    assert torch.equal(steps.sum(-1), torch.ones_like(steps[..., 0]))


@pytest.mark.parametrize("levels", [(), (1, 5), (2**16, 2**16)])
def test_levels_that_make_no_book_are_refused(levels):
    with pytest.raises(UsageError, match=r"levels=.*: give one number or more from 2 on"):
        FSQ(levels)


# ------------------------------------------------------------------ a learned book


def clusters(k=6, each=40, width=3, seed=0):
    """(centers (k, width), points (k · each, width)) far apart."""
    centers = 10 * torch.randn(k, width, generator=rng(seed))
    return centers, centers.repeat_interleave(each, 0) + 0.1 * torch.randn(
        k * each, width, generator=rng(seed + 1)
    )


def learned(vq, points, steps=1):
    for step in range(steps):
        latents = points.T[None]  # (1, width, t)
        vq.learn(latents, vq(latents).tokens, rng(step))
    return vq


def test_a_token_is_the_nearest_code_and_the_whole_book_a_bijection():
    torch.manual_seed(0)
    vq = VQ(50, 3)
    points = torch.randn(200, 3, generator=rng())
    tokens = vq(points.T[None]).tokens
    by_hand = [(vq.book.double() - p.double()).square().sum(1).argmin() for p in points]
    assert tokens.flatten().tolist() == [int(i) for i in by_hand]
    assert torch.equal(vq(vq.codes_of(whole_book(vq))).tokens, whole_book(vq))


def test_the_book_begins_as_the_means_of_the_first_latents():
    _, points = clusters()
    vq = learned(VQ(6, 3), points)
    means = points.view(6, 40, 3).mean(1)
    own = torch.cdist(means, vq.book).argmin(1)
    assert sorted(own.tolist()) == list(range(6))
    torch.testing.assert_close(vq.book[own], means)


def test_few_latents_fill_a_large_book():
    vq = learned(VQ(64, 3), torch.randn(10, 3, generator=rng()))
    assert torch.isfinite(vq.book).all() and len(vq.book.unique(dim=0)) > 10


def test_the_book_follows_its_averages():
    torch.manual_seed(0)
    _, points = clusters(k=4)
    vq = learned(VQ(4, 3), points)
    uses, sums = vq.uses.double(), vq.sums.double()
    moved = points + 0.3
    tokens = vq(moved.T[None]).tokens.flatten()
    vq.learn(moved.T[None], tokens[None, :, None], rng())
    for code in range(4):
        mine = moved[tokens == code].double()
        uses[code] = 0.99 * uses[code] + 0.01 * len(mine)
        sums[code] = 0.99 * sums[code] + 0.01 * mine.sum(0)
    assert vq.uses.min() > 0
    torch.testing.assert_close(vq.book, (sums / uses[:, None]).float())


def test_dead_codes_are_replaced():
    """BEiT-v2 left half of 1,000 codes dead on 30,000 images (microsoft/unilm, issue 936)."""
    torch.manual_seed(0)
    points = torch.randn(500, 3, generator=rng())
    vq = learned(VQ(32, 3), points)
    vq.book[5:] += 1000.0
    vq.sums.copy_(vq.book * vq.uses[:, None])
    vq.uses[5:] *= 0.01
    vq.sums[5:] *= 0.01
    before = vq(points.T[None]).tokens.unique().numel()
    learned(vq, points, steps=20)
    after = vq(points.T[None]).tokens.unique().numel()
    assert before <= 5 and after >= 30


def test_equal_generators_make_equal_books():
    points = torch.randn(300, 3, generator=rng())
    books = []
    for _ in range(2):
        torch.manual_seed(0)
        books.append(learned(VQ(40, 3), points, steps=3).book)
    assert torch.equal(*books)


def test_latents_are_held_at_their_codes():
    torch.manual_seed(0)
    vq = VQ(9, 2)
    latents = torch.randn(5, 2, 4, generator=rng()).requires_grad_()
    found = vq(latents)
    found.commitment.backward()
    gap = latents.detach() - vq.codes_of(found.tokens)
    torch.testing.assert_close(found.commitment.detach(), gap.square().sum(1).mean())
    torch.testing.assert_close(latents.grad, 2 * gap / 20)


def test_near_codes_are_near_and_others():
    torch.manual_seed(0)
    vq = VQ(200, 2)
    tokens = whole_book(vq)
    near = vq.near(tokens, rng())
    assert (near != tokens).all()
    far = torch.cdist(vq.book, vq.book).argsort(1)
    for token, found in zip(tokens.flatten(), near.flatten(), strict=True):
        assert found in far[token, 1:11]


def test_a_book_of_impossible_size_is_refused():
    with pytest.raises(UsageError, match="codes=1: a learned book has 2 to"):
        VQ(1, 4)


# ------------------------------------------------------------------ both, and neither


@pytest.mark.parametrize("quantizer", [FSQ((8, 5)), VQ(40, 2)], ids=["fsq", "vq"])
@pytest.mark.parametrize("grid", [(5,), (3, 4), (2, 3, 4)], ids=str)
def test_grids_of_any_number_of_axes(quantizer, grid):
    found = quantizer(torch.randn(2, 2, *grid, generator=rng()))
    assert found.codes.shape == (2, 2, *grid) and found.tokens.shape == (2, *grid, 1)
    torch.testing.assert_close(found.codes, quantizer.codes_of(found.tokens))
    assert quantizer.near(found.tokens, rng()).shape == found.tokens.shape


def test_the_share_of_each_sample_is_perturbed():
    fsq = FSQ((8, 5))
    tokens = torch.randint(40, (3, 30, 30, 1), generator=rng())
    moved = perturbed(fsq, tokens, torch.tensor([0.0, 0.25, 1.0]), rng()) != tokens
    assert moved[0].sum() == 0 and moved[2].all()
    assert abs(moved[1].float().mean() - 0.25) < 0.05


def test_without_a_quantizer_there_are_no_tokens():
    latents = torch.randn(2, 5, 3, generator=rng())
    found = Continuous(5)(latents)
    assert found.tokens is None and torch.equal(found.codes, latents) and Continuous(5).vocabulary == 0


def test_k_means_finds_clusters_that_chance_would_miss():
    """Rows drawn by chance leave two centers in one of many clusters, and Lloyd's algorithm never parts them again."""
    centers, x = clusters(k=20)
    found = k_means(x, 20, rng())
    assert torch.cdist(centers, found).min(1).values.max() < 0.2
