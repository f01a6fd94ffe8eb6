import random
import re
from pathlib import Path

import pytest

from decoders import decoder
from luoxia.core.errors import UsageError
from luoxia.decoding.loop import Decoding, complete
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.tasks.language_modeling.poems import Form, Poem, Readings, read_readings

POEMS = [
    "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。",
    "鸣筝金粟柱，素手玉房前。欲得周郎顾，时时误拂弦。",
    "朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。",
    "寒雨连江夜入吴，平明送客楚山孤。洛阳亲友如相问，一片冰心在玉壶。",
]
LEVEL = "依山黄河流穷千层楼鸣筝金房前周郎时弦朝辞云间江陵还猿声啼舟重寒连吴平明孤阳亲如相冰心壶"
OBLIQUE = "白日尽入海欲里目更上一粟柱素手玉得顾误拂帝彩两岸不住已过万雨夜送客楚洛友问片在"
GROUPS = {"尤": "流楼舟", "先": "前弦", "删": "间还山", "虞": "吴孤壶"}


def table() -> Readings:
    """The readings of the poems' characters, by the Pingshui rhymes where they matter."""
    group = {character: name for name, members in GROUPS.items() for character in members}
    rows = [(c, "平") for c in LEVEL] + [(c, "仄") for c in OBLIQUE]
    return {c: frozenset({(group.get(c, f"其他{tone}"), tone)}) for c, tone in rows}


@pytest.fixture(scope="module", params=["byte", "character", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.train(request.param, POEMS * 4, 400 if request.param == "bpe" else None)


def write(tokenizer: Tokenizer, poem: Poem, n: int, **options: object) -> list[str]:
    network = decoder(n, vocabulary=tokenizer.vocabulary, spread=0.25, context=300)
    done = complete(
        network,
        [[5, 6]] * n,
        Decoding(290, temperature=3.0),
        constraints=[poem.begin() for _ in range(n)],
        decode=tokenizer.decode,
        **options,
    )
    assert {c.reason for c in done} == {"complete"}
    return [c.text for c in done]


def keeps_form(text: str, form: Form) -> bool:
    """Whether a text is one whole poem of a form and nothing else; spaces and line breaks do not count."""
    hypotheses = form.start()
    characters = "".join(text.split())
    for place, character in enumerate(characters):
        after = form.advance(place, hypotheses, character)
        if after is None:
            return False
        hypotheses = after
    return len(characters) == form.size


HAN = "[\u4e00-\u9fff\u3400-\u4dbf\u3007\U00020000-\U000323af]"


@pytest.mark.parametrize(("name", "lines", "length"), [("五言", 4, 5), ("七绝", 4, 7), ("五言律詩", 8, 5)])
def test_forms_are_always_kept(tokenizer: Tokenizer, name: str, lines: int, length: int) -> None:
    form = Form.named(name)
    texts = write(tokenizer, Poem(form, tokenizer), 10, eos=tokenizer.eos)
    couplet = f"{HAN}{{{length}}}，{HAN}{{{length}}}。"
    for text in texts:
        assert re.fullmatch(f"({couplet}){{{lines // 2}}}", text), text
        assert keeps_form(text, form)
    assert len(set(texts)) == 10


def kept_by_hand(text: str, readings: Readings, length: int) -> bool:
    """The regulated patterns of quatrains as a handbook prints them, and the rhyme of their level ends."""
    five = [
        "中仄平平仄 平平仄仄平 中平平仄仄 中仄仄平平",
        "中平平仄仄 中仄仄平平 中仄平平仄 平平仄仄平",
        "中仄仄平平 平平仄仄平 中平平仄仄 中仄仄平平",
        "平平仄仄平 中仄仄平平 中仄平平仄 平平仄仄平",
    ]
    seven = [
        "中平中仄平平仄 中仄平平仄仄平 中仄中平平仄仄 中平中仄仄平平",
        "中仄中平平仄仄 中平中仄仄平平 中平中仄平平仄 中仄平平仄仄平",
        "中平中仄仄平平 中仄平平仄仄平 中仄中平平仄仄 中平中仄仄平平",
        "中仄平平仄仄平 中平中仄仄平平 中平中仄平平仄 中仄平平仄仄平",
    ]
    lines = re.split("[，。]", text)[:4]
    for pattern in five if length == 5 else seven:
        ends = [
            set(readings[line[-1]])
            for line, tones in zip(lines, pattern.split(), strict=True)
            if tones[-1] == "平"
        ]
        if set.intersection(*ends) and all(
            wanted == "中" or wanted in {tone for _, tone in readings.get(character, ())}
            for line, tones in zip(lines, pattern.split(), strict=True)
            for character, wanted in zip(line, tones, strict=True)
        ):
            return True
    return False


@pytest.mark.parametrize("length", [5, 7])
def test_tones_and_rhyme_are_always_kept(tokenizer: Tokenizer, length: int) -> None:
    readings = table()
    rng = random.Random(length)
    for character in rng.sample(sorted(readings), 12):  # some have a second reading
        readings[character] |= {(rng.choice(sorted(GROUPS)), rng.choice("平仄"))}
    form = Form(4, length, rhyme=True, tones=True, readings=readings)
    for text in write(tokenizer, Poem(form, tokenizer), 8):
        assert kept_by_hand(text, readings, length), text
        assert keeps_form(text, form)


@pytest.mark.parametrize("text", POEMS)
def test_famous_poems_keep_their_form_and_changed_ones_do_not(text: str) -> None:
    length = 5 if len(text) == 24 else 7
    strict = Form(4, length, rhyme=True, tones=True, readings=table())
    assert keeps_form(text, strict) and kept_by_hand(text, table(), length)
    assert keeps_form(text, Form(4, length))
    assert not keeps_form(text, Form(4, 12 - length))
    assert keeps_form(text.replace("。", "。\n"), strict)
    for wrong in (text[:-1], text[1:], text + "。", text.replace("，", "。"), text.replace(text[3], "x"), ""):
        assert not keeps_form(wrong, Form(4, length))
    end = text[-2]
    other = next(c for group in GROUPS.values() for c in group if end not in group)
    unrhymed = text[:-2] + other + "。"
    assert not keeps_form(unrhymed, strict)
    assert not keeps_form(unrhymed, Form(4, length, rhyme=True, readings=table()))
    assert keeps_form(unrhymed, Form(4, length, tones=True, readings=table()))
    flat = text[0] + "山" * (length - 1) + text[length:]
    assert keeps_form(flat, Form(4, length)) and not keeps_form(flat, strict)


def test_keeping_form_agrees_with_the_handbook_on_random_lines() -> None:
    readings, rng, kept = table(), random.Random(1), 0
    form = Form(4, 5, rhyme=True, tones=True, readings=readings)
    level, oblique = LEVEL, OBLIQUE
    for _ in range(3000):
        lines = rng.choices(["仄仄平平仄", "平平仄仄平", "平平平仄仄", "仄仄仄平平"], k=4)
        chosen = ["".join(rng.choice(level if tone == "平" else oblique) for tone in line) for line in lines]
        rhyme = rng.choice(list(GROUPS.values()))
        chosen = [
            c[:4] + rng.choice(rhyme) if line[4] == "平" else c for c, line in zip(chosen, lines, strict=True)
        ]
        text = "{}，{}。{}，{}。".format(*chosen)
        assert keeps_form(text, form) == kept_by_hand(text, readings, 5)
        kept += keeps_form(text, form)
    assert kept > 10


def test_a_beginning_can_be_given(tokenizer: Tokenizer) -> None:
    form = Form.named("五言")
    poem = Poem(form, tokenizer)
    network = decoder(3, vocabulary=tokenizer.vocabulary, spread=0.25, context=300)
    (done,) = complete(
        network,
        [tokenizer.encode("白日依山尽，黄")],
        Decoding(200),
        constraints=[poem.begin("白日依山尽，黄")],
        decode=tokenizer.decode,
    )
    assert keeps_form("白日依山尽，黄" + done.text, form)
    with pytest.raises(UsageError, match="does not begin a poem"):
        poem.begin("白日，")


def test_a_tokenizer_without_the_marks() -> None:
    tokenizer = Tokenizer.train("character", ["白日依山尽，黄河入海流"])
    with pytest.raises(UsageError, match="cannot write '。'"):
        Poem(Form.named("五言"), tokenizer)


@pytest.mark.parametrize("name", ["六言", "sonnet"])
def test_unknown_forms(name: str) -> None:
    with pytest.raises(UsageError, match=f"unknown form of verse '{name}'"):
        Form.named(name)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lines": 0}, "one line or more"),
        ({"marks": ()}, "one line or more"),
        ({"rhyme": True}, "need a table of readings"),
        ({"tones": True, "length": 6, "readings": {"山": frozenset({("删", "平")})}}, "5 or 7 characters"),
    ],
)
def test_forms_that_are_none(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Form(**{"lines": 4, "length": 5} | wrong)


def test_tables_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rhymes.tsv"
    path.write_text("# 平水韵\n山\t删\t平\n\n重\t冬\t平\n重\t宋\t仄\n", "utf-8")
    assert read_readings(path) == {
        "山": frozenset({("删", "平")}),
        "重": frozenset({("冬", "平"), ("宋", "仄")}),
    }


@pytest.mark.parametrize(
    "content", ["#\n山\t删\n", "#\n山水\t删\t平\n", "#\n山\t删\t去\n", "", "\n# nothing\n"]
)
def test_tables_that_are_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rhymes.tsv"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError, match=r"line 2|is empty"):
        read_readings(path)


def test_a_table_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_readings(tmp_path / "none.tsv")
