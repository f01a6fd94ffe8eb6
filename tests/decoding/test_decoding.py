import itertools
import math

import pytest
import torch
from scipy import stats

from decoders import decoder, random_rows, translator, uncached
from luoxia.core.errors import UsageError
from luoxia.decoding.loop import Completion, Decoding, complete, generate, stream, stream_text
from luoxia.nn.transformer import Decoder

GREEDY = Decoding(max_tokens=12, temperature=0)
SAMPLED = Decoding(max_tokens=12, top_k=15, top_p=0.95, repetition_penalty=1.2, seed=7)
SHAPES = [
    {"positions": "rotary", "qk_norm": True, "activation": "relu2"},
    {"positions": "learned", "norm": "layer", "bias": True},
    {"positions": "sinusoidal", "kv_heads": 1},
    {"positions": "none", "window": 6},
]


def argmax_loop(network, row: list[int], n: int, source: list[int] | None = None) -> list[int]:
    ids = list(row)
    for _ in range(n):
        ids.append(int(uncached(network, ids, source).argmax()))
    return ids[len(row) :]


@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_is_the_uncached_argmax(shape: dict[str, object]) -> None:
    network = decoder(1, **shape)
    prompts = random_rows(2, [5, 1, 9, 9, 3], 23)
    rows = generate(network, prompts, GREEDY)
    assert rows == [argmax_loop(network, p, 12) for p in prompts]
    assert len(set(map(tuple, rows))) > 2  # which says something


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", [GREEDY, SAMPLED])
def test_a_row_does_not_depend_on_its_batch(shape: dict[str, object], settings: Decoding) -> None:
    network = decoder(3, **shape)
    prompts = random_rows(4, [2, 11, 7, 1, 7, 20, 4, 15], 23)
    ends = generate(network, prompts[:1], settings)[0][4]  # it comes in the middle of one row at least
    together = complete(network, prompts, settings, eos=ends)
    assert together == complete(network, prompts, settings, eos=ends, batch=1)
    assert together == complete(network, prompts, settings, eos=ends, batch=3)
    assert together[0].reason == "eos" and len({len(c.ids) for c in together}) > 1


@pytest.mark.parametrize("settings", [Decoding(200, temperature=0), Decoding(200, seed=3)])
def test_rows_of_unequal_length_all_fill_the_context(settings: Decoding) -> None:
    network = decoder(5, context=24)
    prompts = random_rows(6, [3, 20, 23, 11, 3], 23)
    together = complete(network, prompts, settings)
    assert [len(c.ids) + len(p) for c, p in zip(together, prompts, strict=True)] == [24] * 5
    assert {c.reason for c in together} == {"context"}
    assert together == complete(network, prompts, settings, batch=1)


def test_nothing_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    network = decoder(1)
    shapes = []
    hidden = Decoder.hidden
    monkeypatch.setattr(
        Decoder, "hidden", lambda self, ids, **k: (shapes.append(tuple(ids.shape)), hidden(self, ids, **k))[1]
    )
    generate(network, random_rows(1, [4, 6, 6, 6], 23), GREEDY)
    assert shapes == [(4, 6)] + [(4, 1)] * 11


def test_finished_rows_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    network = decoder(3)
    prompts = random_rows(4, [5] * 40, 23)
    settings = Decoding(max_tokens=30, seed=1)
    sizes = []
    head = Decoder.head
    monkeypatch.setattr(Decoder, "head", lambda self, x: (sizes.append(len(x)), head(self, x))[1])
    got = complete(network, prompts, settings, eos=range(5))
    open_rows = [sum(len(c.ids) >= step for c in got) for step in range(len(sizes))]
    assert all(size * 0.75 <= rows <= size for size, rows in zip(sizes, open_rows, strict=True))
    assert sizes[-1] < 20


def test_translation_greedy_is_the_uncached_argmax() -> None:
    network = translator(2, norm_first=False, norm="layer", positions="sinusoidal", bias=True)
    sources = random_rows(8, [4, 9, 1, 6], 19)
    prompts = [[1], [1], [1, 5], [1]]
    got = generate(network, prompts, GREEDY, sources=sources)
    pairs = zip(prompts, sources, strict=True)
    assert got == [argmax_loop(network, p, 12, s) for p, s in pairs]


def test_translation_does_not_depend_on_its_batch() -> None:
    network = translator(4)
    sources = random_rows(9, [4, 9, 1, 6, 14, 9], 19)
    prompts = [[1]] * 6
    together = complete(network, prompts, SAMPLED, sources=sources, eos=2)
    assert together == complete(network, prompts, SAMPLED, sources=sources, eos=2, batch=1)


def test_tokens_come_as_often_as_the_network_says() -> None:
    network = decoder(6, vocabulary=12)
    row, n = [3, 7, 4], 6000
    ids = generate(network, [row] * n, Decoding(max_tokens=2, seed=5), batch=2000)
    first = uncached(network, row).double().softmax(-1)
    counts = torch.tensor([i[0] for i in ids]).bincount(minlength=12)
    assert stats.chisquare(counts.numpy(), n * first.numpy()).pvalue > 1e-3
    best = int(first.argmax())
    after = torch.tensor([i[1] for i in ids if i[0] == best]).bincount(minlength=12)
    second = uncached(network, [*row, best]).double().softmax(-1)
    enough = second * after.sum() > 5
    observed, expected = after[enough].double(), second[enough] * after.sum()
    expected *= observed.sum() / expected.sum()
    assert stats.chisquare(observed.numpy(), expected.numpy()).pvalue > 1e-3


def test_the_seed_decides() -> None:
    network = decoder(7)
    prompts = [[5, 6]] * 4
    first = generate(network, prompts, Decoding(20, seed=1))
    assert first == generate(network, prompts, Decoding(20, seed=1))
    assert first != generate(network, prompts, Decoding(20, seed=2))
    assert len(set(map(tuple, first))) == 4  # rows differ
    assert first == [ids[:20] for ids in generate(network, prompts, Decoding(30, seed=1))]


def test_repetition_penalty_sees_prompt_and_text() -> None:
    network = decoder(8)
    ids = [3, 4, 5]
    for token in generate(network, [ids], Decoding(15, temperature=0, repetition_penalty=1.4))[0]:
        logits = uncached(network, ids)
        for seen in set(ids):
            logits[seen] = logits[seen] / 1.4 if logits[seen] > 0 else logits[seen] * 1.4
        assert token == int(logits.argmax())
        ids.append(token)


def letters(ids: list[int]) -> str:
    return "".join(chr(97 + i) for i in ids)


def test_stop_strings_end_a_row_before_them() -> None:
    network = decoder(9)
    free = complete(network, [[4, 9]], Decoding(30, seed=3), decode=letters)[0]
    stop = free.text[7:10]
    at = free.text.find(stop)
    got = complete(network, [[4, 9]], Decoding(30, seed=3, stop=("?", stop)), decode=letters)[0]
    assert got == Completion(free.ids[:at], "stop", free.text[:at])
    unmet = complete(network, [[4, 9]], Decoding(30, seed=3, stop=("?",)), decode=letters)[0]
    assert unmet == free


def test_stop_strings_inside_a_token_cut_the_text() -> None:
    network = decoder(9)
    words = [f"<{i}>" for i in range(23)]

    def decode(ids: list[int]) -> str:
        return "".join(words[i] for i in ids)

    free = generate(network, [[4, 9]], Decoding(9, seed=3))[0]
    stop = f"{free[3]}>"  # the end of one token
    got = complete(network, [[4, 9]], Decoding(9, seed=3, stop=(stop,)), decode=decode)[0]
    at = decode(free).find(stop)
    assert (got.text, got.reason) == (decode(free)[:at], "stop")
    assert got.ids == free[: decode(free)[:at].count(">")]


@pytest.mark.parametrize("stop", [(), ("b",), ("gh", "hgf"), ("zzz",)])
def test_streams_give_what_generate_gives(stop: tuple[str, ...]) -> None:
    network = decoder(10, vocabulary=9)
    for seed in range(6):
        settings = Decoding(25, temperature=1.3, seed=seed, stop=stop)
        whole = complete(network, [[3, 4]], settings, eos=2, decode=letters)[0]
        assert list(stream(network, [3, 4], settings, eos=2, decode=letters)) == whole.ids
        assert "".join(stream_text(network, [3, 4], settings, eos=2, decode=letters)) == whole.text


def test_a_stream_gives_each_token_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    network = decoder(1)
    steps = []
    head = Decoder.head
    monkeypatch.setattr(Decoder, "head", lambda self, x: (steps.append(1), head(self, x))[1])
    for count, _ in enumerate(itertools.islice(stream(network, [5], GREEDY), 5), 1):
        assert len(steps) == count
        assert not torch.is_inference_mode_enabled()


def test_dropout_is_off_while_decoding_and_the_mode_comes_back() -> None:
    network = decoder(3, dropout=0.5)
    wanted = generate(network, [[5, 6]], GREEDY)
    network.train()
    network.stack.layers[0].eval()
    assert generate(network, [[5, 6]], GREEDY) == wanted
    assert network.training and not network.stack.layers[0].training and network.stack.layers[1].training


def test_autocast_is_the_callers() -> None:
    network = decoder(3)
    with torch.autocast("cpu", torch.bfloat16):
        assert len(generate(network, [[5, 6], [3]], GREEDY)[0]) == 12


def test_no_prompts() -> None:
    assert generate(decoder(), [], GREEDY) == []


@pytest.mark.parametrize(
    ("prompts", "options", "words"),
    [
        ([[]], {}, "prompt 0 is empty"),
        ([[3], [4] * 48], {}, "prompt 1 has 48 tokens, and this model's context of 48 takes 47 at most"),
        ([[3, 23]], {}, "holds the token 23, and this model knows 0 to 22"),
        ([[-1]], {}, "holds the token -1"),
        ([[3]], {"constraints": []}, "0 constraints for 1 prompts"),
    ],
)
def test_prompts_that_cannot_be_continued(prompts: list[list[int]], options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        generate(decoder(), prompts, GREEDY, **options)


def test_sources_that_cannot_be_translated() -> None:
    for sources, words in (
        ([[3] * 49], "source 0 has 49"),
        ([[]], "source 0 is empty"),
        ([[3], [4]], "2 sources"),
    ):
        with pytest.raises(UsageError, match=words):
            generate(translator(), [[1]], GREEDY, sources=sources)


def test_stop_strings_need_a_decode() -> None:
    with pytest.raises(UsageError, match="decode="):
        generate(decoder(), [[3]], Decoding(stop=("x",)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"repetition_penalty": 0.0},
        {"stop": "END"},
        {"stop": ("",)},
        {"seed": -1},
    ],
)
def test_settings_without_a_meaning(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(wrong))}="):
        Decoding(**wrong)
