"""Types of NumPy arrays, in place of one alias a module."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
"""IntArray of cells, vertices, facets or unknowns."""
