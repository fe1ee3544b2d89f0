"""The report of molecular dynamics: page, figure of each run, series and numbers as data."""

import csv
import json

import pytest
from aiida import orm
from moving import series
from pw_mocks import finished

from aiida_mlip_ins.calculations.functions.md import collect_verdicts
from aiida_mlip_ins.cli.report import write
from aiida_mlip_ins.workflows.md_stability import MdStabilityWorkChain
from aiida_mlip_ins.workflows.protocols import load_protocol

pytestmark = pytest.mark.usefixtures('aiida_profile')
NUMBERS = {
    'simulated_ps': 1.0, 'temperature_k': 301.5, 'pressure_gpa': 1.47, 'volume_change': 0.012,
    'conserved_drift_mev_per_atom_ps': None, 'rmsd_angstrom': {'H': 0.21, 'O': 0.11},
    'broken_bonds': [], 'formed_bonds': [],
}  # fmt: skip
EARLY = {name: NUMBERS[name] for name in ('broken_bonds', 'formed_bonds')}


def run_verdict(pressure, verdict, numbers, *reasons):
    return orm.Dict(
        {
            'temperature_asked_k': 300.0, 'pressure_asked_gpa': pressure, 'verdict': verdict,
            'reasons': list(reasons), 'numbers': numbers,
        }
    )  # fmt: skip


def analysis_node():
    node = orm.ArrayData()
    for name, values in series().items():
        node.set_array(name, values)
    return node.store()


def stability_node(verdicts, exit_status=0):
    criteria = orm.Dict(load_protocol('md', 'fast')['criteria'])
    outputs = {'verdict': collect_verdicts(orm.List([]), **verdicts)} if verdicts else {}
    outputs |= {f'analyses.{key}': analysis_node() for key in verdicts}
    return finished(MdStabilityWorkChain, outputs, exit_status, inputs={'criteria': criteria})


def test_report_of_runs(tmp_path):
    verdicts = {
        'pressure_0_temperature_0': run_verdict(
            0.0, 'unstable', {**EARLY, 'simulated_ps': 0.24, 'rmsd_angstrom': {}},
            'the volume had changed by +50 % at 0.2405 ps',
        ),
        'pressure_1_temperature_0': run_verdict(1.5, 'stable', NUMBERS, 'all held'),
    }  # fmt: skip
    page, said = write(stability_node(verdicts), tmp_path / 'new')
    assert said.startswith('unstable\n300 K, 0 GPa: the volume had changed by +50 %')
    assert 'all held' not in said
    content = page.read_text()
    assert '<span class="down">unstable</span>' in content
    for key in verdicts:
        assert (page.parent / f'run_{key}.png').read_bytes().startswith(b'\x89PNG')
        assert f'href="series_{key}.csv"' in content
    with (page.parent / 'series_pressure_1_temperature_0.csv').open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 101
    assert next(iter(rows[0])) == 'time'
    assert float(rows[5]['temperature']) == series()['temperature'][5]
    assert not [name for name in rows[0] if name.startswith(('rdf', 'dos'))]
    table = json.loads((page.parent / 'table.json').read_text())
    assert table['runs']['pressure_1_temperature_0']['numbers'] == NUMBERS


def test_report_of_a_test_that_failed(tmp_path):
    page, said = write(stability_node({}, 401), tmp_path)
    assert 'There is no verdict' in page.read_text()
    assert said
