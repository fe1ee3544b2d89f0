import numpy as np
import pytest
from resins import Instrument

from aiida_mlip_ins.science import instruments
from aiida_mlip_ins.science.instruments import INSTRUMENTS, ConstantQ, limits_of, path_of

PER_MEV = 8.065543937


def wave_vector(energy: float) -> float:
    """Return k in 1/angstrom of a neutron of this energy (1/cm): k = 0.6947 sqrt(E/meV)."""
    return 0.694692 * np.sqrt(energy / PER_MEV)


@pytest.mark.parametrize('bank', ['forward', 'backward'])
def test_momentum_transfer_of_elastic_scattering(bank):
    path = path_of(INSTRUMENTS['TOSCA'], bank, None)
    angle = INSTRUMENTS['TOSCA'].banks[bank].angles[0]
    expected = (2 * wave_vector(32.0) * np.sin(np.radians(angle / 2))) ** 2
    assert path.squared(np.array([0.0]))[0] == pytest.approx([expected], rel=1e-5)
    assert path.shares.tolist() == [1.0]


def test_momentum_transfer_back_and_forward_are_sum_and_difference_of_wave_vectors():
    incident, final = wave_vector(1032.0), wave_vector(32.0)
    energies = np.array([1032.0]), np.array([32.0])
    back = instruments.momentum_transfer_squared(*energies, 180.0)
    forward = instruments.momentum_transfer_squared(*energies, 0.0)
    assert back == pytest.approx([(incident + final) ** 2], rel=1e-5)
    assert forward == pytest.approx([(incident - final) ** 2], rel=1e-5)


def test_direct_geometry_ends_at_the_incident_energy():
    path = path_of(INSTRUMENTS['MARI'], 'all', 800.0)
    energy = np.array([0.0, 400.0, 799.0, 800.0, 900.0])
    squared = path.squared(energy)
    assert path.shares.sum() == pytest.approx(1.0)
    assert (squared[:, :3] > 0).all()
    assert (squared[:, 3:] == 0).all()
    low, high = limits_of(INSTRUMENTS['MARI'], 800.0).squared(energy)
    assert (squared[:, :3] > low[:3]).all()
    assert (squared[:, :3] < high[:3]).all()
    # Elastic scattering at the largest angle: 2 k sin(angle / 2).
    expected = 2 * wave_vector(800.0) * np.sin(np.radians(134.14 / 2))
    assert np.sqrt(high[0]) == pytest.approx(expected, rel=1e-5)


def test_shares_of_angles_are_those_of_the_solid_angle():
    path = path_of(INSTRUMENTS['MARI'], 'all', 800.0)
    mean = path.shares @ np.cos(np.radians(path.angles))
    ends = np.cos(np.radians([3.43, 134.14]))
    assert mean == pytest.approx(ends.mean(), abs=1e-3)


def test_lagrange_is_the_mean_of_its_angles():
    path = path_of(INSTRUMENTS['Lagrange'], 'analyser', None)
    assert path.angles.tolist() == [18.0, 34.0, 50.0, 66.0, 82.0]
    assert path.shares == pytest.approx(np.full(5, 0.2))
    assert path.final_energy == pytest.approx(4.5 * PER_MEV)


def test_constant_q_is_seen_between_the_smallest_and_the_largest_angle():
    limits = limits_of(INSTRUMENTS['SEQUOIA'], 800.0)
    energy = np.linspace(0.0, 790.0, 80)
    low, high = limits.squared(energy)
    squared = ConstantQ(5.0, limits).squared(energy)[0]
    assert set(np.unique(squared)) == {0.0, 25.0}
    assert ((squared > 0) == ((low <= 25.0) & (high >= 25.0))).all()
    assert (ConstantQ(5.0).squared(energy) == 25.0).all()


def test_every_instrument_says_where_its_figures_are_from_and_resins_knows_it():
    known = Instrument.available_instruments()
    # resins 0.1.0 has TOSCA-1 as a version of TOSCA.
    assert set(INSTRUMENTS) - {'TOSCA1'} <= set(known)
    for instrument in INSTRUMENTS.values():
        assert len(instrument.source) > 20
        assert instrument.is_direct == (instrument.final_energy is None)
