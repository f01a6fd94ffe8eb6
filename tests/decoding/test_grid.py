"""Grids of tokens: the same for a seed in any batch, guided, around what is known."""

import numpy as np
import pytest
import torch

from luoxia.core.errors import UsageError
from luoxia.decoding.grid import Guidance, KnownTokens, draw_grids, one_after_other, order_of
from luoxia.decoding.loop import Decoding
from luoxia.nn.conditioning import Condition
from luoxia.nn.grid_decoder import GridDecoder


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    made = GridDecoder((3, 4), 7, 2, prefix=4, width=24, layers=2, heads=2).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return made


def prefix(n, length=3, seed=1):
    rows = torch.randn(1, length, 24, generator=torch.Generator().manual_seed(seed))
    return Condition(rows.expand(n, -1, -1).contiguous())


def drawn(decoder, n=6, seed=3, **options):
    sampling = Decoding(seed=seed, temperature=options.pop("temperature", 1.0), top_k=options.pop("top_k", 0))
    options.setdefault("prefix", prefix(n))
    return draw_grids(decoder, range(n), sampling, **options)


def likelihood(decoder, tokens, n, seed, order="random", condition=None):
    """The log-probability of each token under the model, in one pass without a cache; the tokens in that order."""
    orders = [order_of(order, seed, i, np.ones(decoder.places, bool)) for i in range(n)]
    order_ = torch.tensor(np.stack(orders))
    ordered = tokens.gather(1, order_[..., None].expand(-1, -1, decoder.codebooks))
    return decoder(ordered, order_, condition).log_softmax(-1), ordered


def test_the_likeliest_tokens_are_those_of_one_pass_without_a_cache(decoder):
    tokens = drawn(decoder, temperature=0)
    logits, ordered = likelihood(decoder, tokens, 6, 3, condition=prefix(6))
    assert torch.equal(logits.argmax(-1), ordered)


def test_tokens_are_drawn_from_the_models_own_distribution():
    """One place with two codebooks: frequencies against probabilities."""
    torch.manual_seed(2)
    small = GridDecoder((1,), 5, 2, width=8, layers=1, heads=2)
    torch.nn.init.normal_(small.decoder.output.weight, 0.0, 0.5)
    torch.nn.init.normal_(small.start)
    tokens = draw_grids(small, range(4000), Decoding(seed=1))
    p = small(tokens[:1].clone(), torch.zeros(1, 1, dtype=torch.int64))[0, 0].softmax(-1)
    for book in range(2):
        frequency = torch.bincount(tokens[:, 0, book], minlength=5) / 4000
        assert (frequency - p[book]).abs().max() < 0.03
    assert (p.amax(1) > 0.25).all()


@pytest.mark.parametrize("order", ["random", "raster"])
def test_a_grid_is_a_function_of_its_seed_and_number_in_any_batch(decoder, order):
    whole = drawn(decoder, 9, order=order)
    for numbers in ([4], [8, 0, 4]):
        some = draw_grids(decoder, numbers, Decoding(seed=3), order=order, prefix=prefix(len(numbers)))
        assert torch.equal(some, whole[numbers])
    assert not torch.equal(drawn(decoder, 9, seed=4, order=order), whole)
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 9


def test_guidance_of_one_is_the_model_itself_and_needs_nothing_to_go_against(decoder):
    plain = drawn(decoder)
    assert torch.equal(drawn(decoder, against=prefix(6, 1, 5), guidance=Guidance(1.0)), plain)
    assert not torch.equal(drawn(decoder, against=prefix(6, 1, 5), guidance=Guidance(4.0)), plain)
    with pytest.raises(UsageError, match="guidance=2"):
        drawn(decoder, guidance=Guidance(2.0))


def test_guidance_mixes_the_logits_of_both_sides(decoder):
    tokens = drawn(decoder, temperature=0, against=prefix(6, 2, 5), guidance=Guidance(3.0))
    c, ordered = likelihood(decoder, tokens, 6, 3, condition=prefix(6))
    u, _ = likelihood(decoder, tokens, 6, 3, condition=prefix(6, 2, 5))
    assert torch.equal((u + 3 * (c - u)).argmax(-1), ordered)
    assert not torch.equal(c.argmax(-1), ordered)


def test_guidance_applies_in_its_interval(decoder):
    options = {"temperature": 0, "against": prefix(6, 2, 5)}
    tokens = drawn(decoder, guidance=Guidance(3.0, (0.25, 0.75)), **options)
    c, ordered = likelihood(decoder, tokens, 6, 3, condition=prefix(6))
    u, _ = likelihood(decoder, tokens, 6, 3, condition=prefix(6, 2, 5))
    mixed = torch.where((torch.arange(12)[:, None, None] // 3 % 3 > 0), u + 3 * (c - u), c)
    assert torch.equal(mixed.argmax(-1), ordered)
    assert torch.equal(
        drawn(decoder, guidance=Guidance(3.0, (0.5, 0.5)), **options), drawn(decoder, temperature=0)
    )
    with pytest.raises(UsageError, match=r"interval=0\.9,0\.1"):
        Guidance(2.0, (0.9, 0.1))


def test_known_tokens_stay_and_what_is_drawn_depends_on_them(decoder):
    tokens = torch.randint(7, (12, 2), generator=torch.Generator().manual_seed(9))
    wanted = torch.arange(12) % 3 == 1
    filled = drawn(decoder, known=KnownTokens(tokens[None], wanted[None]))
    assert torch.equal(filled[:, ~wanted], tokens[~wanted].expand(6, -1, -1))
    other = drawn(decoder, known=KnownTokens((tokens[None] + 1) % 7, wanted[None]))
    assert not torch.equal(filled[:, wanted], other[:, wanted])
    one = draw_grids(
        decoder, [4], Decoding(seed=3), prefix=prefix(1), known=KnownTokens(tokens[None], wanted[None])
    )
    assert torch.equal(one[0], filled[4])


def test_rows_may_know_other_places_as_many_each(decoder):
    tokens = torch.randint(7, (6, 12, 2), generator=torch.Generator().manual_seed(9))
    wanted = torch.stack([torch.arange(12).roll(i) % 4 < 2 for i in range(6)])
    filled = drawn(decoder, known=KnownTokens(tokens, wanted))
    assert torch.equal(filled[~wanted], tokens[~wanted]) and not torch.equal(filled[wanted], tokens[wanted])


def test_nothing_and_everything_may_be_known(decoder):
    tokens = torch.randint(7, (12, 2))
    assert torch.equal(
        drawn(decoder, known=KnownTokens(tokens[None], torch.ones(1, 12, dtype=torch.bool))), drawn(decoder)
    )
    kept = drawn(decoder, known=KnownTokens(tokens[None], torch.zeros(1, 12, dtype=torch.bool)))
    assert torch.equal(kept, tokens.expand(6, -1, -1))


def test_a_raster_may_be_continued_and_has_no_holes(decoder):
    tokens, end = torch.randint(7, (12, 2)), torch.arange(12) >= 8
    assert torch.equal(
        drawn(decoder, order="raster", known=KnownTokens(tokens[None], end[None]))[0, :8], tokens[:8]
    )
    with pytest.raises(UsageError, match="order=random"):
        drawn(decoder, order="raster", known=KnownTokens(tokens[None], ~end[None]))


def test_conditions_of_unlike_length_are_padded():
    both = one_after_other(Condition(torch.ones(2, 3, 4)), Condition(torch.ones(2, 1, 4)))
    assert both.vectors.shape == (4, 3, 4)
    assert both.mask.tolist() == [[True] * 3] * 2 + [[False, False, True]] * 2
