"""A few of each kind of spoilt input; `python -m tests.fuzz.run` tries many."""

from __future__ import annotations

import json

import pytest

from tests.fuzz.run import kind, outcome, share, total

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


def test_shares_add_up_and_hold_no_seed_twice(tmp_path):
    lines = ["3 refused S02", "4 accepted", "5 FAIL TypeError at x.py:1", "9 accepted"]
    first = share("texts", range(3, 6), lines, (0.5, 4))
    second = share("texts", range(9, 10), lines, (0.25, 9))
    assert [first[key] for key in ("from", "to", "accepted", "refused", "else")] == [3, 5, 1, 1, 1]
    record = tmp_path / "shares.jsonl"
    record.write_text("".join(json.dumps(each) + "\n" for each in (first, second)))
    told = "texts: 4 tried, 2 accepted, 1 refused, 1 else; the slowest 0.5 CPU s, seed 4; "
    assert total(record).startswith(told)
    record.write_text("".join(json.dumps(each) + "\n" for each in (first, second, first)))
    with pytest.raises(SystemExit, match="seed 3 or later"):
        total(record)
