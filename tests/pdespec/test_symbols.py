import pickle

import pytest
import sympy as sp

from pdespec import (
    Problem,
    ProblemError,
    boundary,
    const,
    gaussians,
    input_function,
    lap,
    on,
    param,
    rectangle,
    space,
    time,
    trainable,
    uniform,
    unknown,
)
from pdespec.coordinates import Coordinate, as_exact, unit_normal
from pdespec.statements.statements import sides
from pdespec.symbols import Input, InputField, Param, Unknown, UnknownField

x, y = space("x y")
t = time("t", 0, 2)
Omega = rectangle(x, y)


def test_a_coordinate_knows_its_frame():
    assert x.frame == y.frame == ("x", "y")
    assert x.coordinates == (x, y)


def test_coordinates_of_different_frames_are_different_symbols():
    (alone,) = space("x")
    assert alone != x
    assert sp.Add(alone, x) != 2 * x


def test_a_component_function_leads_back_to_its_declaration():
    v = unknown("v", Omega, "vector", time=t)
    assert [entry.func.__name__ for entry in v] == ["v.x", "v.y"]
    assert [entry.func.component for entry in v] == [0, 1]
    assert v[0].func.declaration == Unknown("v", "vector", Omega, t)
    assert v[0].args == (x, y, t)
    assert all(isinstance(entry, UnknownField) for entry in v)


def test_a_tensor_is_a_square_matrix_of_components_row_by_row():
    T = unknown("T", Omega, "tensor")
    assert T.shape == (2, 2)
    assert [entry.func.__name__ for entry in T] == ["T.xx", "T.xy", "T.yx", "T.yy"]


def test_an_input_is_no_unknown():
    f = input_function("f", Omega)
    assert isinstance(f, InputField)
    assert not isinstance(f, UnknownField)
    assert f.func.declaration == Input("f", "scalar", Omega)


def test_equal_declarations_give_equal_symbols_and_others_do_not():
    assert unknown("u", Omega) == unknown("u", Omega)
    assert unknown("u", Omega) != unknown("u", Omega, time=t)
    assert unknown("u", Omega) != unknown("u", rectangle(x, y, upper=(2, 1)))
    assert unknown("u", Omega) != input_function("u", Omega)
    assert param("c", 1) != param("c", 2)
    assert param("c", 1) != const("c", 1)


@pytest.mark.parametrize(
    "name", ["E", "I", "S", "N", "n", "Q", "O", "C", "pi", "beta", "gamma", "zeta", "lambda_", "oo"]
)
def test_every_identifier_can_name_a_field(name):
    u = unknown(name, Omega)
    problem = Problem("p", [sp.Eq(lap(u), u**2)], [on(boundary(Omega), u)])
    assert list(problem.unknowns) == [name]
    assert problem.residuals()["eq1"] == sp.Derivative(u, (x, 2)) + sp.Derivative(u, (y, 2)) - u**2


@pytest.mark.parametrize(
    "make",
    [lambda n: unknown(n, Omega), lambda n: input_function(n, Omega), lambda n: const(n, 1), space],
)
@pytest.mark.parametrize("name", ["2u", "u.x", "", "a-b", "__import__('os')"])
def test_a_name_that_is_no_identifier_is_refused(make, name):
    if make is space and name == "":
        with pytest.raises(ProblemError, match="one to three"):
            make(name)
    else:
        with pytest.raises(ProblemError, match="S03"):
            make(name)


def test_fields_are_real_and_positive_ones_are_positive():
    u, rho = unknown("u", Omega), unknown("rho", Omega, positive=True)
    assert sp.sqrt(u**2) == sp.Abs(u)
    assert sp.sqrt(rho**2) == rho


def test_a_positive_constant_is_positive_and_a_param_only_real():
    assert const("nu", 0.1).is_positive
    assert const("nu", 0).is_positive is None
    assert param("nu", 0.1).is_positive is None
    assert param("nu", 0.1).is_real


def test_a_sized_param_is_a_vector_of_symbols():
    d = param("d", uniform(-1, 1), size=3)
    assert d.shape == (3, 1)
    assert [str(entry) for entry in d] == ["d[0]", "d[1]", "d[2]"]
    assert d[0].declaration == d[2].declaration == Param("d", "param", None, uniform(-1, 1), 3)
    assert d[0] != d[1]


def test_numbers_enter_as_the_rationals_they_were_written_as():
    assert as_exact(0.1) == sp.Rational(1, 10)
    assert as_exact(1e-300) == sp.Rational(1, 10**300)
    assert as_exact(2 * x + 0.3) == 2 * x + sp.Rational(3, 10)
    assert as_exact([0.5, x])[0] == sp.Rational(1, 2)
    assert const("nu", 0.01).declaration.value == sp.Rational(1, 100)


@pytest.mark.parametrize(
    "value", ["x + 1", "__import__('os').system('true')", True, None, [], object(), {"x": 1}]
)
def test_text_and_other_things_are_never_turned_into_an_expression(value):
    with pytest.raises(ProblemError, match="is not an expression"):
        as_exact(value)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        sp.zoo,
        sp.oo,
        -sp.oo * 1,
        sp.nan,
        x + sp.zoo,
        sp.Matrix([1, sp.nan]),
    ],
)
def test_numbers_are_finite(value):
    with pytest.raises(ProblemError, match="V03"):
        as_exact(value)
    with pytest.raises(ProblemError, match="V03"):
        const("c", value)


def test_expressions_may_be_complex_and_equations_of_real_fields_not():
    assert as_exact(sp.I * x + (0.5 + 2j)) == sp.I * x + sp.Rational(1, 2) + 2 * sp.I
    with pytest.raises(ProblemError, match="T05.*its fields are real"):
        sides((sp.I * x, 0))


def test_numpy_numbers_are_numbers():
    np = pytest.importorskip("numpy")
    assert as_exact(np.float64(0.1)) == sp.Rational(1, 10)
    assert as_exact(np.float32(0.5)) == sp.Rational(1, 2)
    assert as_exact(np.int64(3)) == 3
    assert as_exact(np.array([[0.1, 1], [2, 3]])) == sp.Matrix([[sp.Rational(1, 10), 1], [2, 3]])


@pytest.mark.parametrize(
    "value",
    [
        x,
        t,
        unknown("u", Omega, time=t),
        unknown("v", Omega, "vector"),
        input_function("f", Omega),
        param("d", uniform(0, 1), size=2),
    ]
    + [
        trainable("k", 2),
        unit_normal(Omega),
        sp.Derivative(unknown("u", Omega), x, (y, 2)),
        Omega,
        Unknown("v", "vector", Omega).test,
    ],
    ids=str,
)
def test_symbols_survive_pickling(value):
    copy = pickle.loads(pickle.dumps(value))
    assert copy == value
    assert hash(copy) == hash(value)
    assert isinstance(copy, type(value))


def test_the_normal_has_a_component_for_every_coordinate():
    n = unit_normal(boundary(Omega))
    assert [str(entry) for entry in n] == ["n.x", "n.y"]
    assert n[1].coordinate == y


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: unknown("u", Omega, "vektor"), "S01"),
        (lambda: unknown("u", boundary(Omega)), "T05"),
        (lambda: unknown("u", Omega, time=x), "T05"),
        (lambda: input_function("f", Omega, 3), "T05"),
        (lambda: input_function("f", Omega, gaussians(), source="f.h5"), "S02"),
        (lambda: input_function("f", Omega, uniform(0, 1)), "T05"),
        (lambda: param("c", gaussians()), "T05"),
        (lambda: const("c", x), "S02"),
        (lambda: param("c", [1, 2]), "S02"),
        (lambda: param("c", uniform(0, 1), size=0), "S02"),
        (lambda: space("a b c d"), "S02"),
        (lambda: space("x x"), "S05"),
        (lambda: time("t", 1, 1), "S02"),
    ],
)
def test_a_malformed_declaration_is_refused(make, code):
    with pytest.raises(ProblemError) as caught:
        make()
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
    assert caught.value.diagnostics[0].hint


def test_a_misspelt_rank_gets_a_suggestion():
    with pytest.raises(ProblemError, match="did you mean 'vector'"):
        unknown("u", Omega, "vektor")


def test_a_coordinate_keeps_its_unit():
    (s,) = space("s", unit="m")
    assert isinstance(s, Coordinate)
    assert s.unit == "m"
    assert s.coordinates == (s,)
