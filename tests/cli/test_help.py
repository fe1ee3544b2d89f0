"""Help is instant because nothing heavy is imported for it; measured by what is imported."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from aiida_mlip_ins.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    status = ended.code
heavy = ('aiida', 'numpy', 'scipy', 'ase', 'matplotlib', 'psutil')
print(json.dumps([status, [name for name in heavy if name in sys.modules]]), file=sys.stderr)
"""
COMMANDS = [
    [],
    ['setup'],
    ['demo'],
    ['launch'],
    ['launch', 'chain'],
    ['launch', 'phonons'],
    ['status'],
    ['report'],
    ['export'],
    ['benchmark'],
    ['import-spectrum'],
    ['compare-spectra'],
    ['compare-labels'],
]


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_help_imports_nothing_heavy(words):
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, *words, '--help'], capture_output=True, text=True
    )
    status, imported = json.loads(done.stderr.splitlines()[-1])
    assert status == 0
    assert imported == []
    assert 'Usage:' in done.stdout


def test_every_link_of_the_chain_has_a_subcommand():
    from aiida_mlip_ins.cli.launch import launch

    assert set(launch.commands) >= {
        'chain',
        'reference',
        'pw-pressure-scan',
        'train',
        'committee',
        'bands',
        'active-learning',
        'evaluate',
        'inspect-model',
        'fetch-model',
        'mace-pressure-scan',
        'phonons',
        'ins',
        'md-ins',
        'md-stability',
        'cure',
        'compare',
    }
