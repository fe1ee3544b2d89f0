"""The report of error bands: page, figures, bands and shifts as data."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from aiida import orm
from phonon_nodes import modes_node
from pw_mocks import finished
from spectra_nodes import PEAKS, simulated_node
from springs import dft_modes

from aiida_mlip_ins.calculations.functions.error_bands import (
    input_name,
    shifts_of_members,
    spectra_difference_band,
    spectrum_band,
)
from aiida_mlip_ins.cli.report import write
from aiida_mlip_ins.report.figures_error_bands import member_shifts
from aiida_mlip_ins.workflows.error_bands import ErrorBandsWorkChain
from aiida_mlip_ins.workflows.protocols import load_protocol

PRESSURES = [0.0, 1.5]
MOVED = {'member_0': -2.0, 'member_1': 2.0, 'member_10': 3.0}


def spectra(index):
    return {
        member: simulated_node([place + moved + 6.0 * index for place in PEAKS], PRESSURES[index])
        for member, moved in MOVED.items()
    }


def modes():
    found = {}
    for member, moved in MOVED.items():
        for index, name in enumerate(('0.0', '1.5')):
            own = dft_modes(name)
            scaled = dataclasses.replace(own, frequencies=own.frequencies * (1 + moved / 100))
            found[input_name('modes', member, f'pressure_{index}')] = modes_node(scaled)
    return found


@pytest.fixture
def bands(aiida_profile):
    """Return the node of a run with bands at both pressures, their difference and the table."""
    low, high = spectra(0), spectra(1)
    both = {input_name('low', name): node for name, node in low.items()}
    both |= {input_name('high', name): node for name, node in high.items()}
    outputs = {
        f'bands.pressure_{index}': spectrum_band(
            **{input_name('spectrum', name): node for name, node in own.items()}
        )
        for index, own in enumerate((low, high))
    }
    outputs['differences.pressure_1'] = spectra_difference_band(**both)
    outputs['table'] = shifts_of_members(
        orm.List(PRESSURES), orm.Dict(load_protocol('compare')['parameters']), **modes()
    )
    return finished(ErrorBandsWorkChain, outputs, 405, inputs={'pressures': orm.List(PRESSURES)})


def test_report_in_all_its_parts(bands, tmp_path):
    page, text = write(bands, tmp_path / 'new')
    folder = page.parent
    content = page.read_text()
    assert 'There are gaps' in content
    assert 'matched with the others by their eigenvectors' in content
    for name in ('bands', 'shifts'):
        assert (folder / f'{name}.png').read_bytes().startswith(b'\x89PNG')
    table = json.loads((folder / 'table.json').read_text())
    assert table['members'] == ['member_0', 'member_1', 'member_10']
    with (folder / 'shifts.csv').open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(table['rows']) == 12
    shift = table['rows'][0]['shift_per_cm'][1]
    assert float(rows[0]['spread shift to 1.5 GPa (1/cm)']) == shift['spread']
    assert f'{shift["mean"]:.2f} \u00b1 {shift["spread"]:.2f}' in text
    assert 'median spread of frequencies' in text
    with (folder / 'band_pressure_0.csv').open() as handle:
        rows = list(csv.DictReader(handle))
    node = bands.outputs.bands.pressure_0
    assert [float(row['mean']) for row in rows] == pytest.approx(node.get_array('mean'), rel=1e-6)
    assert float(rows[0]['energy_per_cm']) == 0.5
    assert (folder / 'difference_pressure_1.csv').exists()


def test_members_are_put_together_whatever_their_order(bands):
    # A member's high spectrum less its own low one: peaks have moved by 6 1/cm in each.
    made = bands.outputs.differences.pressure_1
    own = [spectra(1)[name].total() - spectra(0)[name].total() for name in MOVED]
    np.testing.assert_allclose(made.get_array('mean'), np.mean(own, axis=0))
    np.testing.assert_allclose(made.get_array('spread'), np.std(own, axis=0, ddof=1), atol=1e-12)


def test_a_run_that_has_nothing_yet(aiida_profile, tmp_path):
    node = finished(ErrorBandsWorkChain, {}, 401, inputs={'pressures': orm.List(PRESSURES)})
    page, text = write(node, tmp_path)
    assert text == 'it failed'
    assert 'There are no bands' in page.read_text()


def test_bars_of_the_shifts_are_the_calibrated_spreads(bands):
    table = bands.outputs.table.get_dict()
    for row in table['rows']:
        for cell in (*row['frequency_per_cm'], *row['shift_per_cm']):
            cell['calibrated_spread'] = 7.0
    axis = member_shifts(table).axes[0]
    lengths = [
        np.ptp(segment[:, 1])
        for container in axis.containers
        for segment in container.lines[2][1].get_segments()
    ]
    assert lengths == pytest.approx([14.0] * 12)
    table['pressures_gpa'] = [0.0]
    assert member_shifts(table) is None
