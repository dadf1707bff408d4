"""Whatever the text, `parse` answers soon, with a problem or a `ProblemError`, and touches
nothing."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sympy.core.cache import cacheit, clear_cache

import pdespec
from pdespec.text.read import budget
from pdespec.text.syntax.logical_lines import MAX_BRACKETS, MAX_CHARACTERS
from tests.effort import calls

EXAMPLES = [
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*.pde"))
]
WORDS = sorted({word for text in EXAMPLES for word in text.split()})
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def attempt(text):
    """Parses; True when the text is a problem. The work is bounded, see below."""
    try:
        pdespec.parse(text)
        return True
    except pdespec.ProblemError as error:
        assert error.diagnostics
        assert all(each.line is None or each.line >= 1 for each in error.diagnostics)
        assert str(error) and error.__cause__ is None  # not of a fault of the program
        return False


@given(st.text(max_size=300))
@QUICK
def test_any_text_is_a_problem_or_a_problem_error(text):
    attempt(text)


@given(
    st.lists(st.sampled_from(WORDS), max_size=60),
    st.lists(st.sampled_from([" ", "\n", "\n    "]), min_size=1, max_size=5),
)
@QUICK
def test_words_of_the_language_in_any_order_are_a_problem_or_a_problem_error(words, spaces):
    attempt(
        "problem p\nspace x, y\n"
        + "".join(word + spaces[i % len(spaces)] for i, word in enumerate(words))
    )


@given(
    st.sampled_from(EXAMPLES),
    st.integers(0, 10_000),
    st.integers(0, 30),
    st.sampled_from([*WORDS, "", "(", ")", "[", "'", "`", '"', "^", "\t", "∇"]),
)
@QUICK
def test_a_damaged_example_is_a_problem_or_a_problem_error(text, place, length, patch):
    place %= len(text)
    attempt(text[:place] + patch + text[place + length :])


@given(st.sampled_from(EXAMPLES), st.integers(0, 100), st.integers(0, 100))
@QUICK
def test_an_example_with_lines_swapped_or_lost_is_a_problem_or_a_problem_error(text, first, second):
    lines = text.splitlines()
    first, second = first % len(lines), second % len(lines)
    lines[first], lines[second] = lines[second], ""
    attempt("\n".join(lines))


HEAD = "problem p\nspace x, y\ndomain Omega = disk(radius = 1)\nunknown u : scalar on Omega\n"
HOSTILE = {
    "power tower": HEAD + "const a = 9^9^9^9^9\n",
    "large power of a product": HEAD + "q := (2*u)^1000000000\n",
    "squares of squares": (
        HEAD
        + "a0 := 12345678901234567890\n"
        + "".join(f"a{i + 1} := a{i}*a{i}\n" for i in range(200))
    ),
    "sums of sums": (
        HEAD
        + "a0 := u*x\n"
        + "".join(f"a{i + 1} := sin(a{i}) + cos(a{i})*a{i}\n" for i in range(200))
    ),
    "chain of functions": (
        HEAD
        + "f0(w) := w + x\n"
        + "".join(f"f{i + 1}(w) := f{i}(w + 1) + f{i}(2*w)\n" for i in range(60))
        + "q := f60(u)\n"
    ),
    "chain of units": (
        HEAD
        + "const m = 1 [m]\nf0(w) := w + m\n"
        + "".join(f"f{i + 1}(w) := f{i}(w) + f{i}(2*w)\n" for i in range(60))
        + "q := f60(m)\n"
    ),
    "nested brackets": HEAD + "q := " + "(" * 5000 + "u" + ")" * 5000 + "\n",
    "nested signs": HEAD + "q := " + "-" * 20000 + "u\n",
    "nested transposes": HEAD + "q := u" + "'" * 20000 + "\n",
    "nested powers": HEAD + "q := " + "u^" * 5000 + "u\n",
    "nested calls": (
        HEAD
        + "q := "
        + "sin(" * 30
        + "u"
        + ")" * 30
        + "\n"
        + "r := "
        + "sin(" * 30
        + "q"
        + ")" * 30
        + "\ns := "
        + "sin(" * 30
        + "r"
        + ")" * 30
    ),
    "long sum": HEAD + "q := " + " + ".join(f"{i}*u^{i % 7}" for i in range(5000)) + "\n",
    "exponentials of exponentials": HEAD + "const a = exp(exp(exp(exp(exp(10)))))\n",
    "huge number": HEAD + "const a = 1e999999999999\n",
    "many digits": HEAD + "const a = " + "1" * 90000 + "\n",
    "determinant": (
        HEAD
        + "q := det(["
        + ", ".join("[" + ", ".join(f"u^{i + j}" for j in range(12)) + "]" for i in range(12))
        + "])\n"
    ),
    "high derivative": HEAD + "q := d" + "x" * 40000 + "(u)\n",
    "derivative of ambiguous coordinates": (
        "problem p\nspace a, aa, aaa\ndomain B = ball(radius = 1)\nunknown u : scalar on B\nq := d"
        + "a" * 5000
        + "b(u)\n"
    ),
    "long name": HEAD + "q := " + "a" * 50000 + "\n",
    "many unknown names": HEAD + "q := " + " + ".join(f"name{i}" for i in range(2000)) + "\n",
    "wide expansion": (
        HEAD
        + "in Omega: lap(u)*(u + x + y + sin(u) + cos(u) + exp(x))^60 = 1\non boundary(Omega): u ="
        " (x + y + sin(x) + cos(y))^90\n"
    ),
    **{
        f"{name} of numbers": HEAD + "const a = " + form * 7 + "1/3" + ")" * 7 + "\n"
        for name, form in {
            "roots": "sqrt(2 + ",
            "error functions": "erf(1/3 + ",
            "logarithms": "log(7 + ",
            "complex exponentials": "abs(2 + exp(i*",
        }.items()
    },
    "powers of themselves": (
        HEAD + "a0 := 1/3\n" + "".join(f"a{i + 1} := (1 + a{i})^(a{i}/7)\n" for i in range(30))
    ),
    "cube roots of complex numbers": HEAD
    + "const a = "
    + "(1 + i*" * 8
    + "2"
    + ")^(1/3)" * 8
    + "\n",
    "Laplacians of sines": (
        HEAD
        + "in Omega: "
        + "lap(sin(" * 4
        + "u"
        + ")*u)" * 4
        + " = 1\non boundary(Omega): u = 0\n"
    ),
    "gradients of gradients": (
        HEAD
        + "a0 := u\n"
        + "".join(f"a{i + 1} := dot(grad(a{i}), grad(a{i}))\n" for i in range(4))
        + "minimize integral(a4, Omega)\n"
    ),
    "energy of high derivatives": (
        HEAD
        + "e := "
        + " + ".join(f"d{'x' * i}{'y' * j}(u)^2" for i in range(7) for j in range(6) if i + j)
        + "\nminimize integral(sqrt(1 + e), Omega)\n"
    ),
    "quotients of shapes": (
        "problem p\nspace x, y\nparam c ~ uniform(0, 1)\ndomain Omega = star(radius = "
        + "1 + c/(2 + sin(theta)*" * 20
        + "cos(theta)"
        + ")" * 20
        + ")\nunknown u : scalar on Omega\nin Omega: lap(u) = 1\non boundary(Omega): u = 0\n"
    ),
    "maxima of maxima": HEAD
    + "a0 := u\n"
    + "".join(f"a{i + 1} := max(a{i}, sin(a{i} + x))\n" for i in range(12)),
    "null bytes": "problem p\0\0\n\0",
    "many errors": HEAD + "in Omega:\n" + "    u = ?\n" * 5000,
    "too long": "#" * (MAX_CHARACTERS + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_answered_soon(name):
    attempt(HOSTILE[name])


NOT_REAL = "sqrt(-1)", "log(log(1/2))", "asin(2)", "1i"
USES = "if({} > x, 1, 0)", "if(x > 0 and {} < 1, 1, 0)", "step({} - x)", "mod({}, 2)", "max({}, x)"


@pytest.mark.parametrize("number", NOT_REAL)
@pytest.mark.parametrize("use", USES)
def test_what_cannot_be_compared_is_refused_where_it_is_compared(number, use):
    text = HEAD + f"in Omega: lap(u) = {use.format(number)}\non boundary(Omega): u = 0\n"
    with pytest.raises(pdespec.ProblemError) as caught:
        pdespec.parse(text)
    assert caught.value.diagnostics[0].line == 5 and caught.value.__cause__ is None


STATED = (
    "problem p\nspace x, y\ndomain D = {domain}\n{part}unknown u : scalar on D\n"
    "in D: lap(u) = 1\non boundary(D): u = 0\n{last}"
)
PLACES = {
    "domain": (
        "rectangle([{}, 0], [9, 1])",
        "disk(radius = 2 + {})",
        "disk(radius = 9) - disk(radius = 1, center = [{}, 0])",
    ),
    "part": ("boundary cut = side(D, x = {})\n",),
    "last": ("require u > {} in D\n", "output m := u({}, 0)\n"),
}


@pytest.mark.parametrize("number", ["sqrt(-1)", "log(log(1/2))", "asin(2)", "(-8)^(1/3)"])
@pytest.mark.parametrize(("part", "written"), [(k, each) for k, v in PLACES.items() for each in v])
def test_a_number_that_is_not_real_is_refused_wherever_it_stands(number, part, written):
    usual = {"domain": "disk(radius = 9)", "part": "", "last": ""}
    with pytest.raises(pdespec.ProblemError) as caught:
        pdespec.parse(STATED.format(**usual | {part: written.format(number)}))
    assert caught.value.diagnostics[0].code in ("V03", "T05") and caught.value.__cause__ is None


def test_a_fault_of_the_program_is_a_problem_error_with_its_cause(monkeypatch):
    def broken(source):
        raise TypeError("a fault")

    monkeypatch.setattr("pdespec.text.read.elaborate.problem_of", broken)
    with pytest.raises(pdespec.ProblemError, match="TypeError: a fault") as caught:
        pdespec.parse(HEAD)
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_long_text_leaves_less_work_to_its_meaning(monkeypatch):
    text = HEAD + "in Omega: lap(u) = 1\non boundary(Omega): u = 0\n"
    monkeypatch.setattr(budget, "MOST", 1_000_000)
    assert attempt(text) and not attempt(text + "#" * 25_000)


TOO_MUCH = ("Laplacians of sines", "gradients of gradients", "energy of high derivatives")


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_text_that_takes_too_much_work_is_refused_and_the_next_one_is_read(name, monkeypatch):
    monkeypatch.setattr(budget, "MOST", 300_000)
    with pytest.raises(pdespec.ProblemError, match="too much work") as caught:
        pdespec.parse(HOSTILE[name])
    assert caught.value.diagnostics[0].code == "S02" and caught.value.diagnostics[0].line
    assert sys.getprofile() is None
    assert attempt(HEAD + "in Omega: lap(u) = 1\non boundary(Omega): u = 0\n")


def test_no_work_beyond_the_bound_is_done():
    counted = 0

    def endless():
        nonlocal counted
        while True:
            counted += 1
            abs(counted)

    with pytest.raises(budget.Spent):
        budget.bounded(endless, 10_000)
    assert 3_000 < counted <= 5_000


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("finalizers", (1, 2, 7))
def test_the_bound_holds_where_a_finalizer_loses_what_is_raised(finalizers):
    counted = 0

    class Loud:
        def __del__(self):
            nonlocal counted
            for _ in range(1_000):
                counted += 1
                abs(counted)

    def work(after):
        for _ in range(finalizers):
            Loud()
        for _ in range(after):
            Loud()
        return sys.getprofile(), sys.gettrace()

    tracer = sys.gettrace()
    for after in (0, 1, 1_000):
        counted = 0
        with pytest.raises(budget.Spent):
            budget.bounded(lambda after=after: work(after), 2_000 * finalizers - 500)
        assert counted < 1_000 * (finalizers + 1)
        assert (sys.getprofile(), sys.gettrace()) == (None, tracer)


def test_a_bound_that_is_kept_changes_nothing():
    tracer = sys.gettrace()
    assert budget.bounded(lambda: sum(abs(k) for k in range(10)), 1_000) == 45
    with pytest.raises(ZeroDivisionError):
        budget.bounded(lambda: 1 // 0, 1_000)
    assert (sys.getprofile(), sys.gettrace()) == (None, tracer)


def spins(events):
    """Work of so many calls and returns, which counts how often it was begun."""
    begun = []

    def work():
        begun.append(True)
        for _ in range(events // 2):
            abs(0)
        return len(begun)

    return work


@pytest.mark.parametrize("head_start", (0.0, 0.01, 100.0))
def test_how_long_a_head_start_is_decides_nothing(head_start, monkeypatch):
    monkeypatch.setattr(budget, "AFTERWARDS", 50_000)
    monkeypatch.setattr(budget, "UNSEEN", 100_000)
    monkeypatch.setattr(budget, "HEAD_START", head_start or 1e-6)
    assert budget.bounded(spins(10_000), 200_000) == 1
    if head_start < 100:  # a hundred seconds would hold more than `UNSEEN`
        with pytest.raises(budget.Spent):
            budget.bounded(spins(4_000_000), 200_000)
    assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0) and sys.getprofile() is None


def test_work_beyond_a_head_start_is_done_again_and_counted_from_the_start(monkeypatch):
    monkeypatch.setattr(budget, "HEAD_START", 1e-6)
    monkeypatch.setattr(budget, "UNSEEN", 100_000)
    monkeypatch.setattr(budget, "AFTERWARDS", 300_000)
    assert budget.bounded(spins(2_300_000), 2_400_000) == 2
    assert budget.bounded(spins(200_000), 2_400_000) == 1


def test_what_is_kept_of_a_head_start_does_not_make_the_count_less(monkeypatch):
    monkeypatch.setattr(budget, "HEAD_START", 1e-6)
    monkeypatch.setattr(budget, "AFTERWARDS", 100_000)
    monkeypatch.setattr(budget, "UNSEEN", 900_000)

    @cacheit
    def costly(part):
        return spins(100_000)()

    for free in (True, False):
        monkeypatch.setattr(budget, "_timer_is_free", lambda free=free: free)
        clear_cache()
        with pytest.raises(budget.Spent):
            budget.bounded(lambda: [costly(sp.Integer(k)) for k in range(11)], 1_050_000)
        clear_cache()
        assert budget.bounded(lambda: [costly(sp.Integer(k)) for k in range(11)], 1_150_000)


def test_a_text_that_is_refused_is_read_little_more_than_once(monkeypatch):
    monkeypatch.setattr(budget, "HEAD_START", 1e-6)
    begun = []

    def work():
        begun.append(0)
        for _ in range(budget.MOST):
            begun[-1] += 1
            abs(0)

    with pytest.raises(budget.Spent):
        budget.bounded(work, budget.MOST)
    assert len(begun) == 2 and 2 * sum(begun) < 1.5 * budget.MOST


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals as POSIX has them")
def test_a_signal_that_is_blocked_lifts_no_bound(monkeypatch):
    monkeypatch.setattr(budget, "UNSEEN", 100_000)
    monkeypatch.setattr(budget, "AFTERWARDS", 50_000)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGVTALRM])
    try:
        with pytest.raises(budget.Spent):
            budget.bounded(spins(4_000_000), 200_000)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_timer_or_handler_of_somebody_else_is_left_alone(monkeypatch):
    seen = []
    before = signal.signal(signal.SIGVTALRM, lambda *_: seen.append(True))
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 50)
        assert budget.bounded(spins(1_000), budget.MOST) == 1
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 49
        monkeypatch.setattr(budget, "UNSEEN", 100_000)
        monkeypatch.setattr(budget, "AFTERWARDS", 50_000)
        with pytest.raises(budget.Spent):
            budget.bounded(spins(400_000), 200_000)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert not seen


def test_another_thread_reads_texts_within_the_same_bound(monkeypatch):
    monkeypatch.setattr(budget, "UNSEEN", 100_000)
    monkeypatch.setattr(budget, "AFTERWARDS", 50_000)
    found = []

    def read():
        found.append(attempt(HEAD + "in Omega: lap(u) = 1\non boundary(Omega): u = 0\n"))
        with pytest.raises(budget.Spent):
            budget.bounded(spins(400_000), 200_000)
        found.append(True)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert found == [True, True]


def test_nothing_is_bounded_under_a_profiler_which_goes_on():
    seen = []
    sys.setprofile(lambda *event: seen.append(event))
    try:
        budget.bounded(lambda: [abs(k) for k in range(10)], 1)
        assert sys.getprofile() is not None
    finally:
        sys.setprofile(None)
    assert len(seen) > 10


@pytest.mark.parametrize("path", ("neo_hookean_3d", "stokes", "airfoil_euler"))
def test_the_largest_examples_take_half_of_the_work_allowed(path):
    text = (Path(__file__).parents[2] / "examples" / f"{path}.pde").read_text(encoding="utf-8")
    assert calls(lambda: pdespec.parse(text)) < 0.6 * budget.MOST


def test_brackets_may_be_nested_up_to_the_limit():
    inside = "(" * MAX_BRACKETS + "u" + ")" * MAX_BRACKETS
    assert attempt(HEAD + f"in Omega: lap(u) = {inside}\non boundary(Omega): u = 0\n")


CODE = [
    "__import__('os').system('touch /tmp/hacked')",
    "u.__class__.__bases__",
    "().__class__",
    "lambda: 0",
    "eval('1')",
    "u.diff(x)",
    "open('/etc/passwd')",
]


@pytest.mark.parametrize("code", CODE)
def test_python_in_an_expression_is_an_error_and_is_not_run(code, monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError(f"parse opened {arguments[0]!r}")

    pdespec.parse(EXAMPLES[0])  # the grammar is read once
    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(os, "system", refuse)
    monkeypatch.setattr(builtins, "eval", refuse)
    assert not attempt(HEAD + f"in Omega: lap(u) = {code}\non boundary(Omega): u = 0\n")


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    path = tmp_path / "binary.pde"
    path.write_bytes(b"problem p\n\xff\xfe\x00space")
    with pytest.raises(pdespec.ProblemError) as caught:
        pdespec.load(path)
    assert caught.value.diagnostics[0].line == 2


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        pdespec.load(tmp_path / "nothing.pde")


def test_importing_the_language_loads_neither_the_parser_nor_torch():
    code = (
        "import sys, pdespec; print([name for name in ('lark', 'torch', 'numpy', 'scipy') if name"
        " in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
