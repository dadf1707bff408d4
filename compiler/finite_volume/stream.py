"""The free flow: its state, and what a lifting section adds to it far away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compiler.arrays import Array


@dataclass(frozen=True)
class Stream:
    """Density, velocity and pressure far away, and where the vortex that stands for the section
    lies."""

    rho: float
    velocity: tuple[float, float]
    p: float
    gamma: float
    center: tuple[float, float] = (0.25, 0.0)

    @property
    def speed(self) -> float:
        """|v| far away."""
        return float(np.hypot(*self.velocity))

    @property
    def mach(self) -> float:
        """The Mach number far away, v / sqrt(gamma p / rho)."""
        return self.speed / float(np.sqrt(self.gamma * self.p / self.rho))

    @property
    def dynamic_pressure(self) -> float:
        """rho v^2 / 2 far away, which coefficients of forces are relative to."""
        return 0.5 * self.rho * self.speed**2

    def conserved(self) -> Array:
        """(rho, rho u, rho v, rho E)."""
        u, v = self.velocity
        energy = self.p / (self.gamma - 1) + 0.5 * self.rho * (u * u + v * v)
        return np.array([self.rho, self.rho * u, self.rho * v, energy])

    def circulation(self, force: Array) -> float:
        """Clockwise, by the theorem of Kutta and Joukowski."""
        u, v = self.velocity
        return float(u * force[1] - v * force[0]) / (self.rho * self.speed**2)

    def at(self, points: Array, circulation: float) -> Array:
        """The free flow with a compressible vortex, of constant entropy and total enthalpy. Shapes:
        "n 2" -> (rho, u, v, p) "4 n". Source: J. L. Thomas, M. D. Salas, AIAA Journal 24 (1986).
        """
        u, v = self.velocity
        n = len(points)
        if self.mach >= 1 or self.speed == 0:
            return np.repeat(np.array([self.rho, u, v, self.p])[:, None], n, 1)
        along = np.array([u, v]) / self.speed
        offset = points - np.array(self.center)
        x, y = offset @ along, offset @ np.array([-along[1], along[0]])
        square = x * x + y * y
        beta = np.sqrt(1 - self.mach**2)
        # Gamma beta / (2 pi r (1 - M^2 sin^2)) in the direction (sin, -cos)
        swirl = circulation * beta / (2 * np.pi * (square - self.mach**2 * y * y))
        du, dv = swirl * y, -swirl * x
        u, v = u + du * along[0] - dv * along[1], v + du * along[1] + dv * along[0]
        sound = self.gamma * self.p / self.rho
        heat = sound + 0.5 * (self.gamma - 1) * (self.speed**2 - u * u - v * v)
        rho = self.rho * (heat / sound) ** (1 / (self.gamma - 1))
        return np.stack([rho, u, v, rho * heat / self.gamma])
