"""Molecular dynamics in a round of active learning: whether the crystal holds, and what it meets.

A potential that relaxes a crystal and gives it good modes may still lose it at 300 K; the frames
that it came by on the way are then what it lacks.
"""

from __future__ import annotations

from aiida import orm
from aiida.engine import ToContext

from aiida_mlip_ins.calculations.functions.active import frames_of_motion
from aiida_mlip_ins.workflows.composition import Composition
from aiida_mlip_ins.workflows.lanes import outputs_in
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.pressures import pressure_key

NOT_KNOWN = {'verdict': 'not known', 'reasons': ['there was no molecular dynamics to judge by']}
"""In the place of a verdict where one is asked for, and there is none."""


class RoundWithMotion(Composition):
    """Moves the relaxed crystals with the first member, and offers the frames as candidates.

    Needs ``ctx.model``, ``ctx.cells`` and ``ctx.relaxed``, the keys of those that are relaxed, and
    sets ``ctx.moving``, frames by name.
    """

    def wants_motion(self) -> bool:
        """Whether molecular dynamics is asked for, and there is a crystal to begin with."""
        return 'md' in self.inputs and bool(self.ctx.relaxed)

    def run_motion(self) -> ToContext:
        """Move the crystals at the pressures that they are relaxed at."""
        inputs = self.exposed_inputs(MdStabilityWorkChain, 'md')
        pressures = self.inputs.pressures.get_list()
        places = [i for i in range(len(pressures)) if pressure_key(i) in self.ctx.relaxed]
        inputs.update(
            model=self.ctx.model,
            pressures=orm.List([pressures[place] for place in places]),
            structures={
                pressure_key(i): self.ctx.cells[pressure_key(place)]
                for i, place in enumerate(places)
            },
        )
        return self._submit('motion', MdStabilityWorkChain, inputs)

    def inspect_motion(self) -> None:
        """Take the verdict, and the frames that runs went through as long as they held."""
        node = self.ctx.motion
        self._note_missing(node, 'molecular dynamics')
        if 'verdict' in node.outputs:
            self.ctx.known['motion'] = node.outputs.verdict
            self.out('motion', node.outputs.verdict)
        apart = self.inputs.settings.get('motion_apart', None)
        if apart is None:
            return
        for key, trajectory in outputs_in(node, 'trajectories').items():
            frames, made = frames_of_motion.run_get_node(
                trajectory,
                self.inputs.md.supercell_matrix,
                orm.Float(apart),
                metadata={'call_link_label': f'frames_{key}'},
            )
            if made.is_finished_ok:
                self.ctx.moving[f'motion_{key}'] = frames
            self._note_missing(made, f'frames of {key}')

    def _need_verdict(self) -> None:
        """Have it count that motion is not known, where it is asked for.

        Of no crystal that is relaxed, or of jobs that failed, there is no verdict.
        """
        if 'md' in self.inputs and 'motion' not in self.ctx.known:
            self.ctx.known['motion'] = orm.Dict(NOT_KNOWN).store()
