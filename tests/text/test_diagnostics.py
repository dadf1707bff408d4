"""Every mistake is reported with the text, place and cure that are stored beside its example."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.text.refresh import diagnostics, stored

FOLDER = Path(__file__).parent / "diagnostics"
CASES = sorted(FOLDER.glob("*.pde"))
FROM_TEXT = (
    "M01 M02 M03 M04 M05 M06 M07 J01 J02 J03 S01 S02 S03 S04 S05 T01 T02 T03 T04 T05 T06 W01 W02"
    " W03 W04 W05 W06 W07 W08 W09 W10 V01 V02 V03 N01 B03 B04"
).split()


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
        assert 1 <= each.line <= len(text)
        assert 1 <= each.column <= len(text[each.line - 1]) + 1


@pytest.mark.parametrize("code", FROM_TEXT)
def test_every_code_that_text_can_cause_has_an_example(code):
    assert any(path.stem.startswith(code) for path in CASES)
