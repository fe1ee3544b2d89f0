"""What all members of a committee compute in a round of active learning: labels and modes."""

from __future__ import annotations

from aiida.engine import Process, ToContext

from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.workflows.composition import Composition, set_link_label
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain


class RoundOfMembers(Composition):
    """Has all members label the candidates, and compute the modes of the relaxed crystals.

    Needs ``ctx.models`` by member, ``ctx.candidates``, ``ctx.cells`` and ``ctx.relaxed``, the keys
    of those that are relaxed, and sets ``ctx.predictions`` by member and ``ctx.modes`` by member
    and pressure.
    """

    def _list_tasks(self) -> None:
        """List what is to be computed: labels first, then modes where phonons are asked for."""
        self.ctx.predictions, self.ctx.modes = {}, {}
        self.ctx.waiting = [[member, ''] for member in self.ctx.models]
        if 'mace_phonons' in self.inputs:
            self.ctx.waiting += [[m, p] for p in self.ctx.relaxed for m in self.ctx.models]

    def has_tasks(self) -> bool:
        """Whether there is something to be computed with a member."""
        return bool(self.ctx.waiting)

    def run_tasks(self) -> ToContext:
        """Start as many evaluations and phonons as there may be side by side."""
        count = self.inputs.max_concurrent.value
        self.ctx.running, self.ctx.waiting = self.ctx.waiting[:count], self.ctx.waiting[count:]
        nodes = {}
        for member, pressure in self.ctx.running:
            process: type[Process] = MacePhononsWorkChain if pressure else MaceEvaluateCalculation
            if pressure:
                inputs = self.exposed_inputs(MacePhononsWorkChain, 'mace_phonons')
                inputs['structure'] = self.ctx.cells[pressure]
            else:
                inputs = self.exposed_inputs(MaceEvaluateCalculation, 'evaluate')
                inputs['frames'] = self.ctx.candidates
            inputs['model'] = self.ctx.models[member]
            label = _label(member, pressure)
            set_link_label(inputs, label)
            nodes[label] = self.submit(process, **inputs)
        return ToContext(**nodes)

    def inspect_tasks(self) -> None:
        """Take labels and modes."""
        for member, pressure in self.ctx.running:
            label = _label(member, pressure)
            node = self.ctx[label]
            self._note_missing(node, label)
            if node.is_finished_ok and pressure:
                self.ctx.modes[f'{member}_{pressure}'] = node.outputs.modes
            elif node.is_finished_ok:
                self.ctx.predictions[member] = node.outputs.dataset


def _label(member: str, pressure: str) -> str:
    """Return the name of what is computed with a member, at a pressure or for the candidates."""
    return f'phonons_{member}_{pressure}' if pressure else f'evaluate_{member}'
