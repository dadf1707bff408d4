"""Search for better sections by a trained operator, with the solver's answers as control.

From a start, steps within a trust region minimise a cost of the operator's forces by sequential
quadratic programming with their exact slopes. A step on which the operator is sure of itself is
taken as it is; else, and wherever no further step is found, the solver is asked: what it says
corrects the forces there, decides whether the step was one and how far to go next, and is learnt.

How sure it is follows from a symmetry: the operator answers for a section and for its mirror image,
whose flows are mirror images. The gap of the two pressures on the section ranks held-out sections
as their errors do, with a correlation of about a half; that of the two forces says nothing of their
errors (docs/notes/airfoil_operator.md), so that after two steps without the solver it is asked in
any case. Source of the trust region: Alexandrov, Dennis, Lewis, Torczon, Structural Optimization 15
(1998).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from compiler.arrays import Array
from compiler.finite_volume.moving import STEP, Grids, heights
from compiler.finite_volume.operator import SectionOperator, forces

# of drag and lift (2) and the displacements (k): a cost to be made small, a constraint to be >= 0
OfForces = Callable[[Tensor, Tensor], Tensor]
Solve = Callable[[Array], tuple[Tensor, Tensor]]
ALONG, PROBE = np.linspace(0.1, 0.9, 9), 0.02  # places of the chord; a displacement
SHRUNK, GROWN = 0.4, 1.6  # what the radius is multiplied by
ACCEPTED, GOOD = 0.1, 0.6  # share of the promised decrease
SURE = 3e-3  # gap of the pressure, that far away being 1: the median of held-out sections
SMALLEST = 2e-4  # radius at which a search ends
LEARNT, RATE = 12, 2e-4  # steps on what the solver said, and their size


@dataclass(frozen=True)
class Visited:
    """One section of a search: displacements, cost, drag and lift, by whom; radius of the region;
    the operator's doubt of the pressure."""

    d: Array
    cost: float
    forces: Array
    by: str
    radius: float
    doubt: float


@dataclass
class Wings:
    """An operator of sections, the solver that it learnt from, and what that said since.

    solve: displacements "k" -> nodes "j i 2" and fields "j i 4" of the rows that the operator has.
    rehearsed: solved samples (nodes, fields) "s j i 2" and "s j i 4" that it must not forget.
    `asked` and `seconds` count flows and CPU time.
    """

    operator: SectionOperator
    grids: Grids
    solve: Solve
    rehearsed: tuple[Tensor, Tensor] | None = None
    dtype: torch.dtype = torch.float32
    known: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    asked: int = 0
    asked_operator: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"operator": 0.0, "solver": 0.0})

    def __post_init__(self) -> None:
        self.operator = self.operator.to(self.dtype).eval()

    def predicted(self, d: Array) -> tuple[Array, Array, float]:
        """Drag and lift "2", their slopes "2 k", and the doubt: half the root mean square gap of
        the pressure on the section to that of the mirror image."""
        begun, count = time.process_time(), len(d)
        at = torch.from_numpy(np.concatenate([d[None], d + STEP * _signs(count)]))
        every = self.grids.nodes(at)
        nodes = every[:1].clone().requires_grad_(True)
        answers = self.operator.answers(nodes.to(self.dtype), torch.arange(nodes.shape[2]))
        pressures = torch.stack(answers)[:, 0, :, 3].double()
        found = forces(nodes, pressures.mean(0, keepdim=True))[0]
        slopes = [torch.autograd.grad(f, nodes, retain_graph=True)[0][0] for f in found]
        moved = (every[1 : count + 1] - every[count + 1 :]) / (2 * STEP)
        jacobian = torch.stack([(moved * each).flatten(1).sum(1) for each in slopes])
        doubt = (pressures - pressures.mean(0)).square().mean().sqrt()
        self.asked_operator += 1
        self.seconds["operator"] += time.process_time() - begun
        return found.detach().numpy(), jacobian.numpy(), float(doubt.detach())

    def truth(self, d: Array) -> Array:
        """Drag and lift by the solver, which is learnt. Shapes: "k" -> "2"."""
        begun = time.process_time()
        nodes, fields = self.solve(d)
        self.known.append((nodes, fields))
        self.asked += 1
        self.seconds["solver"] += time.process_time() - begun
        return forces(nodes[None], fields[None, 0, :, 3])[0].numpy()

    def learn(self, steps: int = LEARNT) -> None:
        """Some steps of Adam on what the solver said last and on samples to be remembered."""
        begun, own = time.process_time(), self.operator.float().train()
        optimizer = torch.optim.Adam(own.parameters(), lr=RATE)
        chance = torch.Generator().manual_seed(self.asked)
        for _ in range(steps):
            parts = [
                self.known[-1],
                self.known[int(torch.randint(len(self.known), (), generator=chance))],
            ]
            if self.rehearsed is not None:
                k = torch.randint(len(self.rehearsed[0]), (2,), generator=chance)
                parts += [(self.rehearsed[0][i], self.rehearsed[1][i]) for i in k]
            nodes, fields = (torch.stack([e[m].float() for e in parts]) for m in (0, 1))
            loss = own.misfit(nodes, fields, chance)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.operator = own.to(self.dtype).eval()
        self.seconds["operator"] += time.process_time() - begun


def _signs(count: int) -> Array:
    return np.concatenate([np.eye(count), -np.eye(count)])


@dataclass(frozen=True)
class Asked:
    """A cost and constraints, each of forces and displacements, bounds of the displacements, and
    what a lack of a constraint costs in the comparison of sections."""

    cost: OfForces
    constraints: Sequence[OfForces]
    bound: float = 0.05
    penalty: float = 1.0

    def values(self, found: Array, d: Array) -> tuple[Array, Array, Array]:
        """Cost and constraints "1+m", their slopes in the forces "1+m 2" and in d "1+m k"."""
        f, x = (torch.tensor(each, requires_grad=True) for each in (found, d))
        every = torch.stack([each(f, x) for each in (self.cost, *self.constraints)])
        slopes = [
            torch.autograd.grad(e, (f, x), retain_graph=True, allow_unused=True) for e in every
        ]
        filled = [
            [torch.zeros_like(v) if g is None else g for g, v in zip(pair, (f, x), strict=True)]
            for pair in slopes
        ]
        in_f, in_d = (torch.stack([pair[k] for pair in filled]).numpy() for k in (0, 1))
        return every.detach().numpy(), in_f, in_d

    def merit(self, found: Array, d: Array) -> float:
        """The cost, and `penalty` times what each constraint lacks."""
        value, *rest = self.values(found, d)[0]
        return float(value - self.penalty * sum(min(0.0, each) for each in rest))


def limits(
    grids: Grids, *, lift: float = 0.0, thick: float = 0.0, bend: float = 0.0
) -> list[OfForces]:
    """Constraints of a section: the least lift; the least height between its surfaces, as a share
    of that of the undeformed one at each place of `ALONG` the chord; the most of the root mean
    square curvature of what deforms it, over the chord. Without the latter two where they are 0.

    Both surfaces are linear in the displacements.
    """
    count = len(grids.problem.params[next(iter(grids.problem.params))].symbol)
    shifts = torch.cat([torch.zeros(1, count), PROBE * torch.eye(count)])
    rest, *moved = heights(grids.nodes(shifts), ALONG)  # 2 n
    slope = torch.stack([(each - rest) / PROBE for each in moved])  # k 2 n
    share = (slope[:, 1] - slope[:, 0]) / (rest[1] - rest[0])
    curved = (slope.diff(n=2, dim=2) / (ALONG[1] - ALONG[0]) ** 2).flatten(1)
    found: list[OfForces] = [lambda f, d: f[1] - lift]
    if thick:
        found += [lambda f, d, k=k: 1 + d @ share[:, k] - thick for k in range(len(ALONG))]
    if bend:
        found.append(lambda f, d: bend**2 - (d @ curved).square().mean())
    return found


def improve(
    wings: Wings,
    asked: Asked,
    start: Array,
    *,
    radius: float = 0.01,
    asks: int = 12,
    sure: float = SURE,
) -> list[Visited]:
    """A search from `start`: what was visited on the way, and once more, last, the best that the
    solver confirmed. asks: sections at most that are put to the solver. sure: the doubt up to which
    the operator is not checked.
    """
    d = np.clip(np.asarray(start, float), -asked.bound, asked.bound)
    best, path, unchecked = _confirmed(wings, asked, d, radius), [], 0
    path.append(best)
    shift = best.forces - wings.predicted(d)[0]
    here = best
    checks = 1
    while radius > SMALLEST and checks < asks:
        d, found, doubt = _step(wings, asked, here.d, radius, shift)
        promised = here.cost - asked.merit(found, d)
        certain = doubt <= sure and unchecked < 2
        if certain and promised > 1e-3 * abs(here.cost):
            here = Visited(d, here.cost - promised, found, "operator", radius, doubt)
            unchecked += 1
            path.append(here)
            continue
        checks += 1
        truth = _confirmed(wings, asked, d, radius, doubt)
        whole = best.cost - asked.merit(found, d)  # promised since the last confirmed section
        share = (best.cost - truth.cost) / max(whole, 1e-12)
        path.append(truth)
        if truth.cost < best.cost and share > ACCEPTED:
            best = truth
            radius *= GROWN if share > GOOD else 1.0
        else:
            radius *= SHRUNK
        if promised <= 1e-4 * abs(best.cost):
            radius *= SHRUNK
        wings.learn()
        here, unchecked = best, 0
        shift = best.forces - wings.predicted(best.d)[0]
    return [*path, best]


def _confirmed(wings: Wings, asked: Asked, d: Array, radius: float, doubt: float = 0.0) -> Visited:
    truth = wings.truth(d)
    return Visited(d, asked.merit(truth, d), truth, "solver", radius, doubt)


def _step(
    wings: Wings, asked: Asked, center: Array, radius: float, shift: Array
) -> tuple[Array, Array, float]:
    """The best section within `radius` of another by the shifted operator: displacements, forces,
    doubt."""
    seen: dict[bytes, tuple] = {}

    def at(d: Array) -> tuple:
        key = d.tobytes()
        if key not in seen:
            found, slopes, doubt = wings.predicted(d)
            values, in_f, in_d = asked.values(found + shift, d)
            seen[key] = values, in_f @ slopes + in_d, found + shift, doubt
        return seen[key]

    low = np.maximum(center - radius, -asked.bound)
    high = np.minimum(center + radius, asked.bound)
    scale = max(abs(at(center)[0][0]), 1e-12)
    constraint = {
        "type": "ineq",
        "fun": lambda d: at(d)[0][1:],
        "jac": lambda d: at(d)[1][1:],
    }
    found = minimize(
        lambda d: (at(d)[0][0] / scale, at(d)[1][0] / scale),
        center,
        jac=True,
        method="SLSQP",
        bounds=list(zip(low, high, strict=True)),
        constraints=[constraint] if asked.constraints else [],
        options={"maxiter": 8, "ftol": 1e-4},
    )
    d = np.clip(found.x, low, high)
    return d, at(d)[2], at(d)[3]
