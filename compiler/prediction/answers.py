"""A trained operator as a function of a design: params and input functions in, the unknowns as
functions of position out.

    operator = compiler.load("runs/demo")
    answer = operator(params={"c1": 0.1, "c2": 0.05}, inputs={"f": lambda x: x[:, 0], "g": 0})
    answer.u(points), answer["drag"]

NumPy in, NumPy out; torch in, torch out, differentiable in params, inputs and points.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from compiler.batches.sample import Batch, instance
from compiler.chance import Chance, seeded
from compiler.data.samples import known_names
from compiler.estimation import FieldEstimate
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.export.vtk import collect
from compiler.fem.meshing.mesh import mesh_domain
from compiler.fem.solution import Solution
from compiler.functionals.outputs import output
from compiler.geometry.domain import Geometry
from compiler.geometry.metrics import domain as first_domain
from compiler.loss.physics import together
from compiler.matching import need_points
from compiler.prediction.error_equation import Certificate, Corrected, certificate
from compiler.prediction.export.formats import export
from compiler.prediction.export.interface import Interface
from compiler.prediction.given_inputs import input_function
from compiler.training.checkpoint import load_run
from compiler.training.found import found_functions
from compiler.training.instances import Instances, further
from compiler.training.loop import train
from compiler.training.options import OptionError, from_json
from compiler.training.progress import Display
from compiler.training.runs import Run, RunError
from pdespec.errors import fail, suggestion
from pdespec.laws import NumberLaw, truncated_support
from pdespec.statements.problem import Problem

BLOCK = 65536  # points that are asked at once where nothing is differentiated
COLLOCATION = {"interior": 1, "boundary": 1, "initial": 1}


class OutsideWarning(UserWarning):
    """An operator was asked for what it was not trained on."""


def load(
    directory: str | Path,
    checkpoint: str = "last",
    *,
    model: Any = None,
    device: str | torch.device = "cpu",
) -> TrainedOperator:
    """The operator that a run has trained, with the weights of a checkpoint ("last" or "best").

    `model` is needed only where the run was trained from Python on a model that `compiler.build`
    did not make. Raises: RunError for what is missing or damaged.
    """
    return TrainedOperator(load_run(directory, checkpoint, model, device))


@dataclass(frozen=True)
class TrainedOperator:
    """Params and inputs to an `Answer`."""

    run: Run

    @property
    def problem(self) -> Problem:
        """The problem it was trained on."""
        return self.run.problem

    @property
    def model(self) -> Any:
        """The trained module, from `OperatorInput` to a field."""
        return self.run.model

    def __call__(
        self, params: Mapping[str, Any] | None = None, inputs: Mapping[str, Any] | None = None
    ) -> Answer:
        """The answer for one sample, or for a batch of b of them.

        params: numbers; arrays of length b (b by k where sized) make a batch; what has a declared
        value, or was found in training, may be left out. inputs: a callable of points (n, d), NumPy
        or torch, that returns (n,) or (n, c), or b of them in a list; a number or a SymPy
        expression; `(points (m, d), values (m,), (m, c) or (b, m))`; an `xarray.DataArray` over the
        coordinates; the path of a file (see `compiler.measurements`). Params that are tensors with
        a gradient make an answer that is differentiable in them.

        Warns: OutsideWarning for params that the law of the training never draws. Raises:
        ProblemError S01, B01, B03.
        """
        given, single = self._instances(params, inputs)
        batch = self.batch(given.params, given.inputs, given.size)
        self._warn_of_law(batch)
        self._warn_of_others(batch)
        asked = [*(params or {}).values(), *(inputs or {}).values()]
        return Answer(self, batch, single, any(isinstance(each, Tensor) for each in asked))

    def batch(self, params: Mapping[str, Any], inputs: Mapping[str, Any], size: int = 1) -> Batch:
        """The samples as the model reads them: `compiler.instance` with the operator's points, in
        the dtype and on the device of its parameters."""
        return instance(
            self.problem,
            params,
            inputs,
            self.counts,
            self.chance(size),
            dtype=self.parameter.dtype,
            device=self.parameter.device,
            **self.run.options.ansatz,
            size=size,
            later=True,
        )

    @property
    def parameter(self) -> Tensor:
        """One of the model's, whose dtype and device are those of all."""
        return next(self.model.parameters())

    @property
    def counts(self) -> dict[str, int]:
        """The points of a batch that is asked alone."""
        return {**COLLOCATION, "operator": self.run.options.points["operator"]}

    def chance(self, size: int) -> Chance:
        """The same for every sample, so that its answer is the same in any batch."""
        return Chance(seeded(0, "answer", 0), size, alike=True)

    def finetuned(
        self,
        params: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        directory: str | Path | None = None,
        *,
        resume: bool = False,
        display: Display | None = None,
        **options: Any,
    ) -> TrainedOperator:
        """This operator trained further on the given samples alone, by the physics, as a run of its
        own in `directory` (by default next to this one, its name with `-finetuned`).

        params, inputs: as in a call. `options` are those of `compiler.TrainOptions`, over the run's
        own and `compiler.training.instances.FURTHER`: 200 steps. `resume` goes on with the run in
        `directory`. This operator stays as it is. Raises: as a call, and as `compiler.train`;
        RunError for an operator trained together with numbers of the problem.
        """
        if self.problem.trainables:
            raise RunError(
                f"`{self.problem.name}` finds {', '.join(self.problem.trainables)} while it trains:"
                " go on with the run itself, by --resume and more steps"
            )
        if "batch" in options:
            raise OptionError("batch is the number of samples given here; leave it out")
        own, (given, _) = self.run, self._instances(params, inputs)
        settings = asdict(further(own.options, given.size, bool(self.problem.data)))
        directory = Path(directory or own.directory.with_name(f"{own.directory.name}-finetuned"))
        run = train(
            own.problem,
            deepcopy(own.model).train(),
            from_json(settings | options),
            directory,
            resume=resume,
            sampler=given,
            recipe=own.recipe,
            preset=own.preset,
            display=display,
        )
        return load(directory, model=None if own.recipe else run.model)

    def export(
        self,
        path: str | Path,
        to: str = "torch",
        *,
        samples: int = 1,
        nodes: int | Mapping[str, int] | None = None,
    ) -> Interface:
        """Writes this operator as a program that runs without this project, for any number of
        points: "torch" (`torch.export`), "aoti" (a library) or "onnx". Returns what it takes and
        gives, which is also written to `path`.json.

        It takes points, the params without a declared value, and every input as values on a grid
        of `nodes` equally spaced nodes along each axis; and answers for `samples` samples at once.
        Raises: ExportError with the reason where it cannot be; KeyError for an unknown format.
        """
        return export(self, path, to, samples=samples, nodes=nodes)

    @property
    def found(self) -> dict[str, float | list[float]]:
        """The trainable numbers that the run found, by name: several of a sized one, and those of a
        function."""
        values = together(self.problem, self.run.trainables)
        declared = self.problem.trainables
        return {n: v[0] if declared[n].size is None else v for n, v in values.items()}

    @property
    def fields(self) -> dict[str, FieldEstimate]:
        """The trainable functions that the run found, by name: `operator.fields["k"](points)`, and
        `.std(points)` where the run says how sure it is."""
        return found_functions(self.run)

    def _instances(
        self, params: Mapping[str, Any] | None, inputs: Mapping[str, Any] | None
    ) -> tuple[Instances, bool]:
        """The samples asked for, as `compiler.instance` takes them, and whether it is a single one
        and no batch. What is left out is as it was found or trained on."""
        parameter, inputs = next(self.model.parameters()), dict(inputs or {})
        params = {**_trained_on(self.run), **self.found, **(params or {})}
        known_names("input", inputs, self.problem.inputs, self.problem.name)
        size = _batch_size(self.problem, params, inputs)
        functions = {
            name: input_function(self.problem.inputs[name], self.problem, value, size)
            for name, value in inputs.items()
        }
        numbers = {name: _as_tensor(value, parameter) for name, value in params.items()}
        return Instances(numbers, functions, size or 1), size is None

    def _warn_of_others(self, batch: Batch) -> None:
        """Of samples that are not those which a run was trained further on."""
        for name, values in (self.run.instances or {"params": {}})["params"].items():
            known, asked = (
                each.flatten(1) if each.ndim > 1 else each[:, None]
                for each in (torch.tensor(values, dtype=torch.float64), batch.params[name].detach())
            )
            apart = torch.cdist(asked.cpu().double(), known).amin(1)
            if bool((apart > 1e-5 * known.abs().max()).any()):
                message = (
                    "this operator was trained further on other samples: there"
                    f" `{name}` is {values[0] if len(values) == 1 else values}"
                )
                warnings.warn(message, OutsideWarning, stacklevel=3)

    def _warn_of_law(self, batch: Batch) -> None:
        for name, param in self.problem.params.items():
            if not isinstance(param.law, NumberLaw):
                continue
            low, high = truncated_support(param.law)
            found = batch.params[name].detach().double()
            slack = 1e-6 * (high - low)
            if bool(((found < low - slack) | (found > high + slack)).any()):
                reach = (
                    f"{float(found.min()):.4g}"
                    if found.numel() == 1
                    else f"{float(found.min()):.4g} to {float(found.max()):.4g}"
                )
                message = (
                    f"`{name}` is {reach}; the operator was trained on {low:.4g} to {high:.4g}, its"
                    " answer is an extrapolation"
                )
                warnings.warn(message, OutsideWarning, stacklevel=3)

    def __repr__(self) -> str:
        run = self.run
        return (
            f"TrainedOperator({self.problem.name}: {', '.join(self.problem.unknowns)}; step"
            f" {run.step} of {run.options.steps})"
        )


@dataclass(frozen=True)
class Answer:
    """What an operator says of a sample, or of a batch: `answer.u` and `answer["u"]` are functions
    of points, by the unknown's name; `answer["drag"]` is a declared output.
    """

    operator: TrainedOperator
    batch: Batch
    single: bool
    torch: bool
    correction: Solution | None = None

    @property
    def problem(self) -> Problem:
        """The problem of the operator."""
        return self.operator.problem

    @cached_property
    def field(self) -> Callable[[Tensor], Tensor]:
        """All components as a field: points "b n D" -> "b n c"."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.batch.draws.attached):
            found = self.operator.model(self.batch.inputs)
        return found if self.correction is None else Corrected(found, self.correction)

    @cached_property
    def error(self) -> Certificate:
        """The estimated error of this answer, without a reference: `answer.error["u"]` is the
        relative L2 error of u, "b" (see `compiler.certificate`). Warns: NoEstimateWarning. Raises:
        NoWeakForm for problems in time.
        """
        found = certificate(self.problem, self.field, self.batch)
        return found if self.torch else found.numpy()

    def corrected(self) -> Answer:
        """The answer u + e with its estimated error added: less wrong by one to two digits, at the
        price of a coarse solve, and no longer differentiable. Raises: SolverError where a sample
        has no estimate.
        """
        return replace(self, correction=self.error.correction)

    def __getattr__(self, name: str) -> Quantity:
        problem = self.__dict__["operator"].problem if "operator" in self.__dict__ else None
        if problem is not None and name in problem.unknowns:
            return self._unknown(name)
        known = [] if problem is None else list(problem.unknowns)
        raise AttributeError(
            f"the answer has no `{name}`"
            + "; "
            + suggestion(name, known, f"it has {', '.join(known)}")
        )

    def __getitem__(self, name: str) -> Any:
        """A declared output, by its name: a number (an array of b in a batch), or a function of
        points; or an unknown or its component."""
        problem = self.problem
        if name in problem.outputs:
            found = output(
                problem, name, self.field, self.batch, trainables=self.operator.run.trainables
            )
            return self._handed(found) if isinstance(found, Tensor) else Quantity(self, found, name)
        if name in problem.unknowns:
            return self._unknown(name)
        if name in problem.components:
            return self._part(name, [problem.components.index(name)])
        known = [*problem.outputs, *problem.unknowns, *problem.components]
        raise KeyError(
            f"the answer has no {name!r}"
            + "; "
            + suggestion(name, known, f"it has {', '.join(known)}", quote="'")
        )

    def _unknown(self, name: str) -> Quantity:
        components = self.problem.unknowns[name].components
        return self._part(name, [self.problem.components.index(each) for each in components])

    def _part(self, name: str, channels: list[int]) -> Quantity:
        if len(channels) == 1:
            return Quantity(self, lambda points: self.field(points)[..., channels[0]], name)
        return Quantity(self, lambda points: self.field(points)[..., channels], name)

    def _handed(self, values: Tensor, as_torch: bool | None = None) -> Any:
        values = values[0] if self.single else values
        if self.torch if as_torch is None else as_torch:
            return values
        array = values.detach().cpu().double().numpy()
        return float(array) if array.ndim == 0 else array

    # ----------------------------------------------------------------------------------------------
    # on grids, in files, as pictures

    def to_xarray(
        self, points: int | Mapping[str, Sequence[float]] = 64, times: int | Sequence[float] = 16
    ) -> Any:
        """All unknowns on a grid as an `xarray.Dataset`, NaN outside of the domain.

        points: nodes along the longest side of the domain's box, or the nodes along each
        coordinate. Needs xarray.
        """
        xarray = _needed("xarray")
        problem = self.problem
        axes = self.axes(points, times)
        grid = np.stack(np.meshgrid(*axes.values(), indexing="ij"), -1)
        flat = grid.reshape(-1, len(axes))
        batch = torch.as_tensor(flat)[None].expand(self.batch.size, -1, -1)
        inside = self._inside(batch).numpy()
        plain, found = replace(self, single=False, torch=False), {}
        for name, unknown in problem.unknowns.items():
            values = plain[name].at(batch)  # b n, or b n k
            values = np.where(inside[..., None] if values.ndim == 3 else inside, values, np.nan)
            values = values.reshape(self.batch.size, *grid.shape[:-1], *values.shape[2:])
            dims, coords = ["sample", *axes], dict(axes)
            if len(unknown.components) > 1:
                dims.append(f"{name}_component")
                coords[dims[-1]] = [each.partition(".")[2] for each in unknown.components]
            found[name] = xarray.DataArray(values, dims=dims, coords=coords)
        dataset = xarray.Dataset(found, attrs={"problem": problem.name})
        return dataset.isel(sample=0) if self.single else dataset

    def to_vtk(
        self, path: str | Path, resolution: int = 32, times: int | Sequence[float] = 16
    ) -> tuple[Path, ...]:
        """All unknowns at the vertices of a mesh of the domain, as `path`.vtu; a batch as one file
        a sample, and with time one file a time and `path`.pvd. Returns the files. Needs meshio.
        """
        meshio = _needed("meshio")
        path, problem, written = Path(path).with_suffix(""), self.problem, []
        path.parent.mkdir(parents=True, exist_ok=True)
        moments = self._times(times)
        for s in range(self.batch.size):
            own = self.batch.select([s])
            shape = Coefficients(problem, own.to("cpu", torch.float64)).shape_values
            mesh = mesh_domain(first_domain(problem), shape, resolution)
            cells = [({1: "line", 2: "triangle", 3: "tetra"}[mesh.dim()], mesh.t.T)]
            alone, stem = self._sample(s), path.name if self.single else f"{path.name}_{s}"
            series = []
            for k, moment in enumerate([None] if moments is None else moments):
                at = (
                    mesh.p.T
                    if moment is None
                    else np.column_stack([mesh.p.T, np.full(mesh.p.shape[1], moment)])
                )
                data = {
                    name: _in_space(alone[name].at(torch.as_tensor(at)[None]))
                    for name in problem.unknowns
                }
                file = path.with_name(stem + ("" if moment is None else f"_{k:04d}") + ".vtu")
                meshio.write(file, meshio.Mesh(_in_space(mesh.p.T), cells, point_data=data))
                series.append((moment, file))
            written += [file for _, file in series]
            if moments is not None:
                written.append(
                    collect(
                        [(float(moment), file) for moment, file in series],
                        path.with_name(f"{stem}.pvd"),
                    )
                )
        return tuple(written)

    def plot(
        self,
        name: str | None = None,
        sample: int = 0,
        time: float | None = None,
        resolution: int = 128,
    ) -> Any:
        """A matplotlib figure of one unknown, by its components, on the grid of `to_xarray`; the
        last time unless another is given."""
        from matplotlib.figure import Figure

        problem = self.problem
        name = name or next(iter(problem.unknowns))
        dim = len(problem.coordinates)
        moment = (
            [float(problem.time.end) if time is None else time] if problem.time is not None else 1
        )
        alone = self._sample(sample)
        axes = alone.axes(resolution, moment)
        if dim == 3:  # the middle slice
            last = problem.coordinates[2].name
            axes[last] = axes[last][len(axes[last]) // 2 :][:1]
        grid = np.stack(np.meshgrid(*axes.values(), indexing="ij"), -1)
        flat = torch.as_tensor(grid.reshape(-1, len(axes)))[None]
        values, inside = alone[name].at(flat), alone._inside(flat).numpy()[0]
        columns = values.reshape(len(values), -1)
        figure = Figure(figsize=(4.5 * columns.shape[1], 3.6), layout="constrained")
        parts = problem.unknowns[name].components if name in problem.unknowns else (name,)
        for k, part in enumerate(parts):
            panel = figure.add_subplot(1, len(parts), k + 1)
            shown = np.where(inside, columns[:, k], np.nan).reshape(grid.shape[:-1])
            x = axes[problem.coordinates[0].name]
            if dim == 1:
                panel.plot(x, shown.ravel())
            else:
                y = axes[problem.coordinates[1].name]
                figure.colorbar(
                    panel.pcolormesh(x, y, shown.reshape(len(x), len(y)).T, shading="auto"),
                    ax=panel,
                )
                panel.set_ylabel(problem.coordinates[1].name)
                panel.set_aspect("equal")
            panel.set_xlabel(problem.coordinates[0].name)
            panel.set_title(
                part if problem.time is None else f"{part} at {problem.time.name} = {moment[0]:.4g}"
            )
        return figure

    def _sample(self, k: int) -> Answer:
        """The answer for one sample of a batch, in NumPy."""
        correction = (
            None
            if self.correction is None
            else replace(self.correction, samples=self.correction.samples[k : k + 1])
        )
        return replace(
            self, batch=self.batch.select([k]), single=True, torch=False, correction=correction
        )

    def _inside(self, points: Tensor) -> Tensor:
        """Shapes: "b n D" -> "b n"."""
        own = self._domain
        at = points[..., : own.domain.dim].detach().double()
        inside = own.contains(at)
        some = ~inside.all(0)
        if bool(some.any()):
            near = own.signed_distance(at[:, some]).abs() < 1e-9
            inside[:, some] = inside[:, some] | near
        return inside

    @cached_property
    def _domain(self) -> Geometry:
        """That of the first unknown, in float64 on the CPU."""
        own = self.batch.geometry[first_domain(self.problem).name]
        return own.map(lambda value: value.detach().to("cpu", torch.float64))

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Whether points lie in the domain, in every sample of a batch. Shapes: "n D" -> "n"."""
        return (
            self._inside(torch.as_tensor(points)[None].expand(self.batch.size, -1, -1))
            .all(0)
            .numpy()
        )

    def _times(self, times: int | Sequence[float]) -> np.ndarray | None:
        time = self.problem.time
        if time is None:
            return None
        return (
            np.linspace(float(time.start), float(time.end), times)
            if isinstance(times, int)
            else np.asarray(times, dtype=float)
        )

    def axes(
        self, points: int | Mapping[str, Sequence[float]], times: int | Sequence[float]
    ) -> dict[str, np.ndarray]:
        """Nodes along each variable, over the box of the samples' domains."""
        problem = self.problem
        names = [each.name for each in problem.coordinates]
        if isinstance(points, Mapping):
            for name in names:
                if name not in points:
                    raise fail(
                        "B01", f"the grid has no nodes along `{name}`", f"give {', '.join(names)}"
                    )
            axes = {name: np.asarray(points[name], dtype=float) for name in names}
        else:
            low, high = (
                each.detach().cpu().double().numpy()
                for each in self.batch.geometry[first_domain(problem).name].box()
            )
            low, high = (
                low.min(0) if low.ndim == 2 else low,
                high.max(0) if high.ndim == 2 else high,
            )
            counts = np.maximum(2, np.round(points * (high - low) / (high - low).max()).astype(int))
            axes = {name: np.linspace(low[k], high[k], counts[k]) for k, name in enumerate(names)}
        moments = self._times(times)
        return axes if moments is None else {**axes, problem.time.name: moments}

    def __repr__(self) -> str:
        samples = "one sample" if self.single else f"{self.batch.size} samples"
        return f"Answer({self.problem.name}: {', '.join(self.problem.unknowns)} of {samples})"


@dataclass(frozen=True)
class Quantity:
    """A function of points: an unknown, one of its components, or an output that varies in
    space."""

    answer: Answer
    function: Callable[[Tensor], Tensor]
    name: str

    def __call__(self, points: Any, t: float | None = None) -> Any:
        """Values at points (n, D), the same for every sample of a batch, or (b, n, D); D counts
        time, last, unless `t` is given.

        Shapes: -> (n,) for a scalar, (n, k) for a vector; with b in front for a batch.
        Warns: OutsideWarning where points lie outside of the domain. Raises: ProblemError B01, B02.
        """
        answer, problem = self.answer, self.answer.problem
        as_torch = isinstance(points, Tensor)
        parameter = next(answer.operator.model.parameters())
        given = points if as_torch else torch.as_tensor(np.asarray(points))
        if given.is_complex() or given.dtype == torch.bool:
            need_points(given)
        if not given.is_floating_point():  # whole numbers
            given = given.double()
        if given.ndim == 1 and given.numel() == len(problem.coordinates):
            given = given[None]
        if t is not None:
            given = torch.cat([given, torch.full_like(given[..., :1], t)], -1)
        names = [each.name for each in problem.variables]
        if (
            given.ndim not in (2, 3)
            or given.shape[-1] != len(names)
            or (given.ndim == 3 and given.shape[0] != answer.batch.size)
        ):
            sizes = f"(n, {len(names)})" + (
                f" or ({answer.batch.size}, n, {len(names)})" if not answer.single else ""
            )
            message = (
                f"points have shape {tuple(given.shape)}, `{self.name}` takes {sizes}:"
                f" {', '.join(names)}"
            )
            raise fail(
                "B01",
                message,
                "give time as t=..., or as the last coordinate" if problem.time is not None else "",
            )
        if not bool(given.isfinite().all()):
            raise fail("B01", "some points are not finite", "leave them out")
        where = given if given.ndim == 3 else given[None].expand(answer.batch.size, -1, -1)
        outside = int((~answer._inside(where.detach().cpu())).sum())
        if outside:
            message = (
                f"{outside} of {where.shape[0] * where.shape[1]} points lie outside of the domain,"
                f" where `{self.name}` means nothing"
            )
            warnings.warn(message, OutsideWarning, stacklevel=2)
        return self.at(where.to(parameter.device), as_torch)

    def at(self, points: Tensor, as_torch: bool = False) -> Any:
        """The same without a word about where the points lie. Shapes: points "b n D"."""
        parameter = next(self.answer.operator.model.parameters())
        points = points.to(parameter.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and as_torch):
            blocks = points.split(BLOCK, 1) if not as_torch else (points,)
            values = torch.cat(
                [
                    self.function(block.to(self.answer.batch.inputs.points.dtype))
                    for block in blocks
                ],
                1,
            )
        return self.answer._handed(values, as_torch)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(each.name for each in self.answer.problem.variables)})"


def _trained_on(run: Run) -> dict[str, Any]:
    """The params of a single sample that a run was trained further on."""
    known = run.instances
    single = known is not None and known["size"] == 1
    return {name: values[0] for name, values in known["params"].items()} if single else {}


def _as_tensor(value: Any, like: Tensor) -> Any:
    if isinstance(value, (Tensor, sp.Basic, int, float)):
        return value
    return torch.as_tensor(np.asarray(value, dtype=float), dtype=like.dtype, device=like.device)


def _batch_size(
    problem: Problem, params: Mapping[str, Any], inputs: Mapping[str, Any]
) -> int | None:
    """The number of samples; None for one that is not a batch. Raises: ProblemError B01 where
    two say different numbers."""
    found: dict[str, int] = {}
    for name, value in params.items():
        declared = {**problem.params, **problem.trainables}.get(name)
        shape = (
            tuple(value.shape)
            if isinstance(value, Tensor)
            else np.shape(value)
            if not isinstance(value, sp.Basic)
            else ()
        )
        if declared is not None and len(shape) > (declared.size is not None):
            found[name] = shape[0]
    for name, value in inputs.items():
        if isinstance(value, list):
            found[name] = len(value)
        elif (
            isinstance(value, tuple)
            and len(value) == 2
            and np.ndim(value[1]) >= 2
            and name in problem.inputs
        ):
            shape, count = tuple(value[1].shape), len(value[0])
            if shape[0] != count or (len(shape) == 3):
                found[name] = shape[0]
        elif hasattr(value, "dims") and "sample" in value.dims:
            found[name] = value.sizes["sample"]
    if len(set(found.values())) > 1:
        said = ", ".join(f"`{name}` {count}" for name, count in found.items())
        raise fail(
            "B01",
            f"the numbers of samples differ: {said}",
            "give all params and inputs for the same samples",
        )
    return next(iter(found.values())) if found else None


def _in_space(values: np.ndarray) -> np.ndarray:
    """Plane vectors with a third component zero, as VTK wants them. Shapes: "n" as it is, "n k"
    -> "n 3" for k < 3."""
    return (
        np.pad(values, ((0, 0), (0, 3 - values.shape[1])))
        if values.ndim == 2 and values.shape[1] < 3
        else values
    )


def _needed(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"this needs {name}: pip install {name}") from error
