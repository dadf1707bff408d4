"""Records of options: flat keywords, a record and both make the same operator; other names are
refused."""

import inspect

import pytest
import torch

from operators import (
    FNO,
    GINO,
    GNO,
    PINN,
    DeepONet,
    DeepONetOptions,
    EncoderOptions,
    FNOOptions,
    FourierTrunk,
    GINOOptions,
    GNOOptions,
    MetaPINN,
    MetaPINNOptions,
    PINNOptions,
    Transolver,
    TransolverOptions,
)
from operators.options import Bound, bounds

SMALL = {"hidden": 4, "layers": 1}
MADE = {
    "GINO": (GINO, (1, 1, 2, (10, 10)), GINOOptions, {**SMALL, "modes": 3, "weight": "bump"}),
    "FNO": (FNO, (1, 1, 1, (12,)), FNOOptions, {**SMALL, "modes": 3, "norm": "group"}),
    "PINN": (PINN, (1, 2), PINNOptions, {"hidden": (3, 5), "activation": "siren", "omega": 4.0}),
    "DeepONet": (DeepONet, (1, 1, 2), DeepONetOptions, {"basis": 3, "trunk": (5,), "nodes": 9}),
    "MetaPINN": (MetaPINN, (1, 2), MetaPINNOptions, {"hidden": (3, 5), "omega": 4.0}),
    "Transolver": (Transolver, (1, 2), TransolverOptions, {**SMALL, "heads": 2, "slices": 3}),
    "GNO": (GNO, (2, 2, 2, 0.3), GNOOptions, {"kernel": "polynomial", "weight": "bump"}),
}


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", MADE)
def test_keywords_a_record_and_both_make_the_same_weights(name):
    operator, arguments, record, options = MADE[name]
    flat = operator(*arguments, **options)
    assert same(flat, operator(*arguments, options=record(**options)))
    first, *rest = options
    spoilt = {
        **options,
        first: {"hidden": (6, 6) if "PINN" in name else 6, "kernel": "mlp", "basis": 6}[first],
    }
    assert not same(flat, operator(*arguments, options=record(**spoilt)))
    assert same(flat, operator(*arguments, options=record(**spoilt), **{first: options[first]}))


@pytest.mark.parametrize("name", MADE)
def test_the_signature_names_every_option(name):
    operator, _, record, _ = MADE[name]
    assert set(inspect.signature(record).parameters) < set(inspect.signature(operator).parameters)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GINO(1, 1, 2, hiden=4), "GINO has no option `hiden`; did you mean `hidden`?"),
        (lambda: FNO(1, 1, 1, (12,), mode=3), "FNO has no option `mode`; did you mean `modes`?"),
        (lambda: PINN(1, 2, omga=3), "PINN has no option `omga`; did you mean `omega`?"),
        (lambda: Transolver(1, 2, slice=3), "did you mean `slices`?"),
        (lambda: FourierTrunk(1, (8,), ranks=1), "did you mean `rank`?"),
        (
            lambda: GNO(1, 1, 2, 0.1, kernel="polynomial", degre=1),
            "the kernel 'polynomial' has no option `degre`; did you mean `degree`?",
        ),
        (lambda: GINO(1, 1, 2, encoder={"kernal": "mlp"}), "did you mean `kernel`?"),
        (
            lambda: GINO(1, 1, 2, options=FNOOptions()),
            "GINO takes options of type GINOOptions, got FNOOptions",
        ),
    ],
)
def test_what_is_no_option_is_refused(call, message):
    with pytest.raises(TypeError) as raised:
        call()
    assert message in str(raised.value)


def test_the_encoder_is_a_record_or_its_fields():
    fields = {"channels": 3, "weight": "bump"}
    small = {**SMALL, "modes": 3, "latent": (10, 10)}
    one = GINO(1, 1, 2, encoder=fields, **small)
    assert same(one, GINO(1, 1, 2, encoder=EncoderOptions(**fields), **small))
    assert not same(one, GINO(1, 1, 2, **small))


def test_older_runs_call_the_radius_in_spacings_cells():
    small = {**SMALL, "modes": 3, "latent": (10, 10)}
    old, new = (GINO(1, 1, 2, **small, **{name: 1.7}) for name in ("cells", "radius_in_spacings"))
    assert old.lattice == new.lattice != GINO(1, 1, 2, **small).lattice


def test_one_number_of_modes_needs_a_grid():
    with pytest.raises(ValueError, match="says no dimension"):
        FourierTrunk(1, modes=3)


def test_a_record_says_what_its_numbers_must_be():
    found = bounds(GINOOptions)
    assert found["hidden"] == found["projection"] == found["modes"] == Bound(1)
    assert found["radius"] == found["radius_in_spacings"] == Bound()
    assert bounds(PINNOptions)["embedding"] == Bound(0)
    assert "kernel" not in found
