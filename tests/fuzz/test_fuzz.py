"""A few of each kind of spoilt input; `python -m tests.fuzz.run` tries many."""

from __future__ import annotations

import pytest

from tests.fuzz.run import kind, outcome

COUNTS = {"texts": 60, "words": 80, "runs": 25, "files": 60, "kills": 2}


@pytest.mark.parametrize("name", COUNTS)
def test_spoilt_inputs_are_accepted_or_refused_with_a_reason(name):
    attempt = kind(name)
    found = [
        line
        for seed in range(COUNTS[name])
        if "FAIL" in (line := f"{seed} {outcome(attempt, seed)}")
    ]
    assert not found, "\n".join(found)
