"""Every mistake is reported with the text, place and cure that are stored beside its example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.text.refresh import diagnostics, stored

FOLDER = Path(__file__).parent / "diagnostics"
CASES = sorted(FOLDER.glob("*.pde"))
ROOT = Path(__file__).parents[2]
CODES = {
    package: sorted(
        {
            code
            for path in (ROOT / package).rglob("*.py")
            for code in re.findall(r"[\"'`]([A-Z]\d\d)[\"'`:]", path.read_text(encoding="utf-8"))
        }
    )
    for package in ("pdespec", "compiler")
}
OF_FILES = [each for each in CODES["compiler"] if "M00" < each < "M08" or each[0] == "D"]
STATED = [*CODES["pdespec"], *OF_FILES]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_message_is_the_stored_one(path):
    assert stored(path) == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_diagnostic_has_a_place_and_a_cure(path):
    text = path.read_text(encoding="utf-8").splitlines()
    found = diagnostics(path)
    assert path.stem[:3] in {each.code for each in found}
    for each in found:
        assert each.hint
        assert each.line is not None and each.column is not None
        assert 1 <= each.line <= len(text)
        assert 1 <= each.column <= len(text[each.line - 1]) + 1


@pytest.mark.parametrize("code", STATED)
def test_every_code_that_text_can_cause_has_an_example(code):
    assert any(path.stem.startswith(code) for path in CASES)
