"""The part of the whole chain that cures imaginary modes, where its input `cure` is given."""

from __future__ import annotations

from aiida import orm
from aiida.engine import append_

from aiida_mlip_ins.workflows.composition import Composition, set_link_label
from aiida_mlip_ins.workflows.cure import CureWorkChain
from aiida_mlip_ins.workflows.ins import InsWorkChain
from aiida_mlip_ins.workflows.phonons import MacePhononsWorkChain
from aiida_mlip_ins.workflows.pressures import pressure_key


class CuringChain(Composition):
    """Cures crystals of imaginary modes between phonons and spectrum.

    A cured crystal brings its own force constants, modes and spectrum, which stand in the place of
    those of its pressure. One that is not cured keeps the phonons that it had, and has no spectrum.
    """

    def _awaits_cure(self, index: int, node: orm.ProcessNode) -> bool:
        """Whether the phonons at a pressure have imaginary modes that are to be cured."""
        summary = node.outputs.summary if 'summary' in node.outputs else None
        if summary is None or not summary['imaginary']:
            return False
        cured = 'cure' in self.inputs
        self.report(
            f'{self.ctx.pressures[index]:g} GPa: imaginary modes, down to '
            f'{summary["min_frequency_per_cm"]:.1f} 1/cm; '
            + ('a cure is tried' if cured else 'the policy of the spectrum is what meets them')
        )
        return cured

    def has_unstable(self) -> bool:
        """Whether there are crystals to be cured."""
        return bool(self.ctx.unstable)

    def run_cure(self) -> None:
        """Try to cure them, each up to its spectrum."""
        self.ctx.cures = []
        for index in self.ctx.unstable:
            key = pressure_key(index)
            inputs = self.exposed_inputs(CureWorkChain, 'cure', agglomerate=False)
            inputs['phonons'] = self.exposed_inputs(MacePhononsWorkChain, 'mace_phonons')
            inputs['ins'] = self.exposed_inputs(InsWorkChain, 'ins')
            inputs['structure'] = self.ctx.mace_scan.outputs.structures[key]
            inputs['pressure'] = orm.Float(self.ctx.pressures[index])
            inputs['model'] = self.ctx.model
            set_link_label(inputs, f'cure_{key}')
            self.to_context(cures=append_(self.submit(CureWorkChain, **inputs)))

    def inspect_cure(self) -> None:
        """Take what was cured, and say what was not."""
        for (index, phonons), node in zip(self.ctx.unstable.items(), self.ctx.cures, strict=True):
            key, where = pressure_key(index), f'{self.ctx.pressures[index]:g} GPa'
            self._take(node, {'report': f'cure.reports.{key}'})
            found = node.outputs.report.get_dict() if 'report' in node.outputs else {}
            for sentence in found.get('sentences', []):
                self.report(f'{where}: {sentence}')
            if not found.get('cured'):
                self._take_phonons('mace', phonons, index)
                self._note_missing(node, f'the cure of the imaginary modes at {where}')
                continue
            places = {'structure': 'cure.structures', 'intensities': 'intensities'}
            places |= {'spectrum': 'spectra', **phonon_places('mace')}
            self._take(node, {name: f'{place}.{key}' for name, place in places.items()})
            self.report(f'{where}: cured; {self._about(index, node.outputs.structure)}')
            self._note_missing(node, f'the spectrum of the cured crystal at {where}')

    def _take_phonons(self, engine: str, node: orm.ProcessNode, index: int) -> None:
        """Take over what a phonon workchain made at one pressure."""
        key = pressure_key(index)
        places = phonon_places(engine)
        self._take(node, {name: f'{place}.{key}' for name, place in places.items()})
        self._note_missing(node, f'the phonons of {engine} at {self.ctx.pressures[index]} GPa')

    def _about(self, index: int, cured: orm.StructureData) -> str:
        """Return in words what stands in the place of the relaxed crystal."""
        given = self.ctx.mace_scan.outputs.structures[pressure_key(index)]
        numbers = [len(structure.sites) for structure in (given, cured)]
        words = f'force constants and spectrum are of the crystal <{cured.pk}>'
        if numbers[0] == numbers[1]:
            return words
        return (
            f'{words}, whose cell has {numbers[1]} atoms and not {numbers[0]}: its modes have no '
            'partners at the other pressures, and the tables are without it'
        )


def phonon_places(engine: str) -> dict[str, str]:
    """Return where the chain puts the outputs of phonons, by name."""
    places = {'force_constants': 'force_constants', 'modes': 'modes', 'summary': 'phonons'}
    return {name: f'{engine}.{place}' for name, place in places.items()}
