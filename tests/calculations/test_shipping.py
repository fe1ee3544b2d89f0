"""What travels with a driver, and the cache version that follows from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aiida_mlip_ins.calculations import shipping

DRIVERS = ('mace_inspect', 'mace_train', 'mace_evaluate', 'mace_relax', 'ins')


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the module look at a copy of the package, which a test may edit."""
    root = tmp_path / 'aiida_mlip_ins'
    shutil.copytree(shipping.ROOT, root, ignore=shutil.ignore_patterns('__pycache__'))
    monkeypatch.setattr(shipping, 'ROOT', root)
    shipping.shipped_files.cache_clear()
    yield root
    shipping.shipped_files.cache_clear()


@pytest.mark.parametrize('driver', DRIVERS)
def test_a_driver_ships_itself_and_what_it_imports(driver: str) -> None:
    files = shipping.shipped_files(driver)
    assert f'aiida_mlip_ins/drivers/{driver}.py' in files
    assert 'aiida_mlip_ins/drivers/common.py' in files
    assert 'aiida_mlip_ins/__init__.py' in files
    assert all(name.split('/')[1] in ('__init__.py', 'drivers', 'science') for name in files)


def test_imports_inside_functions_are_followed() -> None:
    assert 'aiida_mlip_ins/drivers/mace_foundation.py' in shipping.shipped_files('mace_train')
    assert 'aiida_mlip_ins/science/units.py' in shipping.shipped_files('mace_train')
    assert 'aiida_mlip_ins/drivers/mace_train.py' not in shipping.shipped_files('mace_relax')


def test_an_edited_driver_changes_its_checksum(copied: Path) -> None:
    before = {driver: shipping.checksum(driver) for driver in DRIVERS}
    path = copied / 'drivers' / 'mace_relax.py'
    path.write_text(path.read_text() + '\n# edited\n')
    changed = [driver for driver in DRIVERS if shipping.checksum(driver) != before[driver]]
    assert changed == ['mace_relax']


def test_an_edited_import_changes_the_checksum_of_all_that_import_it(copied: Path) -> None:
    before = {driver: shipping.checksum(driver) for driver in DRIVERS}
    path = copied / 'drivers' / 'mace_model.py'
    path.write_text(path.read_text() + '\n# edited\n')
    changed = [driver for driver in DRIVERS if shipping.checksum(driver) != before[driver]]
    assert changed == ['mace_inspect', 'mace_train', 'mace_evaluate', 'mace_relax']


def test_an_edit_elsewhere_changes_nothing(copied: Path) -> None:
    before = [shipping.checksum(driver) for driver in DRIVERS]
    path = copied / 'calculations' / 'base.py'
    path.write_text(path.read_text() + '\n# edited\n')
    assert [shipping.checksum(driver) for driver in DRIVERS] == before
