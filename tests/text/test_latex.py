"""Expressions and problems as they are set: each line is what a physicist would write."""

from __future__ import annotations

import pytest

import pdespec
from pdespec.errors import Source
from pdespec.text.syntax.parser import read
from pdespec.text.write.display import problem_lines
from pdespec.text.write.latex import Notation, tex

NOTATION = Notation(("x", "y", "t"), {"v": "vector", "T": "tensor"}, {"Gamma": ()})


def latex(expression):
    report = []
    (definition,) = read(Source("expression", f"q := {expression}\n"), report).statements
    assert not report
    return tex(definition.body, NOTATION)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("div(k*grad(u))", r"\nabla \cdot (k\, \nabla u)"),
        ("lap(u) - curl(v)", r"\Delta u - \nabla \times \boldsymbol{v}"),
        ("advect(v, v)", r"(\boldsymbol{v} \cdot \nabla) \boldsymbol{v}"),
        ("dxxy(u)", r"\frac{\partial^{3} u}{\partial x^{2}\, \partial y}"),
        ("dt(rho*u)", r"\frac{\partial}{\partial t} (\rho\, u)"),
        ("-dxx(u)/2", r"-\frac{1}{2}\, \frac{\partial^{2} u}{\partial x^{2}}"),
        ("mu/2*(a - 1)^2", r"\frac{\mu}{2}\, (a - 1)^{2}"),
        ("a/b/c", r"\frac{\frac{a}{b}}{c}"),
        ("a - (b - c)", r"a - (b - c)"),
        ("a*(-b)", r"a\, (-b)"),
        ("a + -b", r"a + (-b)"),
        ("2*3*a", r"2\, \cdot 3\, a"),
        ("x^(-1/4)", r"x^{-1/4}"),
        ("(a + b)^2", r"(a + b)^{2}"),
        ("sin(x)^2", r"\sin^{2}(x)"),
        ("sqrt(1 + x)", r"\sqrt{1 + x}"),
        ("T'*T", r"\boldsymbol{T}^{\mathsf{T}}\, \boldsymbol{T}"),
        ("[1, u]", r"\begin{pmatrix} 1 \\ u \end{pmatrix}"),
        ("[[a, b], [c, d]]", r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}"),
        ("v.x", r"v_{x}"),
        ("integral(u^2, Gamma)", r"\int_{\Gamma} u^{2}\, \mathrm{d}S"),
        ("integral(a + b, Omega)", r"\int_{\Omega} (a + b)\, \mathrm{d}V"),
        ("diff(psi, T)", r"\frac{\partial \psi}{\partial \boldsymbol{T}}"),
        ("variation(E, u)", r"\frac{\delta E}{\delta u}"),
        (
            "inner(T, T) + dot(v, n)",
            r"\boldsymbol{T} : \boldsymbol{T} + \boldsymbol{v} \cdot \boldsymbol{n}",
        ),
        ("eps_0*c1", r"\varepsilon_{0}\, c_{1}"),
        ("T_hot*Re", r"T_{\mathrm{hot}}\, \mathrm{Re}"),
        ("1.5e-3*u", r"1.5\cdot 10^{-3}\, u"),
        ("abs(u)", r"\left|u\right|"),
        ("boundary(Omega)", r"\partial \Omega"),
    ],
)
def test_an_expression_is_set_as_on_the_board(expression, expected):
    assert latex(expression) == expected


def test_a_problem_is_set_equations_first():
    text = """problem p
space x, y
domain Omega = rectangle([0, 0], [1, 1])
boundary lid = side(Omega, y = 1), walls = rest(Omega)
const nu = 0.1
input f : scalar on Omega ~ grf(length = 0.5)
unknown u : scalar on Omega
in Omega:
    heat_balance: -nu*lap(u) = f
on lid: u = 1
on walls: u = 0
"""
    lines = [line.columns for line in problem_lines(pdespec.parse(text))]
    assert lines[0] == r"-\nu\, \Delta u &= f && \text{in } \Omega && (\text{heat\_balance})"
    assert lines[1] == r"u &= 1 && \text{on } \mathrm{lid}"
    assert r"\mathrm{walls} &= \partial \Omega \setminus (\mathrm{lid})" in lines
    assert r"f &\sim \mathrm{GRF}(\mathrm{length} = 0.5) && \text{on } \Omega" in lines
