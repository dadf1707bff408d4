"""The generator as a hypothesis strategy: all its chance comes from one `random.Random`, which
hypothesis draws and shrinks."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.generated.draw import draw


def problems() -> st.SearchStrategy:
    """Declared problems over the whole language."""
    return st.randoms(use_true_random=False).map(draw)


def mutants() -> st.SearchStrategy:
    """Texts of examples with something spoilt in them."""
    from tests.generated.mutate import mutate

    return st.randoms(use_true_random=False).map(mutate)
