"""Neural operators: tensors in, fields out. A field is a function of points that can also give its
derivatives.

Imports torch, and neither sympy nor pdespec.
"""

from operators.field import Ansatz, Capabilities, Field, OperatorInput, capabilities
from operators.graph.gno import GNO, GNOOptions
from operators.graph.grid import Lattice
from operators.graph.kernels import KERNELS
from operators.graph.neighbors import NEIGHBORS, Edges
from operators.graph.weights import WEIGHTS, Weight
from operators.jets.derivative_tables import ACTIVATIONS
from operators.jets.jet import Jet, JetSpace
from operators.layers.mlp import MLP
from operators.layers.spectral import SpectralConv
from operators.models.deeponet import DeepONet, DeepONetField, DeepONetOptions
from operators.models.fno import FNO, FNOOptions, FourierTrunk, SpectralField, TrunkOptions
from operators.models.gino import GINO, DecodedField, EncoderOptions, GINOOptions
from operators.models.meta_pinn import AdaptedField, MetaPINN, MetaPINNOptions
from operators.models.pinn import PINN, NetworkField, PINNOptions, Siren
from operators.models.transolver import Transolver, TransolverOptions
from operators.registry import DuplicateName, Registry, UnknownName

__all__ = [
    "ACTIVATIONS",
    "AdaptedField",
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
    "DeepONet",
    "DeepONetField",
    "DeepONetOptions",
    "DecodedField",
    "DuplicateName",
    "Edges",
    "EncoderOptions",
    "FNOOptions",
    "Field",
    "FourierTrunk",
    "GINOOptions",
    "GNOOptions",
    "Jet",
    "JetSpace",
    "Lattice",
    "MetaPINN",
    "MetaPINNOptions",
    "NetworkField",
    "OperatorInput",
    "PINNOptions",
    "Registry",
    "Siren",
    "SpectralConv",
    "SpectralField",
    "Transolver",
    "TransolverOptions",
    "TrunkOptions",
    "UnknownName",
    "Weight",
    "capabilities",
]
