"""L-BFGS in scaled weights: those whose gradients are small take longer steps.

The weights ``x`` of a network have curvatures that differ by many orders of magnitude. Steepest
descent, which L-BFGS begins with, is of no use then; in ``y = x / s`` with ``s = v^(-1/4)``, ``v``
the mean square of each gradient, it is the direction of Adam (Kingma and Ba, arXiv:1412.6980).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

FLOOR = 0.01
"""Of the mean root of ``v``, added to each: weights that nothing depends on are not to run away."""


class ScaledLBFGS(torch.optim.LBFGS):
    """torch's L-BFGS, but for the variables that it works in."""

    def __init__(
        self, params: Sequence[torch.Tensor], squares: Sequence[torch.Tensor], **keywords: Any
    ) -> None:
        """Take, beside the arguments of torch, the mean square of each weight's gradient."""
        super().__init__(params, **keywords)
        roots = torch.cat([each.reshape(-1) for each in squares]).sqrt()
        scale = (roots + FLOOR * roots.mean()).rsqrt()
        self._scale = scale / scale.median()

    def _gather_flat_grad(self) -> torch.Tensor:
        return super()._gather_flat_grad() * self._scale

    def _add_grad(self, step_size: float, direction: torch.Tensor) -> None:
        super()._add_grad(step_size, direction * self._scale)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what another one knew of the curvature, as much as this one remembers."""
        (group,) = self.param_groups
        own = {name: group[name] for name in ('max_iter', 'max_eval', 'history_size')}
        super().load_state_dict(state_dict)
        self.param_groups[0].update(own)
        for known in self.state.values():
            for name in {'old_dirs', 'old_stps', 'ro'} & set(known):
                known[name] = known[name][-own['history_size'] :]
            known.pop('al', None)  # as long as the history, and made anew
