import pytest

from operators import WEIGHTS, DuplicateName, Registry, UnknownName


def test_an_entry_is_found_under_its_name():
    shapes = Registry("shape")

    @shapes.register("circle")
    def circle():
        return "round"

    assert shapes["circle"] is circle
    assert list(shapes) == ["circle"]


def test_an_unknown_name_raises_with_the_closest_one():
    with pytest.raises(
        UnknownName, match="no weight function 'half_cosine'; did you mean 'half_cos'?"
    ):
        WEIGHTS["half_cosine"]


def test_a_far_off_name_lists_what_is_known():
    with pytest.raises(UnknownName, match="known: bump, half_cos"):
        WEIGHTS["zzz"]


def test_a_name_is_registered_once():
    with pytest.raises(DuplicateName, match="'bump' is registered already"):
        WEIGHTS.register("bump", smoothness=1)


def test_attributes_a_kind_does_not_have_raise():
    with pytest.raises(TypeError, match="takes no attributes, 'circle' was given colour"):
        Registry("shape").register("circle", colour="red")
