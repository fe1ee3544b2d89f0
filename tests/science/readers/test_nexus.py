"""NeXus files, written here with h5py as Mantid's SaveNexusProcessed and SaveNXSPE write them."""

import h5py
import numpy as np
import pytest

from aiida_mlip_ins.science.readers import ReadSettings, read_file
from aiida_mlip_ins.science.units import PER_CM_PER_MEV

EDGES = np.array([10.0, 20.0, 40.0, 50.0])
VALUES = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def add_workspace(
    file, number=1, axis=EDGES, units='DeltaE_inWavenumber', values=VALUES, distribution=b'0',
    names=None,
):  # fmt: skip
    """Write one workspace; strings are padded bytes, as the NeXus library has them."""
    entry = file.create_group(f'mantid_workspace_{number}')
    entry.attrs['NX_class'] = np.bytes_('NXentry')
    entry['title'] = np.array([b'hexane 10 K'])
    entry['workspace_name'] = np.array([b'hexane'])
    entry.create_group('instrument')['name'] = np.array([b'TOSCA'])
    group = entry.create_group('workspace')
    group['values'], group['errors'] = values, 0.1 * values
    group['values'].attrs['units'] = np.bytes_('Counts')
    group['axis1'] = axis
    if units is not None:
        group['axis1'].attrs['units'] = np.bytes_(units)
    group['axis1'].attrs['distribution'] = np.bytes_(distribution)
    if names is None:
        group['axis2'] = np.arange(1.0, len(values) + 1)
        group['axis2'].attrs['units'] = np.bytes_('spectraNumber')
    else:
        text = ''.join(f'{name}\n' for name in names).encode()
        group['axis2'] = np.frombuffer(text, dtype='S1')
        group['axis2'].attrs['units'] = np.bytes_('TextAxis')
    return entry


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file of workspaces and returns its path."""

    def make(*workspaces):
        path = tmp_path / 'x.nxs'
        with h5py.File(path, 'w') as file:
            for keywords in workspaces:
                add_workspace(file, **keywords)
        return path

    return make


def refused(path, settings=None) -> str:
    with pytest.raises(ValueError, match=path.name) as caught:
        read_file(path, settings or ReadSettings())
    return str(caught.value)


def test_histogram_of_counts_in_wavenumbers(write):
    found = read_file(write({}), ReadSettings())
    assert (found.kind, found.density) == ('histogram', False)
    assert found.energy.tolist() == EDGES.tolist()
    assert found.intensity.tolist() == VALUES.tolist()
    assert found.errors == pytest.approx(0.1 * VALUES)
    assert found.labels == ('spectrum 1', 'spectrum 2')
    assert found.title == 'hexane 10 K'
    assert found.intensity_unit == 'Counts'
    assert found.metadata['instrument'] == 'TOSCA'


def test_points_in_mev_with_named_spectra(write):
    path = write({'axis': EDGES[:3], 'units': 'DeltaE', 'names': ['forward', 'backward']})
    found = read_file(path, ReadSettings())
    assert (found.kind, found.density) == ('points', True)
    assert found.energy == pytest.approx(EDGES[:3] * PER_CM_PER_MEV)
    assert found.intensity.tolist() == VALUES.tolist()
    assert found.labels == ('forward', 'backward')


def test_a_density_per_mev_becomes_one_per_wavenumber(write):
    found = read_file(write({'units': 'DeltaE', 'distribution': b'1'}), ReadSettings())
    assert found.density
    area = (found.intensity * np.diff(found.energy)).sum(axis=1)
    assert area == pytest.approx((VALUES * np.diff(EDGES)).sum(axis=1))
    assert found.errors == pytest.approx(0.1 * found.intensity)


def test_some_of_the_spectra(write):
    found = read_file(write({}), ReadSettings(spectra=[1]))
    assert found.intensity.tolist() == [[4, 5, 6]]
    assert found.labels == ('spectrum 2',)


def test_ragged_axes(write):
    path = write({'axis': np.array([EDGES, EDGES + 1])})
    assert 'different energy axes' in refused(path)
    found = read_file(path, ReadSettings(spectra=[1]))
    assert found.energy.tolist() == (EDGES + 1).tolist()


def test_several_workspaces(write):
    path = write({}, {'number': 3, 'values': 2 * VALUES})
    assert 'give `workspace`, one of 1, 3' in refused(path)
    found = read_file(path, ReadSettings(workspace=3))
    assert found.intensity.tolist() == (2 * VALUES).tolist()
    assert 'there is no workspace 2, only 1, 3' in refused(path, ReadSettings(workspace=2))


def test_units(write):
    assert "the axis is 'TOF', no energy transfer" in refused(write({'units': 'TOF'}))
    path = write({'units': None})
    assert 'does not say the unit' in refused(path)
    assert read_file(path, ReadSettings(units='1/cm')).energy[0] == 10.0
    path = write({'units': 'DeltaE'})
    assert 'are in meV, but 1/cm is declared' in refused(path, ReadSettings(units='1/cm'))


def test_broken_arrays(write, tmp_path):
    values = VALUES.copy()
    values[0, 1] = np.nan
    assert 'not finite' in refused(write({'values': values}))
    assert '7 energies do not fit 3 values' in refused(write({'axis': np.arange(7.0) + 10}))
    path = tmp_path / 'y.nxs'
    with h5py.File(path, 'w') as file:
        file.create_group('raw_data_1')
    assert 'no group `mantid_workspace_N`, only raw_data_1' in refused(path)
    with h5py.File(path, 'w') as file:
        file.create_group('mantid_workspace_1').create_group('event_workspace')
    assert 'there is no spectrum in it (event_workspace)' in refused(path)


@pytest.mark.parametrize('share', [0.5, 0.9])
def test_a_truncated_file(write, tmp_path, share):
    content = write({}).read_bytes()
    path = tmp_path / 'cut.nxs'
    path.write_bytes(content[: int(share * len(content))])
    assert 'truncated or damaged' in refused(path)


@pytest.fixture
def nxspe(tmp_path):
    """Return a function that writes an nxspe file and returns its path."""

    def make(values=VALUES, errors=None, units='meV'):
        path = tmp_path / 'x.nxspe'
        with h5py.File(path, 'w') as file:
            entry = file.create_group('run_5')
            entry['definition'] = np.array([b'NXSPE'])
            info = entry.create_group('NXSPE_info')
            info['fixed_energy'] = np.array([100.0])
            data = entry.create_group('data')
            data['energy'] = EDGES
            if units:
                data['energy'].attrs['units'] = np.bytes_(units)
            data['data'] = values
            data['error'] = 0.1 * values if errors is None else errors
            data['polar'] = np.array([20.0, 30.0])
        return path

    return make


def test_nxspe(nxspe):
    found = read_file(nxspe(), ReadSettings())
    assert (found.kind, found.density) == ('histogram', True)
    assert found.energy == pytest.approx(EDGES * PER_CM_PER_MEV)
    assert found.intensity == pytest.approx(VALUES / PER_CM_PER_MEV)
    assert found.labels == ('detector 0, 20 degrees', 'detector 1, 30 degrees')
    assert found.metadata['fixed_energy_mev'] == [100.0]
    assert found.metadata['format'] == 'nxspe'


@pytest.mark.parametrize('flag', [np.nan, -1e30])
def test_masked_detectors_are_left_out(nxspe, flag):
    values = VALUES.copy()
    values[0] = flag
    errors = 0.1 * VALUES
    errors[0] = 0
    found = read_file(nxspe(values, errors), ReadSettings())
    assert found.intensity == pytest.approx(VALUES[1:] / PER_CM_PER_MEV)
    assert found.labels == ('detector 1, 30 degrees',)
    assert found.metadata['masked_detectors'] == 1
    values[:] = flag
    assert 'all detectors are masked' in refused(nxspe(values, 0 * errors))


def test_nxspe_without_a_unit_or_with_some_nan(nxspe):
    assert 'does not say the unit' in refused(nxspe(units=None))
    values = VALUES.copy()
    values[0, 0] = np.nan
    assert 'not finite' in refused(nxspe(values, 0.1 * VALUES))
