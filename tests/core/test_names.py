"""Names that people, archives and disks give, before any rule about folders."""

from pathlib import Path

import pytest

from luoxia.core.cache import cache_folder
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded, inner, printable
from luoxia.tasks.image_generation.settings import SampleSettings
from luoxia.tasks.menu import find
from luoxia.tasks.shared.settings import PairMeasureSettings

DCGAN = find("dcgan")


@pytest.mark.parametrize(
    ("name", "expected", "outside"),
    [
        ("a/b.png", "a/b.png", False),
        ("./a//b.png", "a/b.png", False),
        ("a\\b.png", "a/b.png", False),
        ("a/./x/../b.png", "a/b.png", False),
        ("/a/b.png", "a/b.png", True),
        ("../a/b.png", "a/b.png", True),
        ("a/../../b.png", "b.png", True),
        ("..\\..\\b.png", "b.png", True),
        ("C:\\a\\b.png", "a/b.png", True),
        ("C:b.png", "b.png", True),
        ("../d:/b.png", "b.png", True),
        ("\\\\host\\share\\b.png", "host/share/b.png", True),
        ("\\\\?\\C:\\b.png", "b.png", True),
        ("b.png\0/../../x", "b.png", False),
        ("a\nb\x1b.png", "a\\nb\\x1b.png", False),
        ("\udcc9.png", "\\udcc9.png", False),
        ("..", "", True),
        ("/", "", True),
    ],
)
def test_inner_names_are_relative_and_printable(name: str, expected: str, outside: bool) -> None:
    assert inner(name) == (expected, outside)


def test_a_colon_is_part_of_a_name_where_it_may_be() -> None:
    assert inner("a:b.png", drives=False) == ("a:b.png", False)


def test_bytes_that_are_no_text_are_escaped() -> None:
    assert printable("山\udcc9\u2028") == "山\\udcc9\\u2028"


def test_what_is_there_comes_before_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert expanded("~/x") == tmp_path / "home" / "x"
    (tmp_path / "~root").mkdir()
    assert expanded("~root") == Path("~root")
    with pytest.raises(UsageError, match="no home folder here"):
        expanded("~nobody-of-that-name/x")


def test_paths_in_settings_have_their_home_and_keep_their_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert SampleSettings.from_settings({"out": "~/x/"}).out == f"{tmp_path}/x/"
    assert PairMeasureSettings.from_settings({"data": "~/x", "against": "none"}).data == f"{tmp_path}/x"
    assert DCGAN.from_settings({"data": "~", "out": "a~b"}).data == str(tmp_path)
    (tmp_path / "~backup").mkdir()
    assert DCGAN.from_settings({"data": "~backup"}).data == "~backup"
    with pytest.raises(UsageError, match="~nobody-of-that-name has no home folder"):
        DCGAN.from_settings({"data": "~nobody-of-that-name/x"})


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LUOXIA_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", missing)
    with pytest.raises(LuoxiaError, match="set LUOXIA_CACHE"):
        cache_folder()
