"""A weak form or a solution written for other programs: UFL, FEniCS, LaTeX, VTK."""
