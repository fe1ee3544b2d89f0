"""Write a MACE model of NiAl with random weights whose first layer has vectors beside scalars.

python vector_model.py      (engines' Python; leaves model.model)
"""

import numpy as np
import torch
from mace import modules

# e3nn is only importable once mace has set how torch loads files.
o3 = modules.models.o3

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
model = modules.ScaleShiftMACE(
    r_max=3.5,
    num_bessel=4,
    num_polynomial_cutoff=5,
    max_ell=2,
    interaction_cls=modules.interaction_classes['RealAgnosticResidualInteractionBlock'],
    interaction_cls_first=modules.interaction_classes['RealAgnosticInteractionBlock'],
    num_interactions=2,
    num_elements=2,
    hidden_irreps=o3.Irreps('4x0e + 4x1o'),
    MLP_irreps=o3.Irreps('4x0e'),
    atomic_energies=np.array([[-1.0, -2.0]]),
    avg_num_neighbors=8.0,
    atomic_numbers=[13, 28],
    correlation=2,
    gate=torch.nn.functional.silu,
    radial_MLP=[8, 8],
    atomic_inter_scale=1.0,
    atomic_inter_shift=0.0,
)
torch.save(model, 'model.model')
