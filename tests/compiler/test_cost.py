"""Memory is counted from the life of tensors, time on the CPU; leaves are found in the graph."""

from __future__ import annotations

import time

import torch

from compiler.comparison.timing import PeakMemory, seconds
from compiler.loss.blocks.dependencies import leaves

MB = 1_000_000


def test_the_peak_counts_what_is_alive_together_and_views_once():
    x = torch.zeros(250_000)  # 1 MB, made outside
    with PeakMemory() as memory:
        y = x + 1
        z = y.view(500, 500).t()
        del y
        w = z * 2
        del z
        u = w + 1
        del w
    assert memory.peak == 2 * MB
    assert memory.live == MB
    del u
    assert memory.live == 0


def test_tensors_saved_for_backward_count_until_the_graph_goes():
    weight = torch.ones(250_000, requires_grad=True)
    with PeakMemory() as memory:
        result = weight.exp().sin().sum()
    assert memory.live == MB + 4  # exp saves its result, which is what sin saves too; the sum stays
    assert memory.peak == 2 * MB + 4
    del result
    assert memory.live == 0


def test_parameters_and_their_views_are_not_counted():
    weight = torch.nn.Parameter(torch.ones(500, 500))
    with PeakMemory() as memory:
        kept = weight.t().reshape(-1)[:10]
    assert memory.peak <= MB + 40
    del kept


def test_seconds_are_those_of_the_processor_not_of_the_clock():
    assert seconds(lambda: time.sleep(0.05)) < 0.04
    assert seconds(lambda: sum(range(2_000_000))) > 0.005


def test_leaves_are_the_parameters_a_result_depends_on():
    a, b, c = (torch.ones(2, requires_grad=True) for _ in range(3))
    assert {id(leaf) for leaf in leaves((a * 2 + b.exp()).sum())} == {id(a), id(b)}
    assert leaves(c.detach().sum()) == ()
