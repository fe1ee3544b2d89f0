"""What the MACE jobs write, ship and retrieve, and what they refuse before submission."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import ase.io
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_mlip_ins.calculations.functions.selection import select_frames
from aiida_mlip_ins.calculations.mace_describe import MaceDescribeCalculation
from aiida_mlip_ins.calculations.mace_evaluate import MaceEvaluateCalculation
from aiida_mlip_ins.calculations.mace_inspect import MaceInspectCalculation
from aiida_mlip_ins.calculations.mace_md import MaceMdCalculation
from aiida_mlip_ins.calculations.mace_relax import MaceRelaxCalculation
from aiida_mlip_ins.calculations.mace_train import MaceTrainCalculation
from aiida_mlip_ins.calculations.shipping import checksum
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.workflows.mace_inputs import (
    describe_inputs_from_protocol,
    evaluate_inputs_from_protocol,
    train_inputs_from_protocol,
)
from aiida_mlip_ins.workflows.protocols import load_protocol


def relax_parameters() -> orm.Dict:
    return orm.Dict(load_protocol('mace_pressure_scan')['relax']['parameters'])


def test_inspect(prepared: Callable, any_code: orm.InstalledCode) -> None:
    file = orm.SinglefileData(io.BytesIO(b'\x80bytes'))
    folder, inputs, calcinfo = prepared(MaceInspectCalculation, code=any_code, file=file)
    assert inputs == {'model': 'model.model', 'num_threads': 1}
    assert (folder / 'model.model').read_bytes() == b'\x80bytes'
    assert calcinfo.codes_info[0].cmdline_params == ['-m', 'aiida_mlip_ins.drivers.mace_inspect']
    assert (folder / 'aiida_mlip_ins/drivers/mace_model.py').is_file()
    assert 'unset PYTHONPATH' in calcinfo.prepend_text


def test_evaluate(
    prepared: Callable,
    any_code: orm.InstalledCode,
    mace_model: MaceModelData,
    toy_dataset: DatasetData,
) -> None:
    folder, inputs, calcinfo = prepared(
        MaceEvaluateCalculation,
        code=any_code,
        model=mace_model,
        frames=toy_dataset,
        **evaluate_inputs_from_protocol(),
    )
    assert inputs['parameters'] == load_protocol('evaluate')['parameters']
    assert len(ase.io.read(folder / inputs['frames'], index=':')) == 22
    assert (folder / inputs['model']).stat().st_size > 1000
    assert calcinfo.retrieve_temporary_list == ['labelled.xyz']
    assert checksum('mace_evaluate') == MaceEvaluateCalculation.CACHE_VERSION


def test_describe(
    prepared: Callable,
    any_code: orm.InstalledCode,
    mace_model: MaceModelData,
    toy_dataset: DatasetData,
) -> None:
    folder, inputs, calcinfo = prepared(
        MaceDescribeCalculation,
        code=any_code,
        model=mace_model,
        frames=toy_dataset,
        **describe_inputs_from_protocol('fast'),
    )
    assert inputs['parameters'] == load_protocol('describe', 'fast')['parameters']
    assert len(ase.io.read(folder / inputs['frames'], index=':')) == 22
    assert calcinfo.retrieve_temporary_list == ['descriptors.npz']
    assert (folder / 'aiida_mlip_ins/science/descriptors.py').is_file()
    assert checksum('mace_describe') == MaceDescribeCalculation.CACHE_VERSION


@pytest.mark.engines
@pytest.mark.slow
def test_a_real_description_leads_to_a_selection(
    engine_code: orm.InstalledCode, mace_model: MaceModelData, toy_dataset: DatasetData
) -> None:
    """From frames through the job to the few that are unlike the labelled ones."""

    def described(frames: FramesData) -> orm.ArrayData:
        inputs = describe_inputs_from_protocol('fast')
        outputs, node = run_get_node(
            MaceDescribeCalculation, code=engine_code, model=mace_model, frames=frames, **inputs
        )
        assert node.exit_status == 0, node.exit_message
        return outputs['descriptors']

    labelled = FramesData.from_frames(toy_dataset.get_frames('train')[:4])
    found = select_frames(
        pool=toy_dataset,
        descriptors=described(toy_dataset),
        budget=orm.Int(5),
        labelled=labelled,
        labelled_descriptors=described(labelled),
    )
    report = found['report'].get_dict()
    chosen = [frame.info['pool_index'] for frame in found['frames'].get_frames()]
    assert len(chosen) == 5
    assert not set(chosen) & set(range(4))
    assert set(range(4)) <= set(report['duplicates'])
    assert report['radius_after'] < 0.7 * report['radius_before']
    assert report['model_sha256'] == mace_model.sha256


def test_evaluate_refuses_unknown_elements(
    any_code: orm.InstalledCode, mace_model: MaceModelData, prepared: Callable
) -> None:
    frame = ase.Atoms('OAl', positions=[(0, 0, 0), (1, 1, 1)], cell=[3, 3, 3], pbc=True)
    frame.info['source'] = 'x'
    frames = MaceEvaluateCalculation.spec().inputs['frames'].valid_type.from_frames([frame])
    with pytest.raises(ValueError, match='frames: O not in the model, which knows Al, Ni'):
        prepared(
            MaceEvaluateCalculation,
            code=any_code,
            model=mace_model,
            frames=frames,
            **evaluate_inputs_from_protocol(),
        )


def test_relax(
    prepared: Callable,
    any_code: orm.InstalledCode,
    mace_model: MaceModelData,
    toy_structure: orm.StructureData,
) -> None:
    folder, inputs, calcinfo = prepared(
        MaceRelaxCalculation,
        code=any_code,
        model=mace_model,
        structure=toy_structure,
        pressures=[0.0, 1.5],
        parameters=relax_parameters(),
    )
    assert inputs['pressures'] == [0.0, 1.5]
    atoms = ase.io.read(folder / inputs['structure'])
    assert atoms.get_chemical_symbols() == ['Ni', 'Al']
    assert atoms.get_volume() == pytest.approx(2.95**3)
    assert set(calcinfo.retrieve_temporary_list) == {'relaxed.xyz', 'trajectory.xyz'}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'pressures': []}, 'at least one value'),
        ({'pressures': [0.0, -1.0]}, 'negative'),
        ({'pressures': [0.0, 0.0]}, 'more than once'),
        ({'pressures': [1.5, 0.0]}, 'ascending'),
        ({'pressures': ['a']}, 'expected numbers'),
        ({'parameters': {'fmaks': 1e-4}}, r"unknown key 'fmaks' \(did you mean 'fmax'\?\)"),
    ],
)
def test_relax_refuses(
    prepared: Callable,
    any_code: orm.InstalledCode,
    mace_model: MaceModelData,
    toy_structure: orm.StructureData,
    change: dict[str, Any],
    message: str,
) -> None:
    inputs = {'pressures': [0.0], 'parameters': relax_parameters(), **change}
    with pytest.raises(ValueError, match=message):
        prepared(
            MaceRelaxCalculation,
            code=any_code,
            model=mace_model,
            structure=toy_structure,
            **inputs,
        )


def test_relax_refuses_a_molecule(
    prepared: Callable, any_code: orm.InstalledCode, mace_model: MaceModelData
) -> None:
    structure = orm.StructureData(
        ase=ase.Atoms('NiAl', positions=[(0, 0, 0), (0, 0, 2.5)], cell=[9, 9, 9], pbc=False)
    )
    with pytest.raises(ValueError, match='periodic'):
        prepared(
            MaceRelaxCalculation,
            code=any_code,
            model=mace_model,
            structure=structure,
            pressures=[0.0],
            parameters=relax_parameters(),
        )


def test_train(
    prepared: Callable,
    any_code: orm.InstalledCode,
    mace_model: MaceModelData,
    toy_dataset: DatasetData,
) -> None:
    train = train_inputs_from_protocol('fast')
    train['metadata']['options'] = {
        'resources': {
            'num_machines': 1, 'num_mpiprocs_per_machine': 1, 'num_cores_per_mpiproc': 2,
        }
    }  # fmt: skip
    folder, inputs, calcinfo = prepared(
        MaceTrainCalculation, code=any_code, dataset=toy_dataset, foundation=mace_model, **train
    )
    assert inputs['num_threads'] == 2
    assert 'OMP_NUM_THREADS=2' in calcinfo.prepend_text
    assert inputs['foundation'] == 'foundation.model'
    assert 'replay' not in inputs
    assert (folder / 'foundation.model').is_file()
    assert len(ase.io.read(folder / 'dataset.xyz', index=':')) == 22
    for module in ('drivers/mace_trainer', 'drivers/mace_foundation', 'science/training_report'):
        assert (folder / f'aiida_mlip_ins/{module}.py').is_file()


def test_train_goes_on_in_the_folder_of_another_job(
    prepared: Callable,
    aiida_computer: Callable,
    any_code: orm.InstalledCode,
    toy_dataset: DatasetData,
) -> None:
    """The folder is linked, and has to be on the same computer."""
    train = train_inputs_from_protocol('fast')
    train['metadata']['options'] = {'max_wallclock_seconds': 600}
    given = {'code': any_code, 'dataset': toy_dataset, **train}
    before = orm.RemoteData(remote_path='/scratch/before', computer=any_code.computer).store()
    _, inputs, calcinfo = prepared(MaceTrainCalculation, restart=before, **given)
    assert (inputs['restart'], inputs['wallclock_s']) == ('restart', 600)
    assert calcinfo.remote_symlink_list == [(any_code.computer.uuid, '/scratch/before', 'restart')]
    other = aiida_computer(label='other', hostname='other')
    elsewhere = orm.RemoteData(remote_path='/scratch/before', computer=other).store()
    with pytest.raises(ValueError, match='restart: that folder is on other, but the code runs on'):
        prepared(MaceTrainCalculation, restart=elsewhere, **given)


def test_train_refuses_all_at_once(
    prepared: Callable,
    any_code: orm.InstalledCode,
    toy_dataset: DatasetData,
) -> None:
    """A dataset without validation frames, too large a batch, and energies of no foundation."""
    frames = [frame for frame in toy_dataset.get_frames() if frame.info['split'] == 'train']
    train = train_inputs_from_protocol(
        'fast', {'parameters': {'batch_size': 50, 'reference_energies': 'foundation'}}
    )
    with pytest.raises(ValueError, match="no frame has the split 'valid'") as error:
        prepared(
            MaceTrainCalculation,
            code=any_code,
            dataset=DatasetData.from_frames(frames, method='EMT'),
            **train,
        )
    assert 'do not fill one batch of 50' in str(error.value)
    assert "'foundation' needs the input 'foundation'" in str(error.value)


@pytest.mark.usefixtures('aiida_profile')
def test_dataset_without_forces_or_with_nan(toy_dataset: DatasetData) -> None:
    """Such a dataset never becomes a node, so that no training can be given one."""
    frames = toy_dataset.get_frames()
    del frames[0].arrays['REF_forces']
    frames[1].info['REF_energy'] = float('nan')
    with pytest.raises(ValueError, match='without forces') as error:
        DatasetData.from_frames(frames, method='EMT')
    assert 'NaN' in str(error.value)


def test_code_of_another_plugin(
    prepared: Callable,
    aiida_code_installed: Callable,
    mace_model: MaceModelData,
    toy_dataset: DatasetData,
) -> None:
    code = aiida_code_installed(
        label='pw', filepath_executable='/bin/true', default_calc_job_plugin='quantumespresso.pw'
    )
    with pytest.raises(ValueError, match="is a code for the plugin 'quantumespresso"):
        prepared(
            MaceEvaluateCalculation,
            code=code,
            model=mace_model,
            frames=toy_dataset,
            **evaluate_inputs_from_protocol(),
        )


def md_inputs(**changes: Any) -> dict[str, Any]:
    parameters = load_protocol('md')['md']['parameters']
    return {'temperature': 300.0, 'pressure': 1.5, 'parameters': orm.Dict(parameters), **changes}


def test_md(
    prepared: Callable,
    any_code: orm.InstalledCode,
    mace_model: MaceModelData,
    toy_structure: orm.StructureData,
) -> None:
    folder, inputs, calcinfo = prepared(
        MaceMdCalculation,
        code=any_code,
        model=mace_model,
        structure=toy_structure,
        checkpoint=orm.SinglefileData(io.BytesIO(b'PK state')),
        metadata={'options': {'max_wallclock_seconds': 600}},
        **md_inputs(),
    )
    assert (inputs['temperature_k'], inputs['pressure_gpa'], inputs['wallclock_s']) == (
        300,
        1.5,
        600,
    )
    assert (folder / 'checkpoint.npz').read_bytes() == b'PK state'
    assert ase.io.read(folder / inputs['structure']).get_volume() == pytest.approx(2.95**3)
    assert set(calcinfo.retrieve_temporary_list) == {'trajectory_*.npz', 'checkpoint.npz'}
    assert (folder / 'aiida_mlip_ins/drivers/md_dynamics.py').is_file()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'temperature': 0.0}, 'needs more than 0 K'),
        ({'parameters': {'ensemble': 'nve'}}, "'nve' is not allowed"),
        ({'parameters': {'initial_temperature_factor': 7.0}}, 'raise max_temperature_factor'),
    ],
)
def test_md_refuses(
    prepared: Callable,
    any_code: orm.InstalledCode,
    mace_model: MaceModelData,
    toy_structure: orm.StructureData,
    change: dict[str, Any],
    message: str,
) -> None:
    given = md_inputs()
    if 'parameters' in change:
        change = {'parameters': {**given['parameters'].get_dict(), **change['parameters']}}
    with pytest.raises(ValueError, match=message):
        prepared(
            MaceMdCalculation,
            code=any_code,
            model=mace_model,
            structure=toy_structure,
            **{**given, **change},
        )
