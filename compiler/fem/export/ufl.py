"""The weak form as a script for FEniCS (legacy dolfin, 2019): unknowns, integrals, energy,
conditions, rates.

`to_ufl` writes it whole, to take along; `integrals` is its middle part, which `fenics.py` runs on
our own mesh and nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from compiler.fem.errors import NoWeakForm
from compiler.fem.export.latex import element_name, elements, to_latex
from compiler.fem.export.ufl_words import (
    Ufl,
    boundaries,
    identifiers,
    is_given,
    needed,
)
from compiler.fem.forms.conditions import Essential
from compiler.fem.forms.curvature import Skeleton
from compiler.fem.forms.pairing import EDGE
from compiler.fem.forms.weak import Region, WeakForm
from compiler.lowering.terms import JetVariable
from pdespec.coordinates import Normal, Time
from pdespec.geometry import Boundary

IMPORTS = (  # dolfin leaves these out
    "from dolfin import *\nfrom ufl import And, Not, Or, atan_2, bessel_I, bessel_J, bessel_K,"
    " bessel_Y, cosh, max_value, min_value, sign, sinh, tanh"
)
CELLS = {1: "interval", 2: "triangle", 3: "tetrahedron"}


def to_ufl(form: WeakForm, degree: int = 2) -> str:
    """The whole problem as a script: a mesh, and what is listed as given, are all it asks for.

    Essential conditions become `bcs`. What the language has no word for, a slip condition or an
    integral requirement, is a comment. Boundary integrals over regions that overlap need marks of
    their own: one facet carries one number.

    Raises: NoWeakForm for an energy of second derivatives, and for unknowns on several domains.
    """
    edges = [c for c, space in form.spaces.items() if space is EDGE]
    if edges:
        raise NoWeakForm(
            f"{', '.join(edges)} of `{form.name}` are carried by edge elements, which are not"
            " written for FEniCS"
        )
    if form.component_domains:
        names = ", ".join(
            dict.fromkeys(own_domain.name for own_domain in form.component_domains.values())
        )
        raise NoWeakForm(
            f"the unknowns of `{form.name}` live on several domains ({names}): spaces that end"
            " where two of them meet are not written for FEniCS"
        )
    if any(isinstance(integrand.region, Skeleton) for integrand in form.integrands):
        raise NoWeakForm(
            f"the energy of `{form.name}` holds second derivatives: its terms between cells are not"
            " written for FEniCS"
        )
    names = identifiers(form)
    sections = [
        f"# {form.name}: F = 0 for all W, by FEniCS",
        IMPORTS,
        f"# given here: {', '.join(['mesh', *given(form, names)])}",
        PART * bool(boundaries(form) or form.essentials),
        "\n".join(unknowns(form, names, degree, CELLS[len(form.coordinates)])),
        "\n".join(rates(form, names)),
        "\n".join(marking(form, names)),
        integrals(form, names),
        "\n".join(essentials(form, names)),
        closing(form),
    ]
    return "\n".join(section for section in sections if section) + "\n"


PART = '''
def part(where, *without):
    """A facet function with 1 on a part of the boundary."""
    found = MeshFunction("size_t", mesh, mesh.topology().dim() - 1, 0)
    AutoSubDomain(lambda x, out: out and where(x)).mark(found, 1)
    for other in without:
        AutoSubDomain(lambda x, out: other(x)).mark(found, 0)
    return found

'''


def given(form: WeakForm, names: Mapping[str, str]) -> list[str]:
    """What the reader of the script must define: numbers, input functions, parts of the boundary
    that no coordinate tells."""
    symbols = [s for s in needed(form, is_given) if not isinstance(s, Time)]
    found = [
        f"{names[s.component]} (function)"
        if isinstance(s, JetVariable)
        else f"{names[s.name]} (number)"
        for s in symbols
    ]
    regions = [*boundaries(form), *(e.region for e in form.essentials)]
    return list(
        dict.fromkeys(
            found
            + [
                f"{names[b.name]} (facet function, 1 on {b.name})"
                for b in regions
                if where(b) is None
            ]
        )
    )


def unknowns(form: WeakForm, names: Mapping[str, str], degree: int, cell: str) -> list[str]:
    """Space, function and test function, and their components by name."""
    own = [names[c] for c in form.components]
    lines = [
        f"element = {element(form, degree, cell)}",
        "V = FunctionSpace(mesh, element)",
        "U, W = Function(V), TestFunction(V)",
    ]
    lines += [components(own, "U"), components([f"w_{name}" for name in own], "W")]
    return [*lines, "X, n = SpatialCoordinate(mesh), FacetNormal(mesh)"]


def components(own: list[str], whole: str) -> str:
    """The line that names the components of a function of a mixed space."""
    return f"{', '.join(own)} = split({whole})" if len(own) > 1 else f"{own[0]} = {whole}"


def element(form: WeakForm, degree: int, cell: str) -> str:
    """The finite element as UFL."""
    parts = []
    for component in form.components:
        space = form.spaces[component]
        family = "Lagrange" if space.continuous and degree - space.below else "DG"
        parts.append(f'FiniteElement("{family}", {cell}, {degree - space.below})')
    return parts[0] if len(parts) == 1 else f"MixedElement([{', '.join(parts)}])"


def rates(form: WeakForm, names: Mapping[str, str]) -> list[str]:
    """Time, and the rates of the unknowns by the backward Euler method, which another scheme may
    take the place of."""
    if form.time is None:
        return []
    axes = len(form.coordinates)
    jets = set().union(*(i.coefficient.atoms(JetVariable) for i in form.integrands))
    highest = max((sum(s.index[axes:]) for s in jets if not s.known), default=0)
    lines = [f"{names[form.time.name]}, step = Constant({float(form.time.start)}), Constant(0.01)"]
    for order in range(highest):
        suffix, own = "_t" * order, [names[c] for c in form.components]
        lines += [
            f"U{suffix}_old = Function(V)",
            components([f"{name}{suffix}_old" for name in own], f"U{suffix}_old"),
        ]
        lines += [f"{name}{suffix}_t = ({name}{suffix} - {name}{suffix}_old)/step" for name in own]
        printer = Ufl(form, names)
        for initial in (i for i in form.initials if i.order == order):
            space, value = place(form, initial.component), printer.doprint(initial.value)
            value = f"Constant({value})" if initial.value.is_number else value
            lines.append(
                f"assign({space.replace('V', f'U{suffix}_old')}, {projected(value, space)})"
            )
    return lines


def place(form: WeakForm, component: str) -> str:
    """The space of one component."""
    return "V" if len(form.components) == 1 else f"V.sub({form.components.index(component)})"


def projected(text: str, space: str) -> str:
    """A value as a function of a component's own space."""
    return f"project({text}, {space if space == 'V' else f'{space}.collapse()'})"


def where(boundary: Boundary) -> tuple[str, ...] | None:
    """The arguments of `part` for a boundary that coordinates tell, else None: the facets, then
    those that are not meant."""
    if boundary.where:
        return None
    if boundary.kind == "all":
        return ("True",)
    if boundary.kind == "side" and sp.sympify(boundary.value).is_number:
        axis = [x.name for x in boundary.coordinates].index(boundary.coordinate)
        return (f"near(x[{axis}], {float(boundary.value)!r}, 1e-9)",)
    if boundary.kind == "rest":
        others = [where(other) for other in boundary.others]
        if all(other is not None and len(other) == 1 for other in others):
            return ("True", *(other[0] for other in others if other))
    return None


def facets(boundary: Boundary, names: Mapping[str, str]) -> str:
    """The facets of a boundary: its name, or the inequalities that pick its part."""
    words = where(boundary)
    return (
        names[boundary.name]
        if words is None
        else f"part({', '.join(f'lambda x: {word}' for word in words)})"
    )


def marking(form: WeakForm, names: Mapping[str, str]) -> list[str]:
    """`ds(1)`, `ds(2)`, .. for the regions of boundary integrals."""
    if not boundaries(form):
        return []
    lines = ['marks = MeshFunction("size_t", mesh, mesh.topology().dim() - 1, 0)']
    lines += [
        f"marks.array()[{facets(b, names)}.array() == 1] = {k}  # {b.name}"
        for k, b in enumerate(boundaries(form), 1)
    ]
    return [*lines, 'ds = Measure("ds", domain=mesh, subdomain_data=marks)']


def integrals(form: WeakForm, names: Mapping[str, str]) -> str:
    """`F`, and `Pi` where the problem is an energy."""
    printer, numbers = Ufl(form, names), {b: k for k, b in enumerate(boundaries(form), 1)}

    def measure(region: Region) -> str:
        return f"ds({numbers[region]})" if isinstance(region, Boundary) else "dx"

    shared, reduced = sp.cse(
        [i.coefficient for i in form.integrands], symbols=(sp.Symbol(f"c{k}") for k in range(10**6))
    )
    lines = [f"{symbol.name} = {printer.doprint(value)}" for symbol, value in shared]
    terms = []
    for integrand, coefficient in zip(form.integrands, reduced, strict=True):
        test = f"w_{names[integrand.row]}" + "".join(
            f".dx({j})" for j, count in enumerate(integrand.test) if count
        )
        terms.append(f"({printer.doprint(coefficient)})*{test}*{measure(integrand.region)}")
    lines.append("F = " + " + \\\n    ".join(terms))
    if form.energy:
        lines.append(
            "Pi = "
            + " + \\\n    ".join(
                f"({printer.doprint(density)})*{measure(region)}" for density, region in form.energy
            )
        )
    return "\n".join(lines)


def essentials(form: WeakForm, names: Mapping[str, str]) -> list[str]:
    """Essential conditions; where two meet, the later one wins there, so that those with the
    value zero come last, as here."""
    words = [c for c in form.essentials if len(c.coefficients) == 1 and not c.value.atoms(Normal)]
    lines = [f"    {fixed(c, form, names)}," for c in sorted(words, key=lambda c: c.value == 0)]
    lines = ["bcs = [", *lines, "]"] if lines else ["bcs = []"]
    printer = Ufl(form, names)
    for condition in (c for c in form.essentials if c not in words):
        left = " + ".join(
            f"({printer.doprint(factor)})*{names[component]}"
            for component, factor in condition.coefficients
        )
        lines.append(
            f"# {left} = {printer.doprint(condition.value)} on {condition.region.name}: DirichletBC"
            " has no word for this"
        )
    for each in form.pins:
        left = " + ".join(
            f"({printer.doprint(factor)})*{names[component]}"
            for component, factor in each.coefficients
        )
        point = ", ".join(map(printer.doprint, each.place))
        lines.append(
            f"# {left} = {printer.doprint(each.value)} at ({point}): DirichletBC with 'pointwise',"
            " where a node lies there"
        )
    for gauge in form.gauges:
        kept = (
            f"{printer.doprint(gauge.density)} over {gauge.region.name} ="
            f" {printer.doprint(gauge.value)}"
        )
        lines.append(f"# integral of {kept}: by a multiplier")
    lines += [
        f"# periodic in {name}: constrained_domain of FunctionSpace"
        for name in form.domain.periodic
    ]
    return lines + [f"# {printer.doprint(expression)} > 0" for expression in form.admissible]


def fixed(condition: Essential, form: WeakForm, names: Mapping[str, str]) -> str:
    """The line that fixes a component on a boundary. `names`: those of the boundaries in the
    program."""
    ((component, factor),) = condition.coefficients
    value, space = condition.value / factor, place(form, component)
    text = Ufl(form, names).doprint(value)
    text = f"Constant({text})" if value.is_number else projected(text, space)
    return f"DirichletBC({space}, {text}, {facets(condition.region, names)}, 1)"


def closing(form: WeakForm) -> str:
    """The last line: how the form is solved, once or in every step of time."""
    if form.time is None:
        return "# solve(F == 0, U, bcs)"
    return (
        "# every step: move the time on, make bcs that depend on it anew, solve(F == 0, U, bcs),"
        " then U_old.assign(U), U_t_old likewise"
    )


def report(form: WeakForm) -> list[str]:
    """What a person asks of a weak form: the mathematics, the finite elements with their
    reasons, the script."""
    spaces = [
        f"{name}: {element_name(space)}, {space.reason}" for name, space in elements(form).items()
    ]
    try:
        script = to_ufl(form).rstrip()
    except NoWeakForm as refusal:
        script = f"# {refusal}"
    return [to_latex(form), "", *spaces, "", script]
