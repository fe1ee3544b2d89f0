"""L-BFGS in scaled weights, in the engines' Python, which has torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

# A valley whose curvatures differ by eight orders of magnitude, as those of a network do.
SCRIPT = """
import json, sys, torch
from aiida_mlip_ins.drivers.scaled_lbfgs import ScaledLBFGS
torch.set_default_dtype(torch.float64)
curvatures = torch.logspace(-4, 4, 30)

def run(history, iterations, weights, state=None, steps=3):
    weights = weights.clone().requires_grad_()
    optimizer = ScaledLBFGS([weights], [(curvatures**2).clone()], lr=1.0, max_iter=iterations,
        history_size=history, line_search_fn='strong_wolfe', tolerance_grad=0.0)
    if state is not None:
        optimizer.load_state_dict(state)
    def closure():
        optimizer.zero_grad()
        loss = 0.5 * (curvatures * weights**2).sum() + 0.1 * (weights**4).sum()
        loss.backward()
        return loss
    losses = [float(optimizer.step(closure)) for _ in range(steps)]
    kept = optimizer.state_dict()
    return losses, kept, weights.detach(), len(kept['state'][0]['old_dirs'])

torch.manual_seed(1)
begin = torch.randn(30)
whole = run(20, 5, begin, steps=6)
first = run(20, 5, begin)
found = {'whole': whole[0], 'halves': first[0] + run(20, 5, first[2], first[1])[0]}
for name, (history, iterations) in json.loads(sys.argv[1]).items():
    losses, kept, _, length = run(history, iterations, first[2], first[1])
    group = kept['param_groups'][0]
    found[name] = [losses, length, group['history_size'], group['max_iter']]
json.dump(found, sys.stdout)
"""


@pytest.mark.engines
def test_it_goes_on_where_it_was_with_as_much_memory_as_it_is_given_now(
    engine_run: Callable, tmp_path: Path
) -> None:
    others = {'less': (4, 5), 'more': (40, 9)}  # history, iterations
    done = engine_run(tmp_path, '-c', SCRIPT, json.dumps(others))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found['halves'] == found['whole']
    assert all(b < a for a, b in zip(found['whole'], found['whole'][1:], strict=False))
    for name, (history, iterations) in others.items():
        losses, length, *group = found[name]
        assert group == [history, iterations]
        assert length <= history
        assert losses[-1] < found['whole'][2]
