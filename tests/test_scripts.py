"""Scripts that have modules beside them find these as `verdi run` runs them, from any folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from aiida.cmdline.commands.cmd_run import run
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ('script', 'beside'),
    [
        ('examples/hexane/run.py', 'study'),
        ('examples/hexane/motion.py', 'study'),
        ('benchmarks/learning_curve.py', 'learning_study'),
        ('benchmarks/foundation.py', 'learning_study'),
    ],
)
def test_modules_are_found(script, beside, aiida_profile, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.delitem(sys.modules, beside, raising=False)
    done = CliRunner().invoke(run, ['--', str(ROOT / script), '--help'])
    assert done.exit_code == 0, done.exception
    assert 'Usage' in done.output
    assert Path(sys.modules[beside].__file__).parent == (ROOT / script).parent
