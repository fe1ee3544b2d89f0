"""`compare-labels`: nodes and files side by side, and every problem at once."""

from __future__ import annotations

import ase.io
from click.testing import CliRunner

from aiida_mlip_ins.cli.main import main
from aiida_mlip_ins.data.frames import DatasetData


def labelled(brucite, force: float) -> list:
    frame = brucite.copy()
    frame.info.update(REF_energy=-100.0, REF_stress=[0.0] * 6, source='rattle')
    frame.arrays['REF_forces'] = 0.0 * frame.positions + force
    return [frame]


def test_a_node_and_a_file_are_compared(aiida_profile, brucite, tmp_path):
    high = DatasetData.from_frames(labelled(brucite, 0.1), 'pw.x 100 Ry').store()
    low = tmp_path / 'low.xyz'
    ase.io.write(low, labelled(brucite, 0.15))
    result = CliRunner().invoke(main, ['compare-labels', str(high.pk), str(low)])
    assert result.exit_code == 0, result.output
    first, _, _, _, row = result.output.splitlines()
    assert first == f'1 frame, against {high.pk} (pw.x 100 Ry):'
    assert row.split() == [str(low), '-', '50', '50', '0', '0', 'low.xyz']


def test_what_cannot_be_compared_is_refused(aiida_profile, brucite):
    one = DatasetData.from_frames(labelled(brucite, 0.1), 'pw.x').store()
    two = DatasetData.from_frames(labelled(brucite, 0.1) * 2, 'pw.x').store()
    result = CliRunner().invoke(main, ['compare-labels', str(one.pk)])
    assert result.exit_code == 2
    assert 'at least one other' in result.output
    result = CliRunner().invoke(main, ['compare-labels', str(one.pk), str(two.pk)])
    assert result.exit_code == 2
    assert f'{two.pk}: 2 frames, but 1 in the first set' in result.output
