"""Trainable numbers and functions from measured values, by the reference solver, with how sure they
are."""

from compiler.estimation.fit import SolverError, estimate, fields_of, uncertainty
from compiler.estimation.result import (
    LEVEL,
    Estimate,
    EstimateError,
    FieldEstimate,
    Quantity,
    described,
)

__all__ = [
    "LEVEL",
    "Estimate",
    "EstimateError",
    "FieldEstimate",
    "Quantity",
    "SolverError",
    "described",
    "estimate",
    "fields_of",
    "uncertainty",
]
