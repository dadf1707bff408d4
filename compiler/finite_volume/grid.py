"""O-grids round a section with a sharp trailing edge, by conformal mapping.

The Karman-Trefftz map takes the corner away and leaves a near-circle; Theodorsen and Garrick's
iteration maps that to a circle. Lines of equal angle and of equal radius are orthogonal then, and
spacing them otherwise keeps them so. Sources: T. Theodorsen, I. E. Garrick, NACA report 452 (1933);
N. D. Halsey, AIAA Journal 17 (1979); J. C. Vassberg, A. Jameson, Journal of Aircraft 47 (2010).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from compiler.arrays import Array

Complex = NDArray[np.complex128]
Chart = Callable[[Array], Array]

FINE = 2048  # points of the contour from which the map is made
MODES = 1024  # angles of the Fourier series of the map
ITERATIONS = 400  # of Theodorsen and Garrick
SETTLED = 1e-11  # change of an angle, in radians, at which they end
RELAXED, RELAXED_EDGE = 0.6, 0.7  # share of each change that is taken, of angles and of the edge
GATHERED = 0.35  # how much closer than evenly angles lie in the middle of the chord
# At the trailing edge the flow varies as a low power of the distance, and with angles spaced evenly
# the lift at Mach 0.8 converges with the first order in their number: see docs/notes.
EDGE, WITHIN = 3.0, 0.3  # how much closer they lie at the edge, and within what angle
CLUSTERED = 0.9  # how much closer the points of the contour lie at its nose and its edge
NOSE = 24  # points to both sides of the nose from which its radius is taken


class NoGrid(ValueError):
    """A contour that no O-grid was found for."""


@dataclass(frozen=True)
class Grid:
    """Nodes of an O-grid: i runs round the section clockwise from its trailing edge, the first
    node repeated at the end; j outwards. `shares`: of the chart, where the nodes of the section
    are. Shapes: nodes "j+1 i+1 2", shares "i+1"."""

    nodes: Array
    shares: Array

    @property
    def cells(self) -> tuple[int, int]:
        """Round the section, and outwards."""
        return self.nodes.shape[1] - 1, self.nodes.shape[0] - 1


def o_grid(chart: Chart, around: int, outwards: int, reach: float) -> Grid:
    """A grid of `around` by `outwards` cells.

    chart: from shares of a closed contour, in [0, 1] counterclockwise from its trailing edge, to
    its points, "n" -> "n 2". reach: least distance of the outermost nodes from the section's middle
    that is asked for. Raises: NoGrid.
    """
    nodes, own = mapped(chart(clustered()), around, outwards, reach)
    return finished(nodes, own, chart(own))


def clustered() -> Array:
    """Shares of a contour from which its map is made, closer at both ends and in the middle: at the
    edge and at the nose. Shapes: "FINE+1"."""
    even = np.linspace(0, 1, FINE + 1)
    return even - CLUSTERED * np.sin(4 * np.pi * even) / (4 * np.pi)


def mapped(
    points: Array, around: int, outwards: int, reach: float, rows: int | None = None
) -> tuple[Complex, Array]:
    """Nodes "j+1 i+1" about a contour whose points at the shares of `clustered` are given, or the
    first `rows` of j, counterclockwise; the first row is still that of the map. And the shares of
    the contour where it is to lie. Raises: NoGrid."""
    contour = points @ np.array([1, 1j])
    contour[-1] = contour[0]
    corner = _Corner.of(contour)
    circle = _Circle.of(corner.straightened(contour), clustered())
    theta = _angles(around)
    levels = _levels(around, outwards, np.log(reach / (corner.scale * circle.radius)))[:rows]
    return corner.bent(circle.outside(levels, theta)), circle.shares(theta)


def finished(nodes: Complex, own: Array, section: Array) -> Grid:
    """The grid of `mapped` with its first row put to the section."""
    nodes[0] = section @ np.array([1, 1j])
    nodes[:, -1] = nodes[:, 0]
    clockwise = nodes[:, ::-1]
    return Grid(np.stack([clockwise.real, clockwise.imag], -1), own[::-1].copy())


def cubic_spline(places: Array, values: Array, **ends: Any) -> Callable[[Array], Array]:
    """The spline through values. Loaded late: problems of other kinds need none."""
    from scipy.interpolate import CubicSpline

    return CubicSpline(places, values, **ends)


def _angles(count: int) -> Array:
    """Angles from 0 to 2 pi of the density 1 - a cos(2 t) + b exp(-(t/w)^2), t the angle from the
    edge on either side: closer in the middle of both sides and at the edge."""
    half = np.linspace(0, np.pi, FINE + 1)
    bump = EDGE * WITHIN * np.sqrt(np.pi) / 2 * erf(half / WITHIN)
    number = half - GATHERED / 2 * np.sin(2 * half) + bump
    number *= np.pi / number[-1]
    table = cubic_spline(
        np.concatenate([number, 2 * np.pi - number[-2::-1]]),
        np.concatenate([half, 2 * np.pi - half[-2::-1]]),
    )
    found = table(np.linspace(0, 2 * np.pi, count + 1))
    found[0], found[-1] = 0.0, 2 * np.pi
    return found


def _levels(around: int, outwards: int, last: float) -> Array:
    """Logarithms of radii from 0 to `last`: cells about as wide as high at the section, from
    there each longer than the one before by a constant ratio. Shapes: -> "outwards+1"."""
    first, low, high = 2 * np.pi / around, 1e-3, 3.0
    ratio = 1.0
    for _ in range(80):
        ratio = (low + high) / 2
        total = first * np.power(ratio, np.arange(outwards)).sum()
        low, high = (ratio, high) if total < last else (low, ratio)
    steps = first * np.power(ratio, np.arange(outwards))
    return np.concatenate([[0.0], np.cumsum(steps)])


@dataclass(frozen=True)
class _Corner:
    """The Karman-Trefftz map (z - a)/(z - b) = ((w - 1)/(w + 1))^k: a the trailing edge, pi (2 - k)
    its angle, b half way between the nose and its centre of curvature."""

    a: complex
    b: complex
    power: float

    @classmethod
    def of(cls, contour: Complex) -> _Corner:
        a = contour[0]
        interior = abs(np.angle(_start(contour[:3]) / _start(contour[::-1][:3])))
        focus = _focus(_about_nose(contour, np.abs(contour - a)))
        return cls(a, focus, 2 - interior / np.pi)

    @property
    def scale(self) -> float:
        """|dz/dw| far away."""
        return abs(self.a - self.b) / (2 * self.power)

    def straightened(self, contour: Complex) -> Complex:
        """w of a contour that begins and ends at a, where w = 1."""
        ratio = (contour[1:-1] - self.a) / (contour[1:-1] - self.b)
        phase = np.unwrap(np.angle(ratio))
        nose = int(np.argmax(np.abs(contour - self.a))) - 1
        phase -= 2 * np.pi * np.round(phase[nose] / (2 * np.pi))  # 0 beyond the nose and far away
        root = np.zeros(len(contour), complex)
        root[1:-1] = np.abs(ratio) ** (1 / self.power) * np.exp(1j * phase / self.power)
        return (1 + root) / (1 - root)

    def bent(self, w: Complex) -> Complex:
        """z of points outside of a near-circle that holds the segment from -1 to 1."""
        root = (w - 1) / (w + 1)
        ratio = np.abs(root) ** self.power * np.exp(1j * self.power * np.angle(root))
        return (self.a - self.b * ratio) / (1 - ratio)


def _start(points: Complex) -> complex:
    """The direction in which a curve begins, by the parabola through its first three points."""
    first, second = points[1] - points[0], points[2] - points[0]
    s, t = abs(first), abs(first) + abs(points[2] - points[1])
    return (first * t**2 - second * s**2) / (s * t * (t - s))


def _about_nose(contour: Complex, distance: Array) -> Complex:
    """The point farthest from the edge, and those NOSE places before and behind it, by polynomials
    through seven points: a contour that moves takes them along smoothly."""
    k, window = int(np.argmax(distance)), np.arange(-3, 4)
    slope = np.polynomial.Polynomial.fit(window, distance[k + window] ** 2, 6).deriv()
    bend, t = slope.deriv(), 0.0
    for _ in range(5):
        t -= slope(t) / bend(t)
    shares = [np.prod([(t - m) / (n - m) for m in window if m != n]) for n in window]
    return np.array([shares @ contour[m + window] for m in (k - NOSE, k, k + NOSE)])


def _focus(points: Complex) -> complex:
    """Half way between the middle one of three points and the centre of their circle."""
    before, middle, after = points
    chord, sides = after - before, abs(middle - before) * abs(after - middle)
    twice = ((middle - before).conjugate() * (after - middle)).imag
    radius = abs(chord) * sides / (2 * abs(twice))
    inward = 1j * chord / abs(chord) * np.sign(twice)
    return middle + inward * radius / 2


@dataclass(frozen=True)
class _Circle:
    """The map w = m + zeta exp(sum_n c_n zeta^-n), n >= 0, from the outside of the unit circle to
    that of a near-circle. `angle` and `share` tabulate the contour; the first share lies at `edge`
    on the circle."""

    middle: complex
    series: Complex
    angle: Array
    share: Array
    edge: float

    @classmethod
    def of(cls, contour: Complex, shares: Array) -> _Circle:
        """Raises: NoGrid."""
        middle = contour[:-1].mean()
        angle = np.unwrap(np.angle(contour - middle))
        if not (np.diff(angle) > 0).all() or abs(angle[-1] - angle[0] - 2 * np.pi) > 1e-6:
            raise NoGrid("the section is bent too much: its near-circle is not star-shaped")
        angle[-1] = angle[0] + 2 * np.pi
        logarithm = np.log(np.abs(contour - middle))
        logarithm[-1] = logarithm[0]
        radius = cubic_spline(angle, logarithm, bc_type="periodic")
        theta = 2 * np.pi * np.arange(MODES) / MODES
        number = np.arange(MODES // 2)
        shift, change = np.zeros(MODES), np.inf
        series = np.zeros(MODES // 2, complex)
        for _ in range(ITERATIONS):
            found = np.fft.rfft(radius(theta + shift))[: MODES // 2] / MODES
            series = np.where(number > 0, 2, 1) * found.conj()
            # Im of sum c_n exp(-i n theta)
            turned = -np.fft.irfft(1j * np.where(number > 0, found, 0), MODES) * MODES
            change = np.abs(turned - shift).max()
            shift = shift + RELAXED * (turned - shift)
            if change < SETTLED:
                break
        if not change < 1e-6:
            raise NoGrid("the conformal map of the section did not converge")
        edge = angle[0]
        for _ in range(100):
            turned = np.exp(-1j * edge * number) @ series
            step = RELAXED_EDGE * (edge + turned.imag - angle[0])
            edge = edge - step
            if abs(step) < 1e-15:
                break
        return cls(middle, series, angle, shares, float(edge))

    @property
    def radius(self) -> float:
        """|dw/dzeta| far away."""
        return float(np.exp(self.series[0].real))

    def _sum(self, zeta: Complex) -> Complex:
        """sum_n c_n zeta^-n, by Horner's rule."""
        inverse, found = 1 / zeta, np.zeros_like(zeta)
        for each in self.series[::-1]:
            found = found * inverse + each
        return found

    def _shift(self, theta: Array) -> Array:
        return self._sum(np.exp(1j * theta)).imag

    def outside(self, levels: Array, theta: Array) -> Complex:
        """w at radii exp(levels) and angles from the edge. Shapes: "j", "i" -> "j i"."""
        zeta = np.exp(levels[:, None] + 1j * (self.edge + theta))
        return self.middle + zeta * np.exp(self._sum(zeta))

    def shares(self, theta: Array) -> Array:
        """The shares of the contour at angles from the edge on the circle."""
        turned = self.edge + theta + self._shift(self.edge + theta)
        found = np.clip(cubic_spline(self.angle, self.share)(turned), 0, 1)
        found[0], found[-1] = 0.0, 1.0
        return found
