import shutil
from pathlib import Path

import pytest
import yaml

from aiida_mlip_ins.cli import pseudos
from aiida_mlip_ins.cli.environments import REQUIREMENTS
from aiida_mlip_ins.workflows.protocols import load_protocol


@pytest.fixture
def upf_folder():
    folder = Path(__file__).parents[2] / '.envs/pseudos/upf'
    if not folder.is_dir():
        pytest.skip('no pseudopotentials: run `make`')
    return folder


def hints():
    return yaml.safe_load((REQUIREMENTS / 'cutoffs.yaml').read_text())


def test_hints_rise_from_low_to_high():
    assert len(hints()) == 72
    for element, (low, normal, high) in hints().items():
        assert 10 < low < normal < high < 70, element


def test_every_pseudopotential_has_a_hint(upf_folder):
    assert {path.stem for path in upf_folder.glob('*.upf')} == set(hints())


def test_family_has_the_hints_as_cutoffs_in_rydberg(upf_folder, tmp_path, aiida_profile_clean):
    chosen = tmp_path / 'upf'
    chosen.mkdir()
    for element in ('H', 'O'):
        shutil.copy(upf_folder / f'{element}.upf', chosen)
    family = pseudos.install_family(chosen, 'two')
    assert pseudos.find_family('two').pk == family.pk
    assert pseudos.family_labels() == ['two']
    assert family.get_default_stringency() == 'normal'
    # O: 42 Ha for the wavefunctions, four times that for the density
    assert family.get_recommended_cutoffs(elements='O', unit='Ry') == (84.0, 336.0)
    assert family.get_recommended_cutoffs(elements=('H', 'O'), stringency='high', unit='Ry') == (
        96.0,
        384.0,
    )


def test_an_element_without_a_hint_is_refused(upf_folder, tmp_path, aiida_profile_clean):
    chosen = tmp_path / 'upf'
    chosen.mkdir()
    text = (upf_folder / 'H.upf').read_text()
    (chosen / 'Fm.upf').write_text(text.replace('element="H "', 'element="Fm"'))
    with pytest.raises(ValueError, match='no cutoffs are known for Fm'):
        pseudos.install_family(chosen, 'strange')
    assert pseudos.find_family('strange') is None


def test_the_protocols_use_the_family_that_setup_makes():
    assert load_protocol('reference')['pseudo_family'] == pseudos.FAMILY
    assert load_protocol('pw_pressure_scan')['pseudo_family'] == pseudos.FAMILY
