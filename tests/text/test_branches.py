"""Functions, steps and branches in the text form: meaning, printing, LaTeX, units, and names
that give way."""

from __future__ import annotations

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import pdespec
from pdespec import Problem, boundary, const, lap, on, rectangle, space, unknown
from pdespec.functions import ORDERED, TABLE

x, y = space("x y")
Q = rectangle(x, y, name="Q")
u = unknown("u", Q)
HALF = sp.Rational(1, 2)


def problem(expression: str, declared: str = "", unit: str = "") -> pdespec.Problem:
    """A problem with a given right-hand side."""
    return pdespec.parse(
        f"problem p\nspace x, y{unit}\ndomain Q = rectangle([0, 0], [1, 1])\n{declared}\nunknown u"
        f" : scalar on Q\nin Q: lap(u) = {expression}\non boundary(Q): u = 0"
    )


def built(expression: sp.Expr) -> Problem:
    return Problem("p", {"eq1": (lap(u), expression)}, [on(boundary(Q), (u, 0))])


MEANINGS = {
    "if(x < 1/2, 1, 400)": sp.Piecewise((1, x < HALF), (400, True)),
    "if(x < 1/4, 1, x < 1/2, u, 3)": sp.Piecewise(
        (1, x < sp.Rational(1, 4)), (u, x < HALF), (3, True)
    ),
    "if(0 < x <= 1/2, 1, 2)": sp.Piecewise((1, sp.And(x > 0, x <= HALF)), (2, True)),
    "if(x < 1/2 and y > 1/2 or not u >= 0, 1, 2)": sp.Piecewise(
        (1, sp.Or(sp.And(x < HALF, y > HALF), u < 0)), (2, True)
    ),
    "if((x < 1/2 or y > 1/2) and u > 0, 1, 2)": sp.Piecewise(
        (1, sp.And(sp.Or(x < HALF, y > HALF), u > 0)), (2, True)
    ),
    "if(equal(x, y), 1, 2)": sp.Piecewise((1, sp.Eq(x, y)), (2, True)),
    "if(not equal(x, y), 1, 2)": sp.Piecewise((1, sp.Ne(x, y)), (2, True)),
    "if(xor(x < 1/2, y < 1/2), 1, 2)": sp.Piecewise((1, sp.Xor(x < HALF, y < HALF)), (2, True)),
    "if((x + 1)*2 < 3, 1, 2)": sp.Piecewise((1, 2 * x + 2 < 3), (2, True)),
    "if(x \u2264 1/2, 1, 2)": sp.Piecewise((1, x <= HALF), (2, True)),
    "if(1 < 2, x, y)": x,
    "step(x) + step(u, 1)": sp.Heaviside(x) + sp.Heaviside(u, 1),
    "mod(x, 1/3) + atan2(y, x)": sp.Mod(x, sp.Rational(1, 3)) + sp.atan2(y, x),
    "besselj(1/2, x)*besselk(0, y)": sp.besselj(HALF, x) * sp.besselk(0, y),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_a_text_means_its_expression_and_comes_back(text):
    parsed = problem(text)
    assert parsed == built(MEANINGS[text])
    assert pdespec.parse(parsed.to_dsl()) == parsed
    assert pdespec.parse(built(MEANINGS[text]).to_dsl()) == parsed


def test_a_remainder_is_not_searched_for_common_factors():
    # SymPy's Mod writes both sides as dense polynomials: of degree 10^8 here, which needs 20 GB
    parsed = problem("mod(exp(100000000*x^2 - 3*x), 5)")
    assert pdespec.parse(parsed.to_dsl()) == parsed


@pytest.mark.parametrize("name", TABLE)
def test_every_function_is_written_read_and_typeset(name):
    entry = TABLE[name]
    arguments = {
        1: (x + 2 * u,),
        2: (sp.Integer(2), x * u) if entry.function in ORDERED else (x + y, u + 2),
    }[max(entry.least, 1)]
    made = built(entry.function(*arguments))
    text = made.to_dsl()
    assert f"{name}(" in text
    assert pdespec.parse(text) == made
    marks = [mark for mark in entry.tex.split("%s") if mark.strip("(), ")] or [rf"\{name}"]
    assert all(mark.strip("()") in made.to_latex() for mark in marks)


def conditions(depth: int = 2) -> st.SearchStrategy:
    side = st.sampled_from([x, y, u, sp.Integer(0), HALF, x + y, 2 * x - 1, u**2])
    plain = st.tuples(st.sampled_from([sp.Lt, sp.Le, sp.Gt, sp.Ge, sp.Eq, sp.Ne]), side, side).map(
        lambda t: t[0](t[1], t[2])
    )
    joined = lambda inner: st.one_of(  # noqa: E731 - one strategy
        st.tuples(st.sampled_from([sp.And, sp.Or, sp.Xor]), inner, inner).map(
            lambda t: t[0](t[1], t[2])
        ),
        inner.map(sp.Not),
    )
    # rebuilt from its parts: SymPy keeps Or(Or(a, b), Not(a)) and makes Or(a, b, Not(a)) True
    return st.recursive(plain, joined, max_leaves=4).map(lambda c: c.func(*c.args))


VALUES = [sp.Integer(1), x, sp.sqrt(u), sp.sin(x * y), u * sp.Abs(x)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([sp.Integer(1), x, sp.sqrt(u), sp.sin(x * y), u * sp.Abs(x)]),
            conditions(),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_choice_built_in_python_comes_back_from_its_text(branches):
    made = built(sp.Piecewise(*branches, (7, True)))
    assert pdespec.parse(made.to_dsl()) == made
    made.to_latex()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if(if(u > x, x, y) < 1, 2, 3)", sp.Or(sp.And(u > x, x < 1), sp.And(u <= x, y < 1))),
        (
            "if(0 <= if(dx(u) > u, x, y), 2, 3)",
            sp.Or(sp.And(u.diff(x) > u, x >= 0), sp.And(u.diff(x) <= u, y >= 0)),
        ),
    ],
)
def test_a_choice_inside_of_a_condition_is_one_of_conditions(text, expected):
    """By derivatives as well, over which SymPy's own form recurses without end."""
    found = problem(text)
    assert found.equations["eq1"].rhs == sp.Piecewise((2, expected), (3, True))
    assert pdespec.parse(found.to_dsl()) == found


def test_a_choice_of_vectors_is_one_entry_by_entry():
    made = pdespec.parse(
        "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\nunknown v : vector on Q\n"
        "in Q: lap(v) = if(x < 1/2, [1, x], 2*v)\non boundary(Q): v = 0"
    )
    assert list(made.equations["eq1"].rhs) == [
        sp.Piecewise((a, x < HALF), (2 * b, True))
        for a, b in zip((1, x), made.unknowns["v"].symbol, strict=True)
    ]
    assert pdespec.parse(made.revised(name="q").to_dsl()).equations == made.equations


@pytest.mark.parametrize("word", ["gamma", "step", "sign", "if", "sec", "erf", "mod", "equal"])
def test_the_newer_functions_give_their_names_up_to_declarations(word):
    parsed = problem(f"2*{word}*u + `{word}`", f"const {word} = 3")
    symbol = parsed.constants[word].symbol
    assert parsed.equations["eq1"].rhs == 2 * symbol * u + symbol
    assert pdespec.parse(parsed.to_dsl()) == parsed
    own = problem(f"{word}(x)", f"{word}(w) := w^2 + 1")
    assert own.equations["eq1"].rhs == x**2 + 1
    own.to_latex()


def test_a_name_and_the_function_it_could_hide_are_kept_apart():
    sign = const("sign", 3)
    made = built(sign * sp.sign(u))
    assert "`sign`*sign(u)" in made.to_dsl()
    assert pdespec.parse(made.to_dsl()) == made


def test_branches_are_typeset_as_cases():
    latex = problem("if(0 < x < 1/2 and not y > 1/2, 1, sqrt(x))").to_latex()
    assert (
        r"\begin{cases} 1 & 0 < x < \frac{1}{2}\text{ and }\text{not } y > \frac{1}{2} \\ \sqrt{x}"
        r" & \text{otherwise} \end{cases}" in latex
    )


ABOVE, EAST = u > 0, x > HALF
UNSETTLED = {
    "a tautology of three": (sp.Or(sp.Or(ABOVE, EAST), sp.Not(ABOVE)), sp.true),
    "of equations": (sp.Or(sp.Or(sp.Eq(u, 0), EAST), sp.Ne(u, 0)), sp.true),
    "a contradiction": (sp.And(sp.And(EAST, ABOVE), sp.Not(EAST), evaluate=False), sp.false),
    "not not": (sp.Not(sp.Not(ABOVE, evaluate=False), evaluate=False), ABOVE),
    "of numbers": (sp.Gt(1, 0, evaluate=False), sp.true),
    "a set": (sp.Interval(0, 1).contains(u), sp.And(u >= 0, u <= 1)),
    "implies": (sp.Implies(ABOVE, EAST), sp.Or(u <= 0, EAST)),
    "equivalent": (
        sp.Equivalent(ABOVE, EAST),
        sp.Or(sp.And(ABOVE, EAST), sp.And(u <= 0, x <= HALF)),
    ),
    "inside of another": (sp.And(y > 0, sp.Or(sp.Or(ABOVE, EAST), sp.Not(ABOVE))), y > 0),
}


@pytest.mark.parametrize("case", UNSETTLED)
def test_a_condition_that_sympy_leaves_as_it_is_has_the_form_of_its_text(case):
    condition, settled = UNSETTLED[case]
    made = built(sp.Piecewise((x, condition), (u**2, True), evaluate=False) + 1)
    assert made == built(sp.Piecewise((x, settled), (u**2, True)) + 1)
    assert pdespec.parse(made.to_dsl()) == made


UNITS = {
    "if(x < 1, u, 2*u)": "",
    "if(x < 1, u, x)": "`if`",
    "if(x < u, u, u)": "comparison",
    "sign(x)*u + step(u)*u": "",
    "mod(u, x)": "`mod`",
    "u*atan2(y, x)": "",
    "atan2(y, u)*u": "`atan2`",
    "u*erf(x)": "`erf`",
    "u*besselj(0, x/y)": "",
}


@pytest.mark.parametrize("text", UNITS)
def test_units_are_checked_through_steps_and_branches(text):
    source = (
        "problem p\nspace x, y [m]\ndomain Q = rectangle([0, 0], [1, 1])\nunknown u : scalar on Q"
        f" [K]\nconst a = 1 [1/m^2]\nin Q: lap(u) = a*({text})\non boundary(Q): u = 0"
    )
    if not UNITS[text]:
        pdespec.parse(source)
        return
    with pytest.raises(pdespec.ProblemError, match="T04") as caught:
        pdespec.parse(source)
    assert UNITS[text] in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ("piecewise(x, 1, 2)", "if("),
        ("heaviside(x)", "step("),
        ("arctan2(y, x)", "atan2("),
        ("ln(x)", "log("),
    ],
)
def test_the_words_of_other_languages_are_answered_by_those_of_this_one(wrong, cure):
    with pytest.raises(pdespec.ProblemError, match="S01") as caught:
        problem(wrong)
    assert cure in caught.value.diagnostics[0].hint


def test_the_stationarity_of_a_modulus_is_explained():
    from pdespec.text.write.summary import explain

    text = "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\nunknown u : scalar on Q\n"
    parsed = pdespec.parse(
        text
        + "minimize integral(dot(grad(u), grad(u))/2 + abs(u) + max(u, 1)^2, Q)\non boundary(Q):"
        " u = 0"
    )
    (line,) = explain(parsed, "residuals")
    assert "sign(u)" in line and "step(u - 1)" in line and "lap(u)" in line
    assert "sign(u)" in "".join(explain(parsed, "variation"))
