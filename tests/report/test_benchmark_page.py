"""The report of a benchmark: table in three forms, one figure, one page."""

import csv
import json

import pytest
from aiida import orm
from pw_mocks import finished

from aiida_mlip_ins.report.benchmark_page import text_of, write_benchmark_report
from aiida_mlip_ins.report.figures_benchmark import benchmark
from aiida_mlip_ins.science.benchmark import lines
from aiida_mlip_ins.workflows.benchmark import BenchmarkWorkChain


def row(model, pressure, status='done', r_squared=None, **changes):
    agreement = [] if r_squared is None else [
        {
            'reference': 'experiment', 'low_per_cm': low, 'high_per_cm': low + 540.0,
            'r_squared': r_squared, 'wasserstein_per_cm': 12.0 if r_squared > 0.5 else 50.0,
            'similarity': 0.9, 'reduced_chi_square': None, 'scale': 1.0, 'peaks_found': 3,
            'peaks_missing': 1, 'peaks_extra': 0, 'peak_shift_per_cm': 5.0,
        }
        for low in (60.0, 600.0)
    ]  # fmt: skip
    known = status == 'done'
    return {
        'crystal': 'hexane', 'model': model, 'pressure_gpa': pressure, 'status': status,
        'reason': None if known else f'it is {status}', 'relaxed': known or None,
        'volume_angstrom3': 158.0 if known else None,
        'volume_change_percent': -0.7 if known else None, 'spacegroup': 'P-1 (2)',
        'min_frequency_per_cm': 30.0 if known else None, 'imaginary': False if known else None,
        'cost_s': {'relaxation': 1.0, 'forces': 2.0, 'spectrum': 3.0, 'total': 6.0},
        'agreement': agreement, **changes,
    }  # fmt: skip


ROWS = [
    row('mine', 0.0, r_squared=0.81),
    row('mine', 1.5),
    row('mp', 0.0, r_squared=0.38, imaginary=True, min_frequency_per_cm=-12.0),
    row('mp', 1.5, 'not relaxed'),
    row('small', 0.0, 'failed'),
    row('small', 1.5, 'failed'),
]


@pytest.fixture
def written(aiida_profile, tmp_path):
    node = finished(BenchmarkWorkChain, {'table': orm.Dict({'rows': ROWS, 'units': {}})}, 405)
    page, text = write_benchmark_report(node, tmp_path / 'new')
    return page, text


def test_table_in_three_forms(written):
    page, text = written
    folder = page.parent
    content = json.loads((folder / 'table.json').read_text())
    assert content['rows'] == ROWS
    assert content['exit_message'] == 'it failed'
    with (folder / 'table.csv').open() as handle:
        found = list(csv.DictReader(handle))
    assert len(found) == len(lines(ROWS)) == 8
    assert found[0]['r_squared'] == '0.81'
    assert found[2]['r_squared'] == ''
    assert (folder / 'table.txt').read_text() == text + '\n'
    assert '60-600' in text
    assert '3 of 4' in text
    assert 'hexane with mp at 1.5 GPa, not relaxed: it is not relaxed' in text
    assert 'mine is best of 2 with R2 0.810' in text


def test_page_has_the_figure_and_what_is_missing(written):
    page, _ = written
    content = page.read_text()
    assert (page.parent / 'benchmark.png').read_bytes().startswith(b'\x89PNG')
    assert 'data:image/png;base64' in content
    assert 'There are gaps' in content
    assert 'hexane with small at 0 GPa, failed: it is failed' in content


def test_figure_says_how_far_models_got():
    figure = benchmark(lines(ROWS))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ['not relaxed at 1.5 GPa', 'failed']
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ['0 GPa', '1.5 GPa']
    assert len(labels) == 4


def test_a_table_without_numbers_and_none_at_all(aiida_profile, tmp_path):
    assert benchmark(lines([row('mine', 0.0, 'not applicable', cost_s={'total': None})])).axes
    node = finished(BenchmarkWorkChain, status=405)
    page, text = write_benchmark_report(node, tmp_path)
    assert text == text_of([], node) == 'it failed'
    assert 'There is no table' in page.read_text()
