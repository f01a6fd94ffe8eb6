import itertools

import pytest
import torch

from decoders import decoder, random_rows, translator, uncached
from luoxia.core.errors import UsageError
from luoxia.decoding.beam import Beams, beam_search
from luoxia.decoding.loop import Decoding, generate

PENALTIES = [("gnmt", 0.0), ("gnmt", 0.6), ("average", 1.0), ("average", 2.0), ("gnmt", -1.0)]


def divisor(kind: str, alpha: float, n: int) -> float:
    return ((5 + n) / 6) ** alpha if kind == "gnmt" else n**alpha


def log_probabilities(network, row: list[int], source: list[int] | None = None) -> list[float]:
    return uncached(network, row, source).double().log_softmax(-1).tolist()


def every_text(network, prompt: list[int], ends: set[int], longest: int, source=None):
    """(ids, log-probability, tokens) of every text that ends, or is cut at ``longest`` tokens."""
    texts, waiting = [], [([], 0.0)]
    while waiting:
        ids, total = waiting.pop()
        for token, value in enumerate(log_probabilities(network, prompt + ids, source)):
            if token in ends:
                texts.append((ids, total + value, len(ids) + 1))
            elif len(ids) + 1 == longest:
                texts.append(([*ids, token], total + value, longest))
            else:
                waiting.append(([*ids, token], total + value))
    return texts


@pytest.mark.parametrize(("kind", "alpha"), PENALTIES)
def test_a_beam_as_wide_as_the_tree_finds_the_best(kind: str, alpha: float) -> None:
    network = decoder(int(10 * alpha) + 31, vocabulary=4)
    settings = Beams(4**4, 4, kind, alpha, best=7)
    prompts = [[1, 2], [3, 3]]
    for prompt, found in zip(prompts, beam_search(network, prompts, settings, eos=0), strict=True):
        texts = every_text(network, prompt, {0}, 4)
        ranked = sorted(texts, key=lambda t: -t[1] / divisor(kind, alpha, t[2]))[:7]
        assert [h.ids for h in found] == [ids for ids, _, _ in ranked]
        for hypothesis, (_, total, n) in zip(found, ranked, strict=True):
            assert hypothesis.log_probability == pytest.approx(total, abs=1e-4)
            assert hypothesis.score == pytest.approx(total / divisor(kind, alpha, n), abs=1e-4)


def plain_search(network, prompt, width, longest, kind, alpha, best, ends, source=None):
    """Beam search a second time: nothing cached, nothing batched, and never ended early."""
    beams, ended = [([], 0.0)], []
    for n in range(1, longest + 1):
        options = [
            (ids, token, total + value)
            for ids, total in beams
            for token, value in enumerate(log_probabilities(network, prompt + ids, source))
        ]
        options.sort(key=lambda option: -option[2])
        ended += [(i, s / divisor(kind, alpha, n)) for i, t, s in options[:width] if t in ends]
        beams = [([*i, t], s) for i, t, s in options if t not in ends][:width]
    ended += [(ids, total / divisor(kind, alpha, longest)) for ids, total in beams]
    return sorted(ended, key=lambda pair: -pair[1])[:best]


@pytest.mark.parametrize(("kind", "alpha"), PENALTIES)
@pytest.mark.parametrize("width", [1, 3, 5])
def test_decoder_search_is_the_plain_one(kind: str, alpha: float, width: int) -> None:
    network = decoder(width + 50, vocabulary=11)
    prompts = random_rows(5, [3, 1, 3, 6], 11)
    best, ends = min(width, 3), {0, 2}
    found = beam_search(network, prompts, Beams(width, 9, kind, alpha, best), eos=ends)
    for prompt, texts in zip(prompts, found, strict=True):
        wanted = plain_search(network, prompt, width, 9, kind, alpha, best, ends)
        assert [t.ids for t in texts] == [ids for ids, _ in wanted]
        assert [t.score for t in texts] == pytest.approx([score for _, score in wanted], abs=1e-4)


@pytest.mark.parametrize(("kind", "alpha"), [("gnmt", 0.6), ("average", 1.0)])
def test_translation_search_is_the_plain_one(kind: str, alpha: float) -> None:
    network = translator(61, vocabulary=9, norm="layer", norm_first=False, positions="sinusoidal", bias=True)
    sources = random_rows(6, [2, 7, 4, 7, 1], 9)
    found = beam_search(network, [[1]] * 5, Beams(4, 8, kind, alpha, 2), eos=2, sources=sources)
    for source, texts in zip(sources, found, strict=True):
        wanted = plain_search(network, [1], 4, 8, kind, alpha, 2, {2}, source)
        assert [t.ids for t in texts] == [ids for ids, _ in wanted]
        assert [t.score for t in texts] == pytest.approx([score for _, score in wanted], abs=1e-4)


def test_a_search_does_not_depend_on_its_batch() -> None:
    network = translator(62)
    sources = random_rows(7, [2, 7, 4, 7, 1, 12], 19)
    settings = Beams(5, 14, best=3)
    together = beam_search(network, [[1]] * 6, settings, eos=2, sources=sources)
    alone = beam_search(network, [[1]] * 6, settings, eos=2, sources=sources, batch=1)
    assert [[h.ids for h in texts] for texts in together] == [[h.ids for h in texts] for texts in alone]


def test_one_beam_is_greedy() -> None:
    network = decoder(63)
    prompts = random_rows(8, [3, 5, 9], 23)
    texts = beam_search(network, prompts, Beams(1, 12, alpha=0.0), eos=22)
    assert [t[0].ids for t in texts] == generate(network, prompts, Decoding(12, temperature=0), eos=22)


def test_a_search_ends_when_nothing_can_be_gained() -> None:
    """An end of probability near 1 at once: one step more would show that the search goes on for nothing."""
    network = decoder(64)
    network.head = lambda hidden: torch.full((*hidden.shape[:2], 23), -20.0).index_fill(
        2, torch.tensor([2]), 0.0
    )
    calls = []
    hidden = network.hidden
    network.hidden = lambda ids, **k: (calls.append(1), hidden(ids, **k))[1]
    (text,) = beam_search(network, [[3]], Beams(4, 40), eos=2)[0]
    assert (text.ids, text.ended) == ([], True)
    assert len(calls) == 1


def test_texts_end_at_the_context() -> None:
    network = decoder(65, context=10)
    (text,) = beam_search(network, [[3] * 7], Beams(3, 50), eos=22)[0]
    assert len(text.ids) <= 3
    assert text.ended or len(text.ids) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"beams": 0}, {"max_tokens": 0}, {"length_penalty": "none"}, {"alpha": float("nan")}, {"best": 6}],
)
def test_settings_without_a_meaning(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(wrong))}="):
        Beams(**wrong)


def test_bad_calls() -> None:
    for prompts, options, words in (
        ([[3]], {"eos": 23}, "needs eos="),
        ([[]], {"eos": 2}, "prompt 0 is empty"),
        ([[3]], {"eos": 2, "sources": []}, "0 sources"),
    ):
        with pytest.raises(UsageError, match=words):
            beam_search(decoder(), prompts, **options)


def test_penalties_are_those_of_the_papers() -> None:
    for n, alpha in itertools.product([1, 7, 30], [0.0, 0.6, 1.0]):
        assert Beams(alpha=alpha).penalty(n) == pytest.approx(((5 + n) / 6) ** alpha)
        assert Beams(alpha=alpha, length_penalty="average").penalty(n) == pytest.approx(n**alpha)
