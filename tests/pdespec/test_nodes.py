"""Substitution where SymPy's own recurses without end."""

import sympy as sp

from pdespec.nodes import replaced

x, y, z = sp.symbols("x y z", real=True)


class Endless(sp.Piecewise):
    """A choice that SymPy cannot build anew by itself."""

    def __new__(cls, *arguments, evaluate=True):
        if evaluate and not arguments[0][0].has(z):
            raise RecursionError
        return super().__new__(cls, *arguments, evaluate=False)


def test_a_choice_that_sympy_cannot_build_anew_is_replaced_in():
    choice = Endless((z * x, x > 0), (z, True))
    left = sp.Add(y, y, evaluate=False)
    expression = sp.Tuple(choice, left)
    found, unchanged = replaced(expression, {z: sp.Integer(2)})
    assert found == sp.Piecewise((2 * x, x > 0), (2, True), evaluate=False)
    assert unchanged is left  # as `xreplace` leaves what does not change
    assert replaced(x + y, {x: z}) == y + z
