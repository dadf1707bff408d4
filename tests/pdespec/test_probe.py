import sympy as sp

from pdespec.probe import Elimination, implied_lower_bound, points, slopes, vanishes

a, b, c = sp.symbols("a b c", real=True)


def test_identities_are_found_by_evaluation():
    assert vanishes(sp.sin(a) ** 2 + sp.cos(a) ** 2 - 1)
    assert vanishes((a + b) ** 2 - a**2 - 2 * a * b - b**2)
    assert not vanishes((a + b) ** 2 - a**2 - 2 * a * b)
    assert not vanishes(a / 10**9)
    assert vanishes(sp.S.Zero)
    assert not vanishes(1 / (a - a * sp.cos(b) ** 2 - a * sp.sin(b) ** 2))
    assert not vanishes(sp.Function("unknown")(a))
    assert not vanishes(sp.S.One)


def test_points_are_generic_and_the_same_in_every_run():
    first, second = points(2, a + b + c)
    assert len({*first.values(), *second.values()}) == 6
    assert all(0 < number < 2 for number in first.values())
    assert points(2, c, b + a) == [first, second]


def test_bounds_follow_through_affine_maps_only():
    J = a * b - c
    assert implied_lower_bound(J, J) == 0
    assert abs(implied_lower_bound(2 * J + 1, J) - 1) < 1e-12
    assert implied_lower_bound(2 * a * b - 2 * c, J) == 0
    for unbounded in (-J, J - 1, J**2 - 1, a + b + c, a):
        assert implied_lower_bound(unbounded, J) is None


def test_elimination_names_what_no_equation_determines():
    system = Elimination(3)
    assert system.free == [0, 1, 2]
    system.add([sp.Float(1), sp.Float(0), sp.Float(2)])
    system.add([sp.Float(2), sp.Float(0), sp.Float(4)])
    assert system.free == [1, 2]
    system.add([sp.Float(1), sp.Float(3), sp.Float(1)])
    assert system.free == [2]
    assert system.loose == [0, 1, 2]
    system.add([sp.Float(0), sp.Float(0), sp.Float(1)])
    assert system.free == [] == system.loose


def test_what_is_known_to_be_zero_is_loose_no_longer():
    system = Elimination(3)
    system.add([0, 1, 2])
    system.add([sp.I, 0, 0])
    assert system.free == [2] and system.loose == [1, 2]
    system.add([5, 2, 5])
    assert system.free == [] == system.loose


def test_slopes_know_every_function_of_the_language():
    from pdespec.functions import ORDERED, TABLE

    two = {"atan2", "mod", "min", "max"}
    for name, entry in TABLE.items():
        arguments = (
            (1, a)
            if entry.function in ORDERED
            else (a, 2)
            if name in two
            else (a, 1)
            if entry.most > 1
            else (a,)
        )
        ((slope,),) = slopes(
            entry.function(*arguments) * b,
            [{a: sp.Float("0.7", 30), b: sp.Float("0.5", 30)}],
            [[{b: sp.S.One}]],
        )
        expected = sp.N(entry.function(*arguments).subs(a, sp.Rational(7, 10)), 20)
        assert abs(slope - expected) < 1e-12 or not expected.is_real, name
