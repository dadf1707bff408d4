"""Neural operators: tensors in, fields out. A field is a function of points that can also give its derivatives.

Imports torch, and neither sympy nor pdespec.
"""

from operators.field import Ansatz, Capabilities, Field, OperatorInput, capabilities
from operators.fno import FNO, FourierTrunk, SpectralField
from operators.gino import GINO, DecodedField, EncoderOptions
from operators.gno import GNO
from operators.jet import Jet, JetSpace
from operators.kernels import KERNELS
from operators.lattice import Lattice
from operators.mlp import MLP
from operators.neighbors import NEIGHBORS, Edges
from operators.pinn import PINN, NetworkField, Siren
from operators.registry import DuplicateName, Registry, UnknownName
from operators.spectral import SpectralConv
from operators.tables import ACTIVATIONS
from operators.transolver import Transolver
from operators.weights import WEIGHTS, Weight

__all__ = [
    "ACTIVATIONS",
    "FNO",
    "GINO",
    "GNO",
    "KERNELS",
    "MLP",
    "NEIGHBORS",
    "PINN",
    "WEIGHTS",
    "Ansatz",
    "Capabilities",
    "DecodedField",
    "DuplicateName",
    "Edges",
    "EncoderOptions",
    "Field",
    "FourierTrunk",
    "Jet",
    "JetSpace",
    "Lattice",
    "NetworkField",
    "OperatorInput",
    "Registry",
    "Siren",
    "SpectralConv",
    "SpectralField",
    "Transolver",
    "UnknownName",
    "Weight",
    "capabilities",
]
