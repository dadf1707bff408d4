"""Problems made by chance over the whole language, each with its residual worked out by SymPy
alone, and what must hold of them.

`language.py` has the words with their three meanings (text, Python form, plain SymPy), `draw.py`
draws declared problems from them, `found.py` puts functions to be found, priors and files into
these, `oracle.py` evaluates what SymPy says, `checks.py` holds the project to it, `mutate.py`
spoils the texts of `examples/`, and `python -m tests.generated.run` tries as many as one has time
for.
"""
