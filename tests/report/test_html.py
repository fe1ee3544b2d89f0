"""The page: self-contained, complete, and honest about what is missing."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import pytest
from aiida import orm
from report.synthetic import build_run

from aiida_mlip_ins.report.html import write_report
from aiida_mlip_ins.report.page import fixed

FIGURES = {
    'spectra', 'spectra_low', 'spectra_parts', 'mode_shifts', 'gamma', 'volumes', 'parity',
    'learning_curve', 'cold_curve', 'time',
}  # fmt: skip
VOID = {'meta', 'img', 'br', 'link'}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects what is loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.external: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.scripts += tag == 'script'
        source = dict(attrs).get('src') or (dict(attrs).get('href') if tag == 'link' else None)
        if source and not source.startswith('data:'):
            self.external.append(source)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope='module')
def run(aiida_profile):
    return build_run()


@pytest.fixture(scope='module')
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp('report') / 'new'
    page = write_report(run, folder)
    assert page == folder / 'report.html'
    return folder


def test_page_has_slopes_of_both_methods(folder):
    page = (folder / 'report.html').read_text()
    assert 'MACE<br>Grüneisen' in page
    assert 'DFT<br>cm⁻¹/GPa' in page
    assert 'measured<br>' not in page


def test_page_has_the_errors_over_the_zone_and_what_was_trained_on(folder):
    page = (folder / 'report.html').read_text()
    zone = page[page.index('<h3>Over the zone</h3>') :].partition('</table>')[0]
    assert '<td>1.5 GPa</td><td>0 0 0.5 (interpolated)</td>' in zone
    assert zone.count('<tr><td>') == 2
    assert '<td class="down">at the edge</td>' in page
    assert '<td class="">inside</td>' in page
    assert '1.5 GPa: at the edge: pressure 1.5.' in page


def test_page_has_the_equation_of_state_and_the_displaced_cells(folder):
    page = (folder / 'report.html').read_text()
    assert 'volume +0.49 %, bulk modulus \u22129.6 %' in page
    table = page[page.index('<h3>Displaced cells</h3>') :].partition('</table>')[0]
    assert '<td class="n">6.5</td><td class="n">17.0</td><td class="n">0.210</td>' in table


def test_page_is_well_formed_and_needs_nothing_else(folder):
    page = Page((folder / 'report.html').read_text())
    assert page.open == []
    assert page.external == []
    assert page.scripts == 0


def test_figures_lie_beside_the_page_and_in_it(folder):
    assert {path.stem for path in folder.glob('*.png')} == FIGURES
    text = (folder / 'report.html').read_text()
    embedded = re.findall(r'data:image/png;base64,([^"]+)', text)
    assert len(embedded) == len(FIGURES)
    files = {path.read_bytes() for path in folder.glob('*.png')}
    assert {base64.b64decode(image) for image in embedded} == files


def test_numbers_on_the_page_are_those_of_the_summary(folder, run):
    numbers = json.loads((folder / 'summary.json').read_text())
    text = (folder / 'report.html').read_text()
    assert f'{numbers["force_mae_mev_per_angstrom"]:.3g} <small>meV/Å</small>' in text
    for point in numbers['pressures']:
        assert f'{point["volume_angstrom3"]:.3f}' in text
    assert f'verdi node show {run.pk}' in text
    for row in run.outputs.comparison.table.get_dict()['rows']:
        assert row['description'] in text
    assert 'What is missing' not in text


def test_spectra_lie_beside_it_as_text(folder, run):
    for index, node in enumerate(run.outputs.spectra.values()):
        lines = (folder / f'spectrum_pressure_{index}.csv').read_text().splitlines()
        assert len([line for line in lines if not line.startswith('#')]) == len(node.energy) + 1


def test_same_run_same_files(folder, run, tmp_path):
    write_report(run, tmp_path)
    for path in folder.glob('*.png'):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


@pytest.mark.parametrize('until', ['reference', 'training'])
def test_a_failed_run_says_what_is_missing(aiida_profile, until, tmp_path):
    text = write_report(build_run(until=until), tmp_path).read_text()
    assert Page(text).open == []
    assert 'What is missing' in text
    assert 'the spectrum at 1.5 GPa' in text
    assert ('the potential' in text.split('Not there')[1].split('</p>')[0]) == (
        until == 'reference'
    )
    assert 'no number' in text


def test_what_was_not_asked_for_is_no_warning(aiida_profile, tmp_path):
    """As with --no-dft-check: a run that ended well has all that it was to make."""
    text = write_report(build_run(until='training', well=True), tmp_path).read_text()
    assert Page(text).open == []
    assert 'What is missing' not in text
    assert 'comparison with DFT' in text.split('Not part of this run: ')[1].split('</p>')[0]


def test_an_excepted_run_says_what_stopped_it(aiida_profile, tmp_path):
    run = build_run(until='training', exception="KeyError: 'structures'")
    text = write_report(run, tmp_path).read_text()
    assert (
        'KeyError: &#39;structures&#39;' in text.split('What is missing')[1].split('</section>')[0]
    )


def test_the_remarks_of_a_spectrum_are_beside_it(folder):
    section = (folder / 'report.html').read_text().split('id="spectra"')[1].split('</section>')[0]
    assert '<p>Spectrum at 1.5 GPa: 2 imaginary modes left out.</p>' in section


@pytest.mark.parametrize(
    'label', ['ReferenceWorkChain', 'MaceTrainCalculation', 'InsWorkChain', 'CompareWorkChain']
)
def test_a_link_alone_has_a_report(run, label, tmp_path):
    link = next(node for node in run.called_descendants if node.process_label == label)
    assert Page(write_report(link, tmp_path).read_text()).open == []


def test_labels_are_escaped(aiida_profile, tmp_path):
    run = build_run(until='reference')
    run.inputs.structure.label = '<script>alert(1)</script>'
    page = Page(write_report(orm.load_node(run.pk), tmp_path).read_text())
    assert page.scripts == 0


def test_fixed():
    assert fixed(None) == '\u2013'
    assert fixed(-1.25, 1, sign=True) == '\u22121.2'
    assert fixed(2.0, 1, sign=True) == '+2.0'


def test_page_has_the_checks_of_the_dataset(folder):
    page = (folder / 'report.html').read_text()
    section = page[page.index('<h2>The dataset</h2>') : page.index('<h2>The potential</h2>')]
    for name in ('split leaks', 'stress consistency', 'reference energies', 'pressures'):
        assert f'<td>{name}</td>' in section
    assert 'compositions of rank' in section
