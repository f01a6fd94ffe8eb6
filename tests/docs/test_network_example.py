"""The network of the page "Design": it learns, and samples by its cache what it predicts in one pass."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
VOCABULARY, CLASSES, WORDS = 12, 3, 9


def network(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    from grid_tokens import GridTokens

    torch.manual_seed(0)
    return GridTokens(VOCABULARY, CLASSES, WORDS, width=32)


def batch(n):
    """Four codes of the class in turn, from the one that the caption's word names."""
    kinds, words = torch.randint(CLASSES, (n,)), torch.randint(1, 4, (n, 1))
    captions = torch.cat([words, torch.zeros(n, 2, dtype=torch.int64)], 1)
    return 4 * kinds[:, None] + (words + torch.arange(64)) % 4, kinds, captions


def test_it_learns_and_samples(monkeypatch):
    ours = network(monkeypatch)
    optimizer = torch.optim.AdamW(ours.parameters(), lr=1e-2)
    for _ in range(60):
        codes, kinds, captions = batch(16)
        loss = F.cross_entropy(ours(codes, kinds, captions).flatten(0, 1), codes.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, kinds, captions = batch(8)
    sampled = ours.eval().sample(kinds, captions)
    assert (sampled // 4 == kinds[:, None]).float().mean() > 0.7  # by chance: a third
    assert (sampled.diff() % 4 == 1).float().mean() > 0.7  # by chance: a quarter


def test_what_it_samples_is_what_it_predicts(monkeypatch):
    """At a scale of 1, by the likeliest code: each is that of one pass over the codes before it."""
    ours = network(monkeypatch).double().eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    monkeypatch.setattr(torch, "multinomial", lambda p, n: p.argmax(-1, keepdim=True))
    _, kinds, captions = batch(4)
    codes = ours.sample(kinds, captions, scale=1.0)
    with torch.no_grad():
        assert torch.equal(ours(codes, kinds, captions).argmax(-1), codes)
        assert len(codes.unique()) > 2
