"""``tests/`` mirrors ``src/luoxia/``, but for the folders that test the whole in one respect."""

from pathlib import Path

import luoxia

TESTS, SOURCE = Path(__file__).parents[1], Path(luoxia.__file__).parent
WHOLE = {"compatibility", "conformance", "docs", "faults", "gpu", "house", "interface"}
FILES = sorted(TESTS.rglob("test_*.py"))


def test_each_folder_of_tests_is_one_of_the_package() -> None:
    folders = {file.parent.relative_to(TESTS) for file in FILES}
    assert [str(folder) for folder in folders if not (SOURCE / folder).is_dir()] == [
        str(folder) for folder in folders if folder.parts[:1] and folder.parts[0] in WHOLE
    ]


def test_no_two_test_files_have_the_same_name() -> None:
    names = [file.name for file in FILES]
    assert sorted({name for name in names if names.count(name) > 1}) == []
