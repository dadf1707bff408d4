"""The step in blocks against the loss evaluated at once: the same terms and gradients, in memory
that does not grow."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import sympy as sp
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

import compiler
import operators
import pdespec
from compiler.comparison.timing import PeakMemory
from compiler.loss.blocks import StepEngine, capture
from compiler.loss.blocks.block import tile
from operators.field import Ansatz, Capabilities
from pdespec import (
    Problem,
    boundary,
    dot,
    grad,
    integral,
    lap,
    on,
    rectangle,
    space,
    trainable,
    unknown,
)
from tests.compiler import problems, tiny

POINTS = {"interior": 23, "boundary": 10, "initial": 9, "operator": 40}
LATENT = {1: (12,), 2: (9, 9), 3: (7, 7, 7)}
KERNELS = {"mlp": {"hidden": (6, 6)}, "polynomial": {"degree": 2}}

WHIRL = """problem whirl
space x, y
domain Omega = rectangle([0, 0], [1, 1])
unknown v : vector on Omega
unknown p : scalar on Omega
trainable nu = 0.5
in Omega:
    momentum: advect(v, v) + grad(p) = nu*lap(v)
    continuity: div(v) = 0
on boundary(Omega): v = [y, -x]
require p + 2 > x
require integral(p, Omega) = 1/3
"""


def whirl() -> Problem:
    return pdespec.parse(WHIRL, source="whirl.pde")


def energy() -> Problem:
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (2, 1))
    u = unknown("u", omega)
    stretch = 1 + sp.Derivative(u, x)
    return Problem(
        "energy",
        minimize=integral(grad(u).dot(grad(u)) - sp.log(stretch), omega),
        require=[stretch > 0],
    )


def crushed() -> Problem:
    """An energy whose requirements do not hold everywhere, one of them for the field zero
    neither."""
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (2, 1))
    u, k = unknown("u", omega), trainable("k", 2)
    stretch = 1 + 20 * sp.Derivative(u, x)
    density = dot(grad(u), grad(u)) - k * sp.log(stretch) + 1 / (u + x - 1)
    return Problem("crushed", minimize=integral(density, omega), require=[stretch > 0, u + x > 1])


def kept_positive() -> Problem:
    """A density under a logarithm, and an unknown of either sign beside it."""
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (2, 1))
    rho, u = unknown("rho", omega, positive=True), unknown("u", omega)
    equations = [(lap(sp.log(rho)) + u, rho), (lap(u), rho * u)]
    return Problem("kept_positive", equations, [on(boundary(omega), (rho, 2), (u, x))])


@dataclass(frozen=True)
class Case:
    """A small operator of a problem, its loss and a batch of three samples, in float64."""

    model: nn.Module
    loss: compiler.PhysicsLoss
    batch: compiler.Batch

    @staticmethod
    def of(
        problem: Problem,
        kernel: str = "mlp",
        size: int = 3,
        hard_conditions: bool = True,
        points=POINTS,
        **options,
    ) -> Case:
        dim = len(problem.variables)
        model = compiler.build(
            problem,
            "gino",
            latent=LATENT[dim],
            modes=2,
            hidden=5,
            layers=1,
            projection=7,
            kernel=kernel,
            kernel_options=KERNELS[kernel],
            radius_in_spacings=1.9,
        )
        generator = torch.Generator().manual_seed(0)
        batch = compiler.sample(
            problem, size, points, generator, dtype=torch.float64, hard_conditions=hard_conditions
        )
        return Case(model.double(), compiler.compile(problem, **options).double(), batch)

    @property
    def field(self):
        return self.model(self.batch.inputs)

    @property
    def parameters(self) -> list[Tensor]:
        return [*self.model.parameters(), *self.loss.parameters()]

    def gradients(self, total: Tensor) -> list[Tensor]:
        return list(
            torch.autograd.grad(total, self.parameters, allow_unused=True, materialize_grads=True)
        )


def close(ours, theirs, tolerance: float = 1e-12) -> None:
    """Relative to the largest of them, since some gradients vanish."""
    scale = max(float(each.detach().abs().max()) for each in theirs if each.numel())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * scale)


def same(case: Case, engine: StepEngine, field=None, tolerance: float = 1e-12) -> None:
    field = field or (lambda: case.field)
    theirs, ours = case.loss(field(), case.batch), engine(field(), case.batch)
    assert list(ours) == list(theirs)
    close(list(ours.values()), list(theirs.values()), tolerance)
    assert ours.violations.keys() == theirs.violations.keys()
    for label, violated in theirs.violations.items():
        torch.testing.assert_close(ours.violations[label], violated)
    close(case.gradients(ours.total), case.gradients(theirs.total), tolerance)


@pytest.mark.parametrize("block", [1000, 50, 7])
@pytest.mark.parametrize(
    ("make", "kernel", "derivatives"),
    [
        (problems.poisson, "mlp", "auto"),
        (problems.poisson, "polynomial", "auto"),
        (problems.poisson, "polynomial", "autograd"),
        (problems.korteweg_de_vries, "polynomial", "auto"),
        (problems.transport, "mlp", "autograd"),
        (problems.monge_ampere, "mlp", "auto"),
        (whirl, "mlp", "auto"),
        (energy, "mlp", "auto"),
        (crushed, "mlp", "auto"),
        (kept_positive, "mlp", "auto"),
        (kept_positive, "mlp", "autograd"),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_blocks_of_any_size_give_the_terms_and_gradients_of_the_whole(
    make, kernel, derivatives, block
):
    case = Case.of(make(), kernel, derivatives=derivatives)
    same(case, StepEngine(case.loss, block))


# ---- weights


def test_the_gradient_is_right_for_weights_known_before_after_and_one_by_one():
    case = Case.of(whirl(), weights={"continuity": 3.0})
    labels = list(case.loss(case.field, case.batch))
    for settled in (True, False):
        engine = StepEngine(case.loss, 16)
        for weights in ({}, {"momentum": 0.5, "require1": 0.0}, dict.fromkeys(labels, 0.0)):
            theirs, ours = (
                case.loss(case.field, case.batch),
                engine(case.field, case.batch, weights, settled),
            )
            wanted = torch.stack(
                [weights.get(label, 1.0) * theirs[label] for label in labels]
            ).sum()
            torch.testing.assert_close(ours.total, wanted)
            close(case.gradients(2 * ours.total), case.gradients(2 * wanted))
        theirs, ours = (
            case.loss(case.field, case.batch),
            engine(case.field, case.batch, None, settled),
        )
        torch.testing.assert_close(ours.total, theirs.total)  # the loss's own weights
        # as a balancer finds them, from the values
        adapted = torch.arange(1.0, len(labels) + 1, dtype=torch.float64)
        both = [(adapted * torch.stack(list(terms.values()))).sum() for terms in (ours, theirs)]
        inputs = [p for p in case.parameters if p.requires_grad]
        close(
            *(
                torch.autograd.grad(
                    each, inputs, allow_unused=True, materialize_grads=True, retain_graph=True
                )
                for each in both
            )
        )
        for label in labels:
            close(
                *(
                    torch.autograd.grad(
                        t[label],
                        inputs,
                        allow_unused=True,
                        materialize_grads=True,
                        retain_graph=True,
                    )
                    for t in (ours, theirs)
                )
            )


def test_nothing_is_computed_twice_where_weights_are_known_and_settled_false_waits_for_them(
    monkeypatch,
):
    case = Case.of(whirl())
    steps: list[bool] = []
    whole = compiler.loss.blocks.accumulate.run
    monkeypatch.setattr(
        compiler.loss.blocks.accumulate,
        "run",
        lambda block, inputs, watch: (
            steps.append(inputs.weights is not None) or whole(block, inputs, watch)
        ),
    )
    engine = StepEngine(case.loss, 10**6)
    engine(case.field, case.batch).total.backward()
    # momentum, continuity and the requirements share their points; one of those couples them, so
    # values come first
    assert steps == [False, True, True]
    steps.clear()
    terms = engine(case.field, case.batch, settled=False)
    assert steps == [False, True]
    terms.total.backward()
    assert steps == [False, True, False, True]


def test_terms_that_couple_their_points_are_exact_in_blocks():
    x, y = space("x y")
    u = unknown("u", rectangle(x, y, (0, 0), (1, 1)))
    problem = Problem(
        "screened",
        {"balance": sp.Eq(lap(u) - u**2, x)},
        [on(boundary(u.func.declaration.region), sp.Eq(u, 0))],
    )
    case = Case.of(problem, error_estimate=True)
    assert "balance.error" in case.loss(case.field, case.batch)
    same(case, StepEngine(case.loss, 7))
    same(case, StepEngine(case.loss, 7), field=lambda: lambda p: case.field(p))


# ---- fields of every kind


def test_a_field_that_is_a_plain_function_is_differentiated_in_all_it_closes_over():
    case = Case.of(problems.poisson(), derivatives="autograd")
    inner = nn.Linear(2, 5).double()
    outer = torch.ones(5, 1, dtype=torch.float64, requires_grad=True)
    leaves = [*inner.parameters(), outer]

    def field():
        # computed once, before the points: all blocks share its graph
        trunk = torch.tanh(outer * 2)
        return lambda p: torch.sin(inner(p)) @ trunk

    theirs, ours = case.loss(field(), case.batch), StepEngine(case.loss, 7)(field(), case.batch)
    close(torch.autograd.grad(ours.total, leaves), torch.autograd.grad(theirs.total, leaves))


def test_parameters_that_only_some_blocks_use_are_found():
    problem = problems.transport()
    case = Case.of(problem, size=1)
    left, right = (torch.ones((), dtype=torch.float64, requires_grad=True) for _ in range(2))

    def field(p):  # one network for the points on the left, one for those on the right
        value = torch.zeros_like(p[..., :1]) + 0 * p[..., 1:]
        for part, weight in ((p[..., :1] < 0.5, left), (p[..., :1] >= 0.5, right)):
            if part.any():
                value = value + part * weight * p[..., :1] ** 2
        return value

    theirs, ours = case.loss(field, case.batch), StepEngine(case.loss, 1)(field, case.batch)
    close(
        torch.autograd.grad(ours.total, [left, right]),
        torch.autograd.grad(theirs.total, [left, right]),
    )


class Untidy(nn.Module):
    """A module with a parameter that it does not know of."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1).double()
        self.hidden = [torch.ones(2, dtype=torch.float64, requires_grad=True)]

    def forward(self, points: Tensor) -> Tensor:
        return torch.sin(self.layer(points * self.hidden[0]))


@dataclass(frozen=True)
class Untold:
    """A field of modules, without latent tensors."""

    network: nn.Module
    capabilities = Capabilities()

    def __call__(self, points: Tensor) -> Tensor:
        return self.network(points)


def test_a_parameter_outside_of_all_modules_is_not_lost():
    case = Case.of(problems.poisson())
    network = Untidy()
    leaves = [*network.parameters(), *network.hidden]
    engine = StepEngine(case.loss, 7)
    theirs, ours = case.loss(Untold(network), case.batch), engine(Untold(network), case.batch)
    close(torch.autograd.grad(ours.total, leaves), torch.autograd.grad(theirs.total, leaves))
    assert "parameter of shape (2,) is in none of the field's modules" in engine.explain()


def test_learnable_points_params_and_ansatz_keep_their_gradient():
    case = Case.of(problems.korteweg_de_vries())
    inputs = case.batch.inputs
    strength = torch.ones((), dtype=torch.float64, requires_grad=True)
    moved = replace(
        inputs,
        ansatz=Ansatz(lambda p: strength * torch.sin(p[..., :1]), lambda p: 1 + 0 * p[..., :1]),
    )
    key, points = next((k, p) for k, p in case.batch.points.items())
    free = points.points.clone().requires_grad_()
    batch = SimpleNamespace(
        points={**case.batch.points, key: replace(points, points=free)},
        params={},
        geometry={},
        evaluate=None,
    )
    for data, field, leaf in ((case.batch, case.model(moved), strength), (batch, case.field, free)):
        engine = StepEngine(case.loss, 7)
        theirs, ours = (
            torch.autograd.grad(f(field, data).total, leaf, retain_graph=True)[0]
            for f in (case.loss, engine)
        )
        close([ours], [theirs])


def test_fields_without_latent_tensors_and_spectral_ones_are_taken_in_blocks_too():
    problem = problems.poisson()
    case = Case.of(problem)
    fno = operators.FNO(
        0, 1, 2, (8, 8), ((0, 0), (1, 1)), hidden=4, modes=2, layers=1, feature_channels=2
    ).double()
    pinn = operators.PINN(1, 2, ((0, 0), (1, 1)), hidden=(6, 6)).double()
    known = replace(case.batch.inputs, features=lambda p: torch.sin(3 * p))
    for model in (fno, pinn):
        engine = StepEngine(case.loss, 20)
        same(replace(case, model=model), engine, field=lambda model=model: model(known))
        assert engine.explain() == "balance: in blocks\nboundary(Omega).u: in blocks"


def test_a_field_of_its_own_class_trains_in_blocks():
    problem = tiny.problem()
    generator = torch.Generator().manual_seed(0)
    batch = tiny.sample(problem, 3, {"interior": 11}, generator, torch.float64)
    case = Case(tiny.Operator().double(), compiler.compile(problem), batch)
    same(case, StepEngine(case.loss, 4))


@pytest.mark.parametrize("balancer", sorted(compiler.BALANCERS))
def test_a_run_in_blocks_takes_the_same_steps(tmp_path, balancer):
    problem = tiny.problem()
    weights = []
    for block in (None, 3):
        model = tiny.Operator()
        options = compiler.TrainOptions(
            steps=5, batch=4, points={"interior": 8}, balancer=balancer, precision="float64",
            validation=2, block=block,
            # Adam, but with steps that follow the size of the gradient
            lr=1.0, optimizer_options={"eps": 100.0}, clip=None,
        )  # fmt: skip
        compiler.train(problem, model, options, tmp_path / str(block), sampler=tiny.sample)
        weights.append(list(model.parameters()))
    close(*weights, tolerance=1e-10)


# ---- memory, modes, refusals


@pytest.fixture
def quiet():
    """Torch formats a trace of every graph for any handler, and pytest installs one: ten times
    the compiler's own time."""
    logger = logging.getLogger("torch.__trace")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
def test_memory_does_not_grow_with_the_number_of_points(kernel):
    def peak(n: int, engine: bool) -> int:
        case = Case.of(problems.poisson(), kernel, size=1, points={**POINTS, "interior": n})
        field = case.field
        evaluate = StepEngine(case.loss, 64) if engine else case.loss
        with PeakMemory() as memory:
            evaluate(field, case.batch).total.backward()
        return memory.peak

    (small, large), (little, much) = (
        [peak(n, engine) for n in (1024, 4096)] for engine in (True, False)
    )
    assert large < 1.05 * small + 4096 * 8 * 8  # but for a few numbers a point
    assert much > 3.5 * little
    assert large < 0.1 * much


def test_values_alone_need_no_gradient():
    case = Case.of(whirl())
    with torch.no_grad():
        terms = StepEngine(case.loss, 16)(case.field, case.batch)
    assert not terms.total.requires_grad
    close(
        list(terms.values()),
        [value.detach() for value in case.loss(case.field, case.batch).values()],
    )


@pytest.mark.parametrize(
    ("make", "kernel"),
    [(problems.poisson, "polynomial"), (whirl, "mlp"), (crushed, "mlp")],
    ids=["poisson", "whirl", "crushed"],
)
def test_the_captured_step_is_the_eager_one(make, kernel, caplog, quiet):
    case = Case.of(make(), kernel, derivatives="taylor")
    engine = StepEngine(case.loss, 16, mode="captured", backend="aot_eager")
    with caplog.at_level(logging.WARNING, "compiler.loss.blocks"):
        same(case, engine)
        graphs = len(engine._steps)
        # one for each group and pass, the shorter last blocks among them
        assert 0 < graphs <= 2 * len(case.loss.plan(case.field).groups)
        again = Case.of(make(), kernel, derivatives="taylor")
        same(replace(case, batch=again.batch), engine)
        assert len(engine._steps) == graphs
    assert not caplog.records
    assert "captured by aot_eager" in engine.explain()


def test_what_cannot_be_captured_runs_eagerly_and_says_why(caplog, quiet):
    case = Case.of(problems.poisson(), derivatives={"balance": "autograd"})
    engine = StepEngine(case.loss, 16, mode="captured", backend="no_such_compiler")
    with caplog.at_level(logging.WARNING, "compiler.loss.blocks"):
        same(case, engine)
        same(case, engine)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2  # once each
    assert "balance: in blocks, autograd differentiates the functions of the ansatz" in messages[0]
    assert "boundary(Omega).u: in blocks, not captured: " in messages[1]
    assert "no_such_compiler" in messages[1]


def test_a_compiled_graph_that_computes_something_else_is_not_used(monkeypatch, quiet):
    case = Case.of(problems.transport())
    compile_graph = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda graph, **options: (
            lambda *args: [1.01 * each for each in compile_graph(graph, **options)(*args)]
        ),
    )
    engine = StepEngine(case.loss, 16, mode="captured", backend="aot_eager")
    same(case, engine)
    assert "is off by 1.0e-02" in engine.explain()
    with pytest.raises(capture.CaptureError, match="result 0"):
        capture.check([torch.tensor([1.0, float("nan")])], [torch.ones(2)])


@pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="Inductor needs a C++ compiler"
)
def test_inductor_compiles_the_step_once_and_finds_it_on_disk_again(
    tmp_path, monkeypatch, caplog, quiet
):
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    case = Case.of(
        problems.transport(),
        "polynomial",
        size=1,
        derivatives="taylor",
        points={"interior": 16, "operator": 9},
    )
    for hits in (0, 1):
        torch._dynamo.reset()  # nothing is left in memory
        counters.clear()
        engine = StepEngine(case.loss, 16, mode="captured")
        same(case, engine)
        assert engine.explain() == "flow: in blocks, captured by inductor"
        assert (counters["inductor"]["fxgraph_cache_hit"] > 0) == (hits > 0)
    assert not caplog.records


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("mode", ["eager", "captured"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_step_on_a_gpu_is_that_on_the_processor(kernel, mode, quiet):
    case = Case.of(problems.poisson(), kernel, derivatives="taylor", hard_conditions=False)
    theirs = case.loss(case.field, case.batch)
    wanted = case.gradients(theirs.total)
    there = Case(case.model.cuda(), case.loss.cuda(), case.batch.to("cuda"))
    engine = StepEngine(there.loss, 16, mode=mode)
    for _ in range(3):  # a CUDA graph is recorded by the first calls and replayed by the last
        ours = engine(there.field, there.batch)
        found = there.gradients(ours.total)
        assert all(each.is_cuda for each in (*ours.values(), *found))
        close([each.cpu() for each in ours.values()], list(theirs.values()), 1e-9)
        close([each.cpu() for each in found], wanted, 1e-9)
    assert mode == "eager" or "captured by inductor" in engine.explain()


def test_backends_that_mix_points_are_evaluated_whole():
    case = Case.of(problems.transport(), derivatives="least_squares", hard_conditions=False)
    engine = StepEngine(case.loss, 7)
    same(case, engine)
    assert engine.explain() == "flow: whole, since least_squares mixes points"


def test_a_late_gradient_needs_the_parameters_it_is_taken_at():
    case = Case.of(whirl())
    terms = StepEngine(case.loss, 16)(case.field, case.batch, settled=False)
    with torch.no_grad():
        next(case.model.decoder.parameters()).mul_(2)
    with pytest.raises(RuntimeError, match="changed in place before this backward"):
        terms.total.backward()


def test_blocks_under_autocast_compute_what_the_whole_computes():
    case = Case.of(problems.poisson())
    model, loss, batch = case.model.float(), case.loss.float(), case.batch.to(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        theirs, ours = (
            loss(model(batch.inputs), batch),
            StepEngine(loss, 7)(model(batch.inputs), batch),
        )
    close(
        [each.detach() for each in ours.values()], [each.detach() for each in theirs.values()], 1e-2
    )
    close(
        *(torch.autograd.grad(terms.total, list(model.parameters())) for terms in (ours, theirs)),
        tolerance=0.05,
    )


def test_tiles_are_balanced_and_cover_about_a_block():
    assert tile(1, 2025, 256, True) == (1, 254)  # eight of them, the last one short by seven
    assert tile(8, 64, 256, True) == (4, 64)
    assert tile(5, 64, 256, True) == (3, 64)
    assert tile(8, 1000, 256, False) == (8, 32)
    assert tile(300, 10, 256, False) == (300, 1)


@pytest.mark.parametrize(
    ("options", "text"), [({"block": 0}, "block = 0"), ({"mode": "fast"}, "not 'fast'")]
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        StepEngine(compiler.compile(problems.transport()), **options)
