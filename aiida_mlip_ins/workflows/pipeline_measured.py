"""The part of the whole chain that holds its spectra against measured ones, where it has any."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ToContext

from aiida_mlip_ins.calculations.functions.measured import measured_peaks
from aiida_mlip_ins.science.spectra_set import EXPERIMENT
from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain, validate_inputs
from aiida_mlip_ins.workflows.composition import Composition
from aiida_mlip_ins.workflows.measured_inputs import PORT
from aiida_mlip_ins.workflows.pressures import pressure_key

OURS = 'mace'
"""Role of the chain's own spectra."""
WHAT = 'the comparison with the measured spectra'


class MeasuringChain(Composition):
    """Finds the peaks of measured spectra, for the table of modes, and compares whole spectra.

    One set of settings serves both. Without what was compared the chain still ends, and says so.
    """

    def has_measurements(self) -> bool:
        """Whether there are measured spectra to stand beside the computed ones."""
        return bool(self.inputs.get('measured'))

    def find_measured_peaks(self) -> None:
        """Find the peaks of the measured spectra."""
        for key, spectrum in self.inputs.measured.items():
            peaks, node = measured_peaks.run_get_node(
                spectrum,
                self.inputs[PORT].settings,
                metadata={'call_link_label': f'measured_peaks_{key}'},
            )
            if node.is_finished_ok:
                self.out(f'peaks.{key}', peaks)
            self._note_missing(node, f'the measured peaks of {key}')

    def run_compare_spectra(self) -> ToContext | None:
        """Compare the spectra that there are with the measured ones."""
        inputs = self.exposed_inputs(CompareSpectraWorkChain, PORT)
        inputs.update(self._spectra())
        refused = validate_inputs(inputs, None)
        if refused:
            self._lack(f'{WHAT}: {refused}')
            return None
        return self._submit(PORT, CompareSpectraWorkChain, inputs)

    def inspect_compare_spectra(self) -> None:
        """Take what was compared, and say the verdict."""
        node = self.ctx.get(PORT)
        if node is None:
            return
        outputs = self.exposed_outputs(node, CompareSpectraWorkChain, 'agreement')
        self.out_many(outputs)
        verdict = outputs.get('agreement.verdict')
        for sentence in verdict['sentences'] if verdict is not None else ():
            self.report(sentence)
        self._note_missing(node, WHAT)

    def _spectra(self) -> dict[str, Any]:
        """Return measured and computed spectra, and what is to be said of them."""
        computed = self.outputs.get('spectra', {})
        spectra, said = {}, {}
        for index, pressure in enumerate(self.ctx.pressures):
            key = pressure_key(index)
            for role, nodes in ((EXPERIMENT, self.inputs.measured), (OURS, computed)):
                if key in nodes:
                    label = f'{role}_{index}'
                    spectra[label] = nodes[key]
                    said[label] = {'role': role, 'pressure_gpa': pressure}
        return {'spectra': spectra, 'about': orm.Dict({'spectra': said})}
