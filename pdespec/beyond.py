"""Words that users try and the language does not have, each with its meaning and what to write
instead."""

from __future__ import annotations

STOCHASTIC = (
    "a stochastic term",
    (
        "draw a function once for every sample instead, `input f : scalar on Omega over t ~"
        " grf(length = 0.1)`, and take moments of the answers"
    ),
)
FRACTIONAL = (
    "a fractional derivative",
    (
        "it couples all points: replace it by a local model, or, for a fractional Laplacian, solve"
        " the extension problem with one coordinate more"
    ),
)
CONVOLUTION = (
    "an integral operator",
    (
        "residuals are evaluated point by point: write what it gives as an unknown with a local"
        " equation of its own, as w - l^2*lap(w) = u for a screened kernel"
    ),
)
EIGENVALUE = (
    "an eigenvalue problem",
    (
        "state the Rayleigh quotient of its lowest mode: `minimize integral(dot(grad(u), grad(u)),"
        " Omega)` with `require integral(u^2, Omega) = 1`"
    ),
)
MOVING = (
    "a free or moving boundary",
    (
        "domains do not move: describe the interface by a phase field or an enthalpy on a fixed"
        " domain, or map the domain to one at rest"
    ),
)
SURFACE = (
    "an operator on a surface",
    "fields live on domains of space: use coordinates of the surface, and write its metric out",
)
DELAY = (
    "a delay",
    (
        "an equation knows the present only: introduce an unknown that relaxes to the delayed"
        " value, tau*dt(w) = u - w, or a chain of them"
    ),
)
COMPLEMENTARITY = (
    "an obstacle",
    (
        "add a penalty to the energy or the equation, such as max(g - u, 0)/eps, or `require u > g"
        " in Omega` beside an energy"
    ),
)

POINT_SOURCE = (
    "a source at a point",
    (
        "write `dirac(x - 1/2, 0.05)`, which spreads it over a width that the mesh or the points"
        " resolve; `dirac([x - 1, y], 0.05)` in the plane"
    ),
)

MEANT: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        "noise white_noise brownian wiener dW dB randn rand random ito levy".split(), STOCHASTIC
    ),
    **dict.fromkeys(
        "fractional frac_lap fractional_laplacian fraclap caputo riesz riemann_liouville".split(),
        FRACTIONAL,
    ),
    **dict.fromkeys(
        "convolve convolution conv fft ifft hilbert fourier_transform "
        "laplace_transform nonlocal".split(),
        CONVOLUTION,
    ),
    **dict.fromkeys("eig eigen eigenvalue eigenvalues eigs".split(), EIGENVALUE),
    **dict.fromkeys("free_boundary moving moving_boundary stefan ale".split(), MOVING),
    **dict.fromkeys(
        "surface_grad surface_div surface_lap laplace_beltrami beltrami lap_gamma grad_gamma"
        " tangential_grad".split(),
        SURFACE,
    ),
    **dict.fromkeys("delay lag delayed".split(), DELAY),
    **dict.fromkeys("delta point_source DiracDelta".split(), POINT_SOURCE),
    **dict.fromkeys("obstacle complementarity variational_inequality".split(), COMPLEMENTARITY),
}
"""Word -> what it asks for, and the cure. A name that the user has declared is never looked up
here."""
