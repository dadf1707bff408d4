import itertools

import pytest
import torch
from torch import nn

from operators import SpectralConv
from operators.layers.spectral import stored_frequencies, tucker_ranks
from operators.models.fno import FourierBlock, FourierTrunk

GRIDS = [((17,), (5,)), ((12, 15), (4, 6)), ((8, 9, 10), (3, 2, 4))]


def slow(conv, v):
    """Mode by mode over the full spectrum, Hermitian partner written out."""
    axes = tuple(range(2, v.dim()))
    shape, modes = v.shape[2:], conv.modes
    half, weight = torch.fft.rfftn(v, dim=axes), conv.dense()
    out = torch.zeros(v.shape[0], weight.shape[-1], *half.shape[2:], dtype=half.dtype)
    ranges = [[*range(m), *range(-m, 0)] for m in modes[:-1]] + [range(modes[-1])]
    for k in itertools.product(*ranges):
        out[(slice(None), slice(None), *k)] = half[(slice(None), slice(None), *k)] @ weight[k]
    return torch.fft.irfftn(out, s=shape, dim=axes)


@pytest.mark.parametrize("rank", [None, 0.4])
@pytest.mark.parametrize(("shape", "modes"), GRIDS)
def test_it_multiplies_each_kept_mode_by_its_matrix(shape, modes, rank, randn, generator):
    conv = SpectralConv(3, 4, modes, rank, generator=generator).double()
    v = randn(2, 3, *shape)
    assert torch.allclose(conv(v), slow(conv, v), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("shape", "modes"), GRIDS)
def test_a_tucker_weight_of_full_rank_is_a_dense_one(shape, modes, randn, generator):
    dense = SpectralConv(3, 4, modes, generator=generator).double()
    sizes = (*stored_frequencies(modes), 3, 4)
    tucker = SpectralConv(3, 4, modes, rank=sizes).double()
    core = dense.dense()
    with torch.no_grad():
        # an orthogonal change of basis on every axis, undone in the core
        for axis, factor in enumerate(tucker.factors):
            basis = torch.linalg.qr(
                torch.complex(randn(sizes[axis], sizes[axis]), randn(sizes[axis], sizes[axis]))
            ).Q
            core = torch.tensordot(basis.mH, core, dims=([1], [axis])).movedim(0, axis)
            factor.copy_(torch.view_as_real(basis).movedim(-1, -2))
        tucker.weight.copy_(torch.view_as_real(core).movedim(-1, -2))
    v = randn(2, 3, *shape)
    assert torch.allclose(tucker(v), dense(v), rtol=0, atol=1e-12)
    assert torch.allclose(tucker.dense(), dense.dense(), rtol=0, atol=1e-12)


def test_a_share_of_parameters_is_kept():
    for sizes in [(24, 12, 32, 32), (16, 16, 8, 24, 24)]:
        for share in (0.05, 0.3):
            ranks = tucker_ranks(sizes, share)
            count = torch.Size(ranks).numel() + sum(
                r * n for r, n in zip(ranks, sizes, strict=True)
            )
            assert 0.6 * share < count / torch.Size(sizes).numel() <= 1.1 * share
    with pytest.raises(ValueError, match=r"share of the dense parameters in \(0, 1\]"):
        tucker_ranks((4, 4), 1.5)
    with pytest.raises(ValueError, match="2 Tucker ranks for a weight of shape"):
        tucker_ranks((4, 4, 4), (2, 2))


@pytest.mark.parametrize("rank", [None, 0.4])
@pytest.mark.parametrize(("shape", "modes"), GRIDS)
def test_float32_and_float64_agree(shape, modes, rank, randn, generator):
    trunk = FourierTrunk(
        2, shape, hidden=6, modes=modes, layers=2, rank=rank, norm="group", generator=generator
    )
    v = randn(2, 2, *shape)
    single = trunk(v.float())
    double = trunk.double()(v)
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    assert (single - double).norm() / double.norm() < 1e-5


def test_refining_the_grid_does_not_change_a_band_limited_result(generator):
    conv = SpectralConv(1, 2, (3, 4), generator=generator).double()

    def sampled(n):
        x = torch.arange(n, dtype=torch.float64) / n * 2 * torch.pi
        return (1 + torch.sin(2 * x)[:, None] * torch.cos(3 * x)[None])[None, None]

    assert torch.allclose(conv(sampled(12)), conv(sampled(36))[..., ::3, ::3], rtol=0, atol=1e-12)


def test_a_block_commutes_with_translation(randn, generator):
    block = FourierBlock(4, (3, 3), norm="group", generator=generator).double()
    v = randn(2, 4, 10, 12)
    assert torch.allclose(
        block(v.roll((3, 5), (2, 3))), block(v).roll((3, 5), (2, 3)), rtol=0, atol=1e-12
    )


def test_parameters_are_real(generator):
    conv = SpectralConv(3, 4, (2, 2), rank=0.5, generator=generator)
    assert all(not p.is_complex() for p in conv.parameters())
    assert len(nn.utils.parameters_to_vector(conv.parameters())) == sum(
        p.numel() for p in conv.parameters()
    )


def test_a_grid_too_coarse_for_the_modes_raises(generator):
    conv = SpectralConv(1, 1, (4, 4), generator=generator)
    with pytest.raises(
        ValueError,
        match="4 modes on axis 1 with 6 nodes, which hold 1 to n // 2 = 3; set modes to at most 3",
    ):
        conv(torch.zeros(1, 1, 8, 6))
    with pytest.raises(ValueError, match="takes \\(b, c, 2 grid axes\\)"):
        conv(torch.zeros(1, 1, 8))
    with pytest.raises(ValueError, match="5 modes on axis 0"):
        FourierTrunk(1, (8, 8), hidden=4, modes=(5, 5))
    with pytest.raises(ValueError, match="no norm 'batch'"):
        FourierBlock(4, (2, 2), norm="batch")


def test_gradients_pass_through_a_tucker_block(randn, generator):
    conv = SpectralConv(2, 2, (2, 2), rank=0.6, generator=generator).double()
    names, values = zip(*conv.named_parameters(), strict=True)
    v = randn(1, 2, 4, 5).requires_grad_()

    def call(v, *values):
        return torch.func.functional_call(conv, dict(zip(names, values, strict=True)), v)

    assert torch.autograd.gradcheck(call, (v, *[p.detach().requires_grad_() for p in values]))
