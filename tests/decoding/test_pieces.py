import random

import pytest

from luoxia.decoding.pieces import Pieces, continuation


def by_character(text: str, stops: list[str]) -> tuple[str, bool]:
    """What is left of a text that is read one character at a time until a stop string is complete."""
    for end in range(1, len(text) + 1):
        ended = [stop for stop in stops if text[:end].endswith(stop)]
        if ended:
            return text[: end - max(map(len, ended))], True
    return text, False


def split(data: bytes, rng: random.Random) -> list[bytes]:
    cuts = sorted(rng.sample(range(1, len(data)), rng.randint(0, len(data) - 1))) if len(data) > 1 else []
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("seed", range(150))
def test_any_text_in_any_tokens(seed: int) -> None:
    rng = random.Random(seed)
    alphabet = rng.choice(["ab", "abc落霞", "a霞🙂"])
    text = "".join(rng.choices(alphabet, k=rng.randint(1, 25)))
    stops = ["".join(rng.choices(alphabet, k=rng.randint(1, 4))) for _ in range(rng.randint(0, 2))]
    tokens = split(text.encode(), rng)

    def decode(ids: list[int]) -> str:
        return b"".join(tokens[i] for i in ids).decode("utf-8", "replace")

    wanted, stopped = by_character(text, stops)
    pieces = Pieces(decode, stops)
    out = ""
    for token in range(len(tokens)):
        piece = pieces.add(token)
        assert "\ufffd" not in piece
        out += piece
        assert wanted.startswith(out)
        released = b"".join(tokens[: pieces.released])
        assert out.encode().startswith(released)  # no token is released before its text
        if pieces.stopped:
            break
    out += pieces.close()
    assert (out, pieces.stopped) == (wanted, stopped)
    if not stopped:
        assert pieces.released == len(tokens)


def test_nothing_is_held_back_without_a_reason() -> None:
    words = ["one ", "tw", "o END", "!"]
    pieces = Pieces(lambda ids: "".join(words[i] for i in ids), ["END."])
    assert [pieces.add(i) for i in range(4)] == ["one ", "tw", "o ", "END!"]


def test_bytes_that_are_no_character_come_out_after_three() -> None:
    pieces = Pieces(lambda ids: bytes(ids).decode("utf-8", "replace"))
    out = [pieces.add(0x80) for _ in range(5)]
    assert out[:3] == ["", "", ""] and "\ufffd" in out[3]
    assert "".join(out) + pieces.close() == "\ufffd" * 5


def test_the_space_after_a_prompt_is_kept() -> None:
    """As where a tokenizer drops the space before the first word of a text."""
    words = [" falling", " mist"]

    def decode(ids: list[int]) -> str:
        return "".join(words[i] for i in ids).removeprefix(" ")

    assert Pieces(decode, before=[0]).add(1) == " mist" == continuation(decode, [0], [1])
    assert Pieces(decode).add(1) == "mist" == continuation(decode, [], [1])
