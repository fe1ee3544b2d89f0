import numpy as np
import pytest

from aiida_mlip_ins.science import broadening
from aiida_mlip_ins.science.broadening import ResolutionSettings

TOSCA = ResolutionSettings('TOSCA', 'AbINS', {})


def test_tosca_has_the_width_that_abins_uses():
    energy = np.array([0.0, 500.0, 1200.0, 3600.0])
    expected = 2.5 + 0.005 * energy + 1e-7 * energy**2
    assert broadening.sigma(TOSCA, energy) == pytest.approx(expected, rel=1e-9)
    assert any('Dymkowski' in item for item in broadening.citation(TOSCA))


@pytest.mark.parametrize('bin_width', [0.5, 1.0, 5.0])
def test_area_is_conserved_also_at_the_ends(bin_width):
    edges = np.arange(0, 1000 + bin_width / 2, bin_width)
    intensity = np.random.default_rng(3).random((3, len(edges) - 1))
    widths = broadening.sigma(TOSCA, (edges[1:] + edges[:-1]) / 2)
    broad = broadening.broaden(edges, intensity, widths)
    assert broad.sum(axis=1) == pytest.approx(intensity.sum(axis=1), rel=1e-12)
    assert (broad >= 0).all()


def test_a_line_becomes_a_gaussian_of_the_width_at_its_energy():
    edges = np.arange(0.0, 2001.0)
    centres = edges[:-1] + 0.5
    for energy in (200, 1500):
        line = np.zeros((1, 2000))
        line[0, energy] = 1.0
        widths = broadening.sigma(TOSCA, centres)
        broad = broadening.broaden(edges, line, widths)[0]
        mean = broad @ centres
        assert mean == pytest.approx(centres[energy], abs=1e-9)
        spread = np.sqrt(broad @ (centres - mean) ** 2)
        # A bin is 1/cm wide itself, which adds a twelfth to the variance.
        assert spread == pytest.approx(np.sqrt(widths[energy] ** 2 + 1 / 12), rel=1e-4)


def test_sharp_lines_become_as_wide_as_those_that_have_a_width():
    edges = np.arange(0.0, 1001.0)
    centres = edges[:-1] + 0.5
    rows = [{'order': 1}, {'order': 2}, {}]
    sharp = np.zeros((3, 1000))
    sharp[0, 100] = sharp[1, 700] = 1.0
    sharp[2] = sharp[0] + sharp[1]
    widths = 2.0 + 0.02 * centres
    # 6 1/cm are wider than the resolution at 100 1/cm, 6 sqrt(2) narrower than that at 700 1/cm
    had = np.zeros_like(sharp)
    for index in (0, 1):
        width = np.full(1000, 6.0 * np.sqrt(index + 1))
        had[index] = broadening.broaden(edges, sharp[index][None], width)[0]
    had[2] = had[0] + had[1]
    one = broadening.broaden_lines(edges, rows, had, widths, 6.0)
    other = broadening.broaden_alike(edges, rows, sharp, widths, 6.0)
    # widths are taken at each bin of a line, or at its middle
    assert np.abs(one - other).max() < 0.02 * one.max()
    for index, width in ((0, 6.0), (1, 16.01)):
        mean = other[index] @ centres
        assert np.sqrt(other[index] @ (centres - mean) ** 2) == pytest.approx(width, rel=2e-3)


def test_a_width_far_below_a_bin_changes_nothing():
    edges = np.arange(0.0, 101.0)
    intensity = np.random.default_rng(4).random((2, 100))
    found = broadening.broaden(edges, intensity, np.full(100, 1e-3))
    assert found == pytest.approx(intensity, rel=1e-9)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (ResolutionSettings('VISION', 'oclimax', {}), "has no model 'oclimax' (valid: OCLIMAX"),
        (ResolutionSettings('VISION', 'OCLIMAX', {'e_init': 3.0}), "unknown key 'e_init'"),
        (ResolutionSettings('TFXA', 'polynomial', {}), "'coefficients' must be a list"),
        (ResolutionSettings('TFXA', 'polynomial', {'coefficients': ['x']}), 'finite numbers'),
        (ResolutionSettings('TOSKA', 'AbINS', {}), "did you mean 'TOSCA'"),
        (ResolutionSettings('TFXA', 'AbINS', {}), "TFXA has no model 'AbINS' (valid: book"),
        (ResolutionSettings('TOSCA1', 'boek', {}), "did you mean 'book'"),
        (ResolutionSettings('TOSCA1', 'book', {'e_init': 3.0}), "unknown key 'e_init'"),
        (ResolutionSettings('TOSCA2', 'book', {}), "unknown 'TOSCA2'"),
        (ResolutionSettings('TOSCA', 'abins', {}), "has no model 'abins' (valid: AbINS"),
        (ResolutionSettings('TOSCA', 'AbINS', {'e_init': 3.0}), "unknown key 'e_init'"),
        # resins 0.1.0 has the model but cannot evaluate it.
        (ResolutionSettings('TOSCA', 'book', {}), 'resins refuses'),
        (ResolutionSettings('IDEAL', 'triangle', {'fwhm': 1.0}), 'not a Gaussian'),
    ],
)
def test_what_resins_cannot_do_is_said_before(settings, message):
    assert message in '\n'.join(broadening.resolution_problems(settings, 'resolution'))


@pytest.mark.parametrize(('name', 'expected'), [('TFXA', 12.4), ('TOSCA1', 9.03)])
def test_the_ancestors_of_tosca_have_a_width(name, expected):
    settings = ResolutionSettings(name, 'book', {})
    assert broadening.resolution_problems(settings, 'resolution') == []
    assert broadening.sigma(settings, np.array([1000.0])) == pytest.approx([expected], rel=2e-3)
    assert 'Vibrational Spectroscopy with Neutrons' in broadening.citation(settings)[0]


def test_polynomials_where_resins_has_none():
    energy = np.array([0.0, 1000.0])
    vision = ResolutionSettings('VISION', 'OCLIMAX', {})
    assert broadening.resolution_problems(vision, 'resolution') == []
    assert broadening.sigma(vision, energy) == pytest.approx([2.5, 7.6])
    assert 'OCLIMAX' in broadening.citation(vision)[0]
    own = ResolutionSettings('TFXA', 'polynomial', {'coefficients': [3.0, 0.01]})
    assert broadening.resolution_problems(own, 'resolution') == []
    assert broadening.sigma(own, energy) == pytest.approx([3.0, 13.0])
    assert broadening.citation(own) == []
    falling = ResolutionSettings('TFXA', 'polynomial', {'coefficients': [3.0, -0.01]})
    with pytest.raises(ValueError, match='not positive'):
        broadening.sigma(falling, energy)


@pytest.mark.parametrize(
    'name', ['MAPS', 'MARI', 'MERLIN', 'LET', 'ARCS', 'SEQUOIA', 'CNCS', 'PANTHER']
)
def test_direct_geometry_has_a_width_below_its_incident_energy(name):
    model = 'AbINS' if name == 'PANTHER' else 'PyChop_fit'
    incident = 20.0 if name in ('LET', 'CNCS') else 100.0
    settings = ResolutionSettings(name, model, {'e_init': incident})
    assert broadening.resolution_problems(settings, 'resolution') == []
    widths = broadening.sigma(settings, np.linspace(0.0, 7.0 * incident, 15))
    assert (widths > 0).all()


def test_what_resins_can_do_has_no_problem():
    assert broadening.resolution_problems(TOSCA, 'resolution') == []
    copper = ResolutionSettings('Lagrange', 'AbINS', {'monochromator': 'Cu(331)'})
    assert broadening.resolution_problems(copper, 'resolution') == []
    fixed = ResolutionSettings('IDEAL', 'gaussian', {'sigma': 1.0})
    assert broadening.resolution_problems(fixed, 'resolution') == []
    assert broadening.sigma(fixed, np.array([5.0, 500.0])) == pytest.approx(8.0655439, rel=1e-6)


def test_lines_with_a_width_get_that_of_the_resolution():
    """Gaussians of 4 and, of two quanta, of 4 sqrt(2) become those of the resolution, and sums."""
    edges = np.arange(0.0, 1001.0)
    centres = edges[:-1] + 0.5
    rows = [{'order': 1}, {'order': 2}, {}]
    line = [np.exp(-0.5 * ((centres - 500.0) / (4.0 * np.sqrt(n))) ** 2) for n in (1, 2)]
    widths = np.full(1000, 7.0)
    found = broadening.broaden_lines(edges, rows, np.array([*line, sum(line)]), widths, 4.0)
    for values in found[:2]:
        spread = np.sqrt(values @ (centres - 500.0) ** 2 / values.sum())
        assert spread == pytest.approx(7.0, rel=2e-3)
    assert found[2] == pytest.approx(found[0] + found[1])
    wide = broadening.broaden_lines(edges, rows[:1], line[0][None], widths, 9.0)
    assert wide[0] == pytest.approx(line[0], rel=1e-9)
