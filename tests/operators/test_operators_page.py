import pathlib
import re

from operators import WEIGHTS

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "operators.md").read_text()


def test_the_code_of_the_page_runs():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block.replace("sextweight", "test_sextweight"), "operators.md", "exec"), names)
    assert names["u"].shape == (4, 50, 1)
    assert names["test_sextweight"].smoothness == 5


def test_the_page_tells_the_class_of_every_weight():
    for name, weight in WEIGHTS.items():
        if not name.startswith("test_"):
            row = next(
                line for line in PAGE.splitlines() if f"`{name}`" in line and line.startswith("|")
            )
            names = re.findall(r"`(\w+)`", row.split("|")[1])
            classes = row.split("|")[2].strip().split(", ")
            told = classes[names.index(name)] if len(classes) > 1 else classes[0]
            assert told == ("all" if weight.smoothness == float("inf") else str(weight.smoothness))
