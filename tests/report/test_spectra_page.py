"""The page of compared spectra: complete, self-contained, and honest about what is missing."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from click.testing import CliRunner
from pw_mocks import finished
from report.test_html import Page
from spectra_nodes import PEAKS, measured_node, simulated_node

from aiida_mlip_ins.calculations.functions.measured import compare_with_measurement
from aiida_mlip_ins.cli.main import main
from aiida_mlip_ins.cli.summary_text import summary_text
from aiida_mlip_ins.query.run import Run
from aiida_mlip_ins.query.stages import History
from aiida_mlip_ins.report import figures_spectra
from aiida_mlip_ins.report.content import all_figures
from aiida_mlip_ins.report.html import write_report
from aiida_mlip_ins.report.spectra_page import SpectraRun, figures, write_spectra_report
from aiida_mlip_ins.workflows.compare_spectra import CompareSpectraWorkChain
from aiida_mlip_ins.workflows.md_ins import MdInsWorkChain
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain
from aiida_mlip_ins.workflows.protocols import load_protocol

MOVED = tuple(place + 12 for place in PEAKS)


@pytest.fixture(scope='module')
def node(aiida_profile):
    spectra = {
        'e0': measured_node(),
        'e1': measured_node(places=MOVED, seed=2),
        'm0': simulated_node(),
        'm1': simulated_node(MOVED, 1.5),
        'd0': simulated_node([place + 5 for place in PEAKS], 0.0),
    }
    builder = CompareSpectraWorkChain.get_builder_from_protocol(
        spectra, {'m0': 'mace', 'm1': 'mace', 'd0': 'dft'}, {'e0': 0.0, 'e1': 1.5},
        windows=[[50.0, 850.0], [100.0, 300.0]],
    )  # fmt: skip
    _, made = run_get_node(builder)
    assert made.is_finished_ok, made.exit_message
    return made


@pytest.fixture(scope='module')
def folder(node, tmp_path_factory):
    folder = tmp_path_factory.mktemp('spectra') / 'new'
    assert write_spectra_report(node, folder) == folder / 'report.html'
    return folder


def test_the_page_is_self_contained_and_has_the_verdict(folder, node):
    text = (folder / 'report.html').read_text()
    page = Page(text)
    assert page.open == page.external == []
    assert page.scripts == 0
    assert 'dft, mace against experiment' in text
    assert 'agrees' in text
    assert 'mace describes experiment best' in text
    for name, _ in figures(SpectraRun(node)):
        assert f'{name}.png' in text
        assert (folder / f'{name}.png').read_bytes().startswith(b'\x89PNG')


def test_every_figure_is_there(folder):
    assert {path.stem for path in folder.glob('*.png')} == {
        'spectra', 'overlay_m0', 'overlay_m1', 'overlay_d0', 'differences', 'difference_m1',
        'peak_shifts',
    }  # fmt: skip


def test_data_of_the_figures(folder, node):
    overlay = np.genfromtxt(folder / 'overlay_m0_50-850.csv', delimiter=',', names=True)
    assert overlay.dtype.names == ('energy_per_cm', 'measured', 'error', 'model', 'background')
    assert len(overlay) == 800
    assert overlay['model'] == pytest.approx(overlay['measured'], abs=0.1)
    difference = np.genfromtxt(folder / 'difference_m1_100-300.csv', delimiter=',', names=True)
    assert difference.dtype.names == ('energy_per_cm', 'difference')
    assert difference['energy_per_cm'][np.argmax(difference['difference'])] == pytest.approx(
        PEAKS[0] + 16, abs=8
    )
    with (folder / 'peaks.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]['shift mace 1.5 GPa (1/cm)']) == pytest.approx(12.0, abs=0.1)
    assert rows[0]['dft 1.5 GPa (1/cm)'] == ''
    numbers = json.loads((folder / 'summary.json').read_text())
    assert numbers['verdict'] == node.outputs.verdict.get_dict()


def test_report_command(node, tmp_path, monkeypatch):
    monkeypatch.setattr('aiida_mlip_ins.cli.profile.load', lambda name: None)
    result = CliRunner().invoke(main, ['report', str(node.pk), '-o', str(tmp_path / 'page')])
    assert result.exit_code == 0, result.output
    assert 'mace against experiment at 0 GPa, 50 to 850 1/cm: agrees.' in result.output
    assert (tmp_path / 'page/report.html').is_file()


def test_a_comparison_that_failed_has_a_page(aiida_profile, tmp_path):
    flat = measured_node(scale=0.0, noise=0.0)
    spectra = {'a': flat, 'b': measured_node()}
    builder = CompareSpectraWorkChain.get_builder_from_protocol(
        spectra, {}, {'a': 0.0, 'b': 1.5}, windows=[[50.0, 850.0]]
    )
    _, node = run_get_node(builder)
    assert node.exit_status == 401
    text = write_spectra_report(node, tmp_path).read_text()
    assert 'is flat between 50 and 850 1/cm' in text
    assert 'The comparison ended with an error' in text


def test_curves_of_the_overview_and_of_the_changes():
    energy = np.arange(10.0)
    own = figures_spectra.Trace('experiment', energy, np.ones(10), np.full(10, 0.1))
    other = figures_spectra.Trace('mace', energy, np.zeros(10))
    panel = figures_spectra.Panel('0 GPa', (0.0, 9.0), own, [other])
    colours = figures_spectra.colours_of(['experiment', 'mace', 'dft'], 'experiment')
    assert len(set(colours.values())) == 3
    figure = figures_spectra.overview([panel, panel], colours)
    assert len(figure.axes) == 4
    assert list(figure.axes[1].lines[-1].get_ydata()) == [1.0] * 10
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['experiment', 'mace']
    figure = figures_spectra.changes([panel], colours, 'difference')
    assert figure.axes[0].get_ylabel() == 'difference'
    assert len(figure.axes[0].collections) == 1


def test_the_report_of_the_chain_has_it_and_links_to_it(node, tmp_path):
    made = {
        link.link_label.replace('__', '.'): link.node
        for link in node.base.links.get_outgoing(link_type=LinkType.RETURN)
    }
    chain = finished(
        HighPressureInsWorkChain,
        {f'agreement.{name}': output for name, output in made.items()},
    )
    finished(
        CompareSpectraWorkChain,
        made,
        caller=(chain, 'compare_spectra'),
        inputs={'parameters': node.inputs.parameters},
    )
    text = write_report(chain, tmp_path).read_text()
    page = Page(text)
    assert page.open == page.external == []
    assert 'Against what was measured' in text
    assert '<b>agrees</b>' in text
    assert 'href="measured/report.html"' in text
    assert (tmp_path / 'measured/report.html').is_file()
    for label in ('m0', 'm1', 'd0'):
        assert f'href="measured/overlay_{label}.png"' in text
        assert (tmp_path / f'measured/overlay_{label}.png').is_file()
    numbers = json.loads((tmp_path / 'summary.json').read_text())
    assert len(numbers['measured']['pairs']) == 3
    assert numbers['verdict']['sentences'] == SpectraRun(node).sentences
    assert numbers['verdict']['sentences'][0] in summary_text(numbers)


def test_motion_stands_over_the_harmonic_spectrum(tmp_path):
    settings = load_protocol('agreement')['settings'] | load_protocol('md_ins')['comparison']
    harmonic, motion = simulated_node(), simulated_node([203.0, 398.0])
    settings = orm.Dict({**settings, 'windows': [[50.0, 850.0]]})
    made = compare_with_measurement(harmonic, motion, settings)
    node = finished(MdInsWorkChain, {'harmonic': harmonic, 'spectrum': motion, **made})
    text = write_report(node, tmp_path).read_text()
    assert 'href="anharmonic.png"' in text
    assert '2 of 3 peaks (harmonic) are there in motion' in text
    assert 'The run is scaled by ' in text
    assert (tmp_path / 'spectrum_pressure_0.csv').is_file()
    figure = dict(all_figures(Run(node), History(node), 'title'))['anharmonic']
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ['harmonic', 'molecular dynamics, scaled']
    assert 'background' not in labels
    assert 'barn' in figure.axes[0].get_ylabel()
