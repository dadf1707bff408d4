"""Laws in numbers: params drawn per sample, and input functions as closed forms that can be
evaluated and differentiated anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import singledispatch
from typing import Protocol

import torch
from torch import Tensor

from compiler.chance import Chance
from compiler.geometry.domain import Geometry, nominal_box
from pdespec.errors import fail
from pdespec.laws import GRF, Fourier, Gaussian, Gaussians, Law, LogUniform, NumberLaw, Uniform

TAIL = 1e-10  # relative variance below which modes of a random field are left out
# harmonics along an axis; rough fields are band-limited there
MOST_MODES = {1: 256, 2: 48, 3: 16, 4: 8}
# correlation lengths between a field and its periodic image: a covariance of exp(-18), 2e-8
PADDING = 6.0


# --------------------------------------------------------------------------------------------------
# numbers


@singledispatch
def draw_numbers(law: Law, shape: Sequence[int], chance: Chance) -> Tensor:
    """Independent draws of a law of numbers, in float64. Shapes: `shape` of each sample -> "b
    .."."""
    raise fail(
        "T05",
        f"{type(law).__name__} is a law of functions, not of numbers",
        "a param is drawn from uniform, loguniform or normal",
    )


@draw_numbers.register
def _(law: Uniform, shape: Sequence[int], chance: Chance) -> Tensor:
    return float(law.low) + float(law.high - law.low) * chance.uniform(*shape)


@draw_numbers.register
def _(law: LogUniform, shape: Sequence[int], chance: Chance) -> Tensor:
    low, high = math.log(law.low), math.log(law.high)
    return (low + (high - low) * chance.uniform(*shape)).exp()


@draw_numbers.register
def _(law: Gaussian, shape: Sequence[int], chance: Chance) -> Tensor:
    return float(law.mean) + float(law.std) * chance.normal(*shape)


# --------------------------------------------------------------------------------------------------
# functions


class InputFunction(Protocol):
    """A function of position in each sample of a batch. Shapes: points "b n D" -> values "b n
    c"."""

    def __call__(self, points: Tensor) -> Tensor: ...

    def extend(self, points: Tensor, geometry: Geometry) -> Tensor:
        """The same where it is given; off a boundary a smooth continuation into the domain."""
        ...

    def map(self, function: Callable[[Tensor], Tensor]) -> InputFunction:
        """The function with its coefficients in another dtype, on another device, or of some
        samples only."""
        ...


class _Everywhere:
    """What closed forms that hold everywhere share: they are their own continuation, and are
    made of tensors and numbers."""

    def extend(self, points: Tensor, geometry: Geometry) -> Tensor:
        return self(points)  # type: ignore[operator]

    def map(self, function: Callable[[Tensor], Tensor]):
        values = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        return replace(
            self,
            **{
                name: function(value) for name, value in values.items() if isinstance(value, Tensor)
            },
        )  # type: ignore[type-var]


@dataclass(frozen=True)
class Constants(_Everywhere):
    """A number per sample and component. Shapes: values "b c"."""

    values: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        return self.values[:, None].expand(-1, points.shape[1], -1)


@dataclass(frozen=True)
class GaussianSum(_Everywhere):
    """`sum_i beta_i exp(-sum_a (x_a - mu_ia)^2 / width_a^2)`, a width along every axis. Shapes:
    beta "b c m", mu "b c m D"."""

    beta: Tensor
    mu: Tensor
    widths: tuple[float, ...]

    def __call__(self, points: Tensor) -> Tensor:
        square = (
            ((points[:, :, None, None] - self.mu[:, None]) / points.new_tensor(self.widths))
            .square()
            .sum(-1)
        )
        return (self.beta[:, None] * (-square).exp()).sum(-1)


@dataclass(frozen=True)
class FourierSeries:
    """`b_0 + amplitude * sum_k (b_k cos(k theta) + c_k sin(k theta))`, with cosine and sine
    coefficients alternating.

    theta is the polar angle about `center` in the plane; 2 pi times the position between `center`
    and `center + period` on a line. Shapes: coefficients "b c 2m+1", center "b d", period "b".
    """

    coefficients: Tensor
    amplitude: float
    center: Tensor
    period: Tensor
    on_boundary: bool

    def __call__(self, points: Tensor) -> Tensor:
        offset = points - self.center[:, None]
        if points.shape[-1] == 1:
            angle = 2 * math.pi * offset[..., 0] / self.period[:, None]
        else:
            centre = offset.square().sum(-1) == 0
            angle = torch.atan2(offset[..., 1], torch.where(centre, 1, offset[..., 0]))
        return self._series(angle.cos(), angle.sin())

    def extend(self, points: Tensor, geometry: Geometry) -> Tensor:
        """With (cos theta, sin theta) replaced by the smooth polar coordinates of the domain:
        harmonic on a disk, smooth on all shapes."""
        return self(points) if points.shape[-1] == 1 else self._series(*geometry.radial(points))

    def map(self, function: Callable[[Tensor], Tensor]) -> FourierSeries:
        return replace(
            self,
            coefficients=function(self.coefficients),
            center=function(self.center),
            period=function(self.period),
        )

    def _series(self, x: Tensor, y: Tensor) -> Tensor:
        """Powers of x + i y: on the unit circle its harmonics."""
        result = self.coefficients[:, None, :, 0].expand(-1, x.shape[1], -1)
        real, imaginary = x, y
        for k in range(1, (self.coefficients.shape[-1] + 1) // 2):
            cosine, sine = (
                self.coefficients[:, None, :, 2 * k - 1],
                self.coefficients[:, None, :, 2 * k],
            )
            result = result + self.amplitude * (
                cosine * real[..., None] + sine * imaginary[..., None]
            )
            real, imaginary = real * x - imaginary * y, real * y + imaginary * x
        return result


@dataclass(frozen=True)
class Spectrum(_Everywhere):
    """A sum of products of eigenfunctions of the Laplacian on a box, one factor per axis.

    Along a periodic axis of length L: 1, cos(2 pi k s / L), sin(2 pi k s / L), ..; along another:
    cos(pi k s / L); all normed in L^2. Shapes: coefficients "b c m1 [m2 [m3]]", lower, lengths "D".
    """

    coefficients: Tensor
    lower: tuple[float, ...]
    lengths: tuple[float, ...]
    periodic: tuple[bool, ...]

    def __call__(self, points: Tensor) -> Tensor:
        axes = [self._axis(points[..., i], i) for i in range(len(self.lengths))]
        letters = "xyzw"[: len(axes)]
        return torch.einsum(
            f"bc{letters},{','.join('bn' + each for each in letters)}->bnc",
            self.coefficients,
            *axes,
        )

    def _axis(self, x: Tensor, axis: int) -> Tensor:
        """Eigenfunctions along an axis. Shapes: "b n" -> "b n m"."""
        length, count = self.lengths[axis], self.coefficients.shape[2 + axis]
        position = ((x - self.lower[axis]) / length)[..., None]
        constant = torch.ones_like(position)
        if not self.periodic[axis]:
            k = torch.arange(1, count, dtype=x.dtype, device=x.device)
            parts = [constant, 2**0.5 * (math.pi * k * position).cos()]
        else:
            k = torch.arange(1, count // 2 + 1, dtype=x.dtype, device=x.device)
            phase = 2 * math.pi * k * position
            parts = [constant, 2**0.5 * torch.stack([phase.cos(), phase.sin()], -1).flatten(-2)]
        return torch.cat(parts, -1) / length**0.5


@dataclass(frozen=True)
class GivenFunction:
    """A function of the caller's. Shapes: function takes "b n D" to "b n c"; answers of another
    shape, dtype or device are errors."""

    function: Callable[[Tensor], Tensor]
    name: str
    components: int

    def __call__(self, points: Tensor) -> Tensor:
        values = self.function(points)
        expected = (*points.shape[:-1], self.components)
        if not isinstance(values, Tensor):
            raise fail(
                "B01",
                f"input `{self.name}` returned {type(values).__name__}, not a tensor",
                "compute with torch on the given points",
            )
        if tuple(values.shape) != expected:
            hint = (
                "add the axis of components: return values[..., None]"
                if tuple(values.shape) == expected[:-1]
                else "nothing ever broadcasts silently"
            )
            raise fail(
                "B01",
                f"input `{self.name}` returned shape {tuple(values.shape)}, {expected} is needed",
                hint,
            )
        if values.dtype != points.dtype or values.device != points.device:
            message = (
                f"input `{self.name}` returned {values.dtype} on {values.device} for points of"
                f" {points.dtype} on {points.device}"
            )
            raise fail("B02", message, "compute in the dtype and on the device of the points")
        return values

    def extend(self, points: Tensor, geometry: Geometry) -> Tensor:
        return self(points)

    def map(self, function: Callable[[Tensor], Tensor]) -> GivenFunction:
        return self


@dataclass(frozen=True)
class Place:
    """Where functions are drawn: the box of the region over (coordinates, time), which of its
    axes are periodic, and the domain's geometry. `keys` name the samples that are read of files."""

    geometry: Geometry
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    periodic: tuple[bool, ...]
    on_boundary: bool
    keys: tuple[str, ...] = ()

    def frame(self) -> tuple[Tensor, Tensor]:
        """Middle and half extent of the box around the domain, its params at the medians of their
        laws, and of the time interval.

        Shapes: "D" both, float64.
        """
        low, high = nominal_box(self.geometry.domain)
        own = len(low)
        lower = torch.tensor((*low, *self.lower[own:]), dtype=torch.float64)
        upper = torch.tensor((*high, *self.upper[own:]), dtype=torch.float64)
        return (lower + upper) / 2, (upper - lower) / 2


@singledispatch
def draw_functions(law: Law, components: int, place: Place, chance: Chance) -> InputFunction:
    """A function per sample, with independent components, its coefficients in float64. A new law
    registers its rule here."""
    raise TypeError(
        f"no draws of functions from {type(law).__name__}; register a rule with"
        " compiler.data.distributions.draw_functions"
    )


@draw_functions.register
def _(law: NumberLaw, components: int, place: Place, chance: Chance) -> Constants:
    return Constants(draw_numbers(law, (components,), chance))


@draw_functions.register
def _(law: Gaussians, components: int, place: Place, chance: Chance) -> GaussianSum:
    middle, half = place.frame()
    beta = chance.normal(components, law.count)
    space = place.geometry.domain.dim
    if law.spread is None:
        centres = (
            _inside(place, components * law.count, chance)
            .unflatten(1, (components, law.count))
            .to(beta)
        )
    else:
        centres = middle.to(beta) + float(law.spread) * half.to(beta) * chance.normal(
            components, law.count, len(half)
        )
    units = [float(half[:space].min())] * space + half[space:].tolist()
    return GaussianSum(beta, centres, tuple(float(law.width) * unit for unit in units))


def _inside(place: Place, count: int, chance: Chance) -> Tensor:
    """Independent points of each sample's domain, with a time each where the functions depend on
    it. Shapes: -> "b count D"."""
    points = place.geometry.interior(count, chance, sobol=False)
    low, high = (
        torch.tensor(each[points.shape[-1] :], dtype=points.dtype, device=points.device)
        for each in (place.lower, place.upper)
    )
    return (
        torch.cat([points, low + (high - low) * chance.uniform(count, len(low)).to(points)], -1)
        if len(low)
        else points
    )


@draw_functions.register
def _(law: Fourier, components: int, place: Place, chance: Chance) -> FourierSeries:
    geometry = place.geometry
    if geometry.domain.dim > 2 or len(place.lower) > geometry.domain.dim:
        raise fail(
            "T05",
            "fourier draws functions of one angle",
            "in three dimensions or with time, use gaussians or grf",
        )
    coefficients = 2 * chance.uniform(components, 2 * law.modes + 1) - 1
    body = geometry.map(lambda value: value.double()).body
    lower, upper = body.bounds()
    center = lower if geometry.domain.dim == 1 else body.center()
    return FourierSeries(
        coefficients,
        float(law.amplitude),
        center.to(coefficients),
        (upper - lower)[:, 0].to(coefficients),
        place.on_boundary,
    )


@draw_functions.register
def _(law: GRF, components: int, place: Place, chance: Chance) -> Spectrum:
    """`u = sum_k sqrt(lambda_k) xi_k e_k`, xi normal, e_k the L^2-normed eigenfunctions of the
    Laplacian on a box, of eigenvalue -mu_k.

    By `tau` and `alpha`: on the box of the domain, periodic along the axes that are, of zero normal
    derivative along the others; lambda_k = sigma^2 (mu_k + tau^2)^(-alpha), without the constant
    mode, so that every draw has mean zero over the box. By `length`: on a box that is longer by
    PADDING lengths along every axis that is not periodic, and is then; lambda_k ~ exp(-length^2
    mu_k / 2), constant mode included, scaled to variance sigma^2. A periodic field is stationary,
    and its covariance is the sum of the declared one over periodic images: of these the nearest is
    PADDING lengths away or farther, below 2e-8 of the variance. Along periodic axes the images
    belong to the law.
    """
    sides = tuple(high - low for low, high in zip(place.lower, place.upper, strict=True))
    periodic = place.periodic
    if law.length is not None:
        sides = tuple(
            side if own else side + PADDING * float(law.length)
            for side, own in zip(sides, periodic, strict=True)
        )
        periodic = (True,) * len(sides)
    counts = [_modes(law, side, own, len(sides)) for side, own in zip(sides, periodic, strict=True)]
    squares = torch.zeros(())
    for axis, (side, own, count) in enumerate(zip(sides, periodic, counts, strict=True)):
        order = torch.arange(count, dtype=torch.float64)
        wave = 2 * math.pi * ((order + 1) // 2) / side if own else math.pi * order / side
        squares = squares + wave.square().reshape(
            [-1 if i == axis else 1 for i in range(len(sides))]
        )
    variance = _variance(law, squares, len(sides))
    if law.length is None:
        variance[(0,) * len(sides)] = 0
    else:  # of a stationary field: the mean over the box of sum_k lambda_k e_k^2
        variance = variance * (float(law.sigma) ** 2 * math.prod(sides) / variance.sum())
    noise = chance.normal(components, *counts)
    return Spectrum(noise * variance.sqrt().to(noise.device), place.lower, sides, periodic)


def _variance(law: GRF, squares: Tensor, dimension: int) -> Tensor:
    """Eigenvalues of the covariance at squared wave numbers."""
    if law.length is not None:
        length = float(law.length)
        return (
            float(law.sigma) ** 2
            * (2 * math.pi * length**2) ** (dimension / 2)
            * (-(length**2) * squares / 2).exp()
        )
    return float(law.sigma) ** 2 * (squares + float(law.tau or 0) ** 2) ** -float(law.alpha or 0)


def _modes(law: GRF, length: float, periodic: bool, dimension: int) -> int:
    """How many eigenfunctions along an axis hold all but TAIL of the variance along it, at most
    MOST_MODES harmonics."""
    k = torch.arange(1, 100_000, dtype=torch.float64)
    variance = _variance(law, ((2 if periodic else 1) * math.pi * k / length).square(), dimension)
    left = variance.flip(0).cumsum(0).flip(0)
    harmonics = min(
        int((left > TAIL * left[0]).sum()), MOST_MODES[min(4, dimension)] * (1 if periodic else 2)
    )
    return 1 + (2 * harmonics if periodic else harmonics)
