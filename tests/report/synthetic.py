"""A finished run whose numbers come from formulas: nodes of the real types, linked as real ones.

It is small, needs no engines, and is deterministic apart from UUIDs and PKs.
"""

from __future__ import annotations

import hashlib
import io

import ase
import ase.spacegroup
import numpy as np
from aiida import orm
from aiida_phonopy.data import ForceConstantsData
from report.recorder import Nodes, Recorder
from report.synthetic_content import (
    N_FRAMES,
    PRESSURES,
    REACH,
    SOURCES,
    SPLITS,
    SUPERCELL,
    drawn_modes,
    engine_numbers,
    intensities_of,
    labelled_frame,
    labels_of,
    modes_node,
    pw_numbers,
    relaxed_row,
    scaled_cell,
    unlabelled,
    upf_of,
)

from aiida_mlip_ins.calculations.functions.compare import _compare as comparison_of
from aiida_mlip_ins.calculations.functions.compare import input_name
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.model import MaceModelData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.science import ins
from aiida_mlip_ins.science.eos import compare_curves
from aiida_mlip_ins.science.modes import Modes
from aiida_mlip_ins.science.training_report import error_table
from aiida_mlip_ins.workflows.protocols import load_protocol

SETTINGS = {
    **load_protocol('compare')['parameters'],
    'degeneracy_tolerance': 2.0,
    'min_overlap': 0.5,
}


def build_run(
    cached: bool = False, until: str = 'compare', well: bool = False, exception: str | None = None
) -> orm.WorkChainNode:
    """Store a run of the whole chain and return its node.

    :param cached: mark every job as taken from the cache.
    :param until: last link that ended well: ``reference``, ``training`` or ``compare``.
    :param well: whether that was all that the run was to do.
    :param exception: that stopped it there.
    """
    recorder = Recorder()
    brucite = ase.spacegroup.crystal(
        ('Mg', 'O', 'H'),
        [(0, 0, 0), (1 / 3, 2 / 3, 0.2203), (1 / 3, 2 / 3, 0.4130)],
        spacegroup=164,
        cellpar=[3.142, 3.142, 4.766, 90, 90, 120],
    )
    crystal = to_structure(brucite)
    crystal.label = 'Brucite'
    inputs = {
        'structure': crystal.store(),
        'pressures': orm.List(PRESSURES).store(),
        'seed': orm.Int(1).store(),
    }
    statuses = {'reference': 403, 'training': 404, 'compare': 0}
    run = recorder.process(
        orm.WorkChainNode, 'mlip_ins.high_pressure_ins', 'HighPressureInsWorkChain', inputs,
        (0.0, 1000.0), exit_status=0 if well else statuses[until],
    )  # fmt: skip
    if exception:
        run.set_process_state('excepted')
        run.set_exception(exception)
    cells = [scaled_cell(brucite, 1.0 - 0.025 * p / 1.5) for p in PRESSURES]
    upfs = {element: upf_of(element) for element in ('H', 'Mg', 'O')}
    dft = _pw_scan(recorder, run, inputs, upfs, cells)
    dataset = _reference(recorder, run, dft, upfs, cells)
    if until != 'reference':
        model = _training(recorder, run, dataset)
    if until == 'compare':
        _after_training(recorder, run, model, dft, cells, inputs)
    if cached:
        for pk in recorder.times:
            node = orm.load_node(pk)
            if isinstance(node, orm.CalcJobNode):
                node.base.extras.set('_aiida_cached_from', node.uuid)
    recorder.close()
    return orm.load_node(run.pk)


def _pw_scan(
    recorder: Recorder, run: orm.Node, inputs: Nodes, upfs: Nodes, cells: list[ase.Atoms]
) -> dict[str, orm.StructureData]:
    """DFT's own cells: 0 to 200 s."""
    scan = recorder.process(
        orm.WorkChainNode, 'mlip_ins.pw_pressure_scan', 'PwPressureScanWorkChain', inputs,
        (1.0, 200.0), run, 'pw_scan',
    )  # fmt: skip
    structures, parameters = {}, {}
    for index, cell in enumerate(cells):
        job = _pw_job(recorder, scan, inputs['structure'], upfs, 'vc-relax', (2.0, 190.0), 180.0)
        structures[f'pressure_{index}'] = to_structure(cell)
        parameters[f'parameters_{index}_0'] = pw_numbers(180.0)
        recorder.create(
            job,
            {
                'output_structure': structures[f'pressure_{index}'],
                'output_parameters': parameters[f'parameters_{index}_0'],
            },
        )
    collect = recorder.process(
        orm.CalcFunctionNode, '', 'collect_pressure_scan', parameters, (191.0, 192.0), scan
    )
    results = orm.Dict({'pressures': [relaxed_row(i, cells[i], 0.0) for i in range(len(cells))]})
    recorder.create(collect, {'results': results})
    returned = {f'structures.{key}': node for key, node in structures.items()}
    recorder.give(scan, {'results': results, **returned})
    recorder.give(run, {'pw.results': results, **{f'pw.{k}': v for k, v in returned.items()}})
    return structures


def _reference(
    recorder: Recorder, run: orm.Node, dft: Nodes, upfs: Nodes, cells: list[ase.Atoms]
) -> DatasetData:
    """Frames and their labels: 200 to 600 s, two pw.x at a time."""
    rng = np.random.default_rng(2)
    choose = recorder.process(
        orm.CalcFunctionNode, '', 'targeted_configurations', dft, (200.0, 201.0), run
    )
    frames = [labelled_frame(cells[index % 2], index, rng) for index in range(N_FRAMES)]
    configurations = FramesData.from_frames([unlabelled(frame) for frame in frames])
    recorder.create(choose, {'result': configurations})
    reference = recorder.process(
        orm.WorkChainNode, 'mlip_ins.reference', 'ReferenceWorkChain', {'frames': configurations},
        (201.0, 600.0), run, 'reference',
    )  # fmt: skip
    split = recorder.process(
        orm.CalcFunctionNode, '', 'structures_from_frames', {'frames': configurations},
        (202.0, 203.0), reference,
    )  # fmt: skip
    numbers: dict[str, orm.Node] = {'frames': configurations}
    for index, frame in enumerate(frames):
        structure = to_structure(frame)
        recorder.create(split, {f'frame_{index:04d}': structure})
        begin = 205.0 + 95.0 * (index // 2)
        job = _pw_job(recorder, reference, structure, upfs, 'scf', (begin, begin + 94.0), 85.0)
        parameters = pw_numbers(85.0, frame.info['REF_energy'])
        recorder.create(job, {'output_parameters': parameters})
        numbers[f'parameters_{index:04d}'] = parameters
    collect = recorder.process(
        orm.CalcFunctionNode, '', 'collect_dataset', numbers, (595.0, 599.0), reference
    )
    dataset = DatasetData.from_frames(frames, 'pw.x PBE-D3(BJ) 80 Ry, synthetic')
    recorder.create(collect, {'result': dataset})
    recorder.give(reference, {'dataset': dataset})
    join = recorder.process(
        orm.CalcFunctionNode, '', 'join_datasets', {'sampled': dataset}, (599.0, 600.0), run
    )
    joined = DatasetData.from_frames(frames, dataset.method)
    recorder.create(join, {'result': joined})
    recorder.give(run, {'configurations': configurations, 'dataset': joined})
    return joined


def validated() -> orm.Dict:
    """Return what a training says of its model beside the errors."""
    volumes = np.linspace(7.4, 8.6, 5)
    curve = compare_curves(volumes, 0.01 * (volumes - 8.0) ** 2, 0.009 * (volumes - 8.04) ** 2)
    row = {'split': 'valid', 'index': 11, 'frequency_mae': 6.5, 'frequency_max': 17.0,
           'force_constant_rmse': 0.21, 'n_frames': 5, 'n_modes': 12}  # fmt: skip
    numbers = engine_numbers(230.0, 2.5).get_dict()
    return orm.Dict({**numbers, 'energy_volume': curve, 'curvature': [row]})


def _training(recorder: Recorder, run: orm.Node, dataset: DatasetData) -> MaceModelData:
    """The potential: 600 to 850 s."""
    settings = orm.Dict({'max_epochs': 60, 'learning_rate': 0.01}).store()
    job = recorder.process(
        orm.CalcJobNode, 'mlip_ins.mace_train', 'MaceTrainCalculation',
        {'dataset': dataset, 'parameters': settings}, (600.0, 850.0), run, 'training',
    )  # fmt: skip
    rng = np.random.default_rng(3)
    truth = dataset.get_frames()
    predicted = []
    for frame in truth:
        model = frame.copy()
        model.info['REF_energy'] += 0.002 * rng.standard_normal()
        model.arrays['REF_forces'] = frame.arrays['REF_forces'] + 0.01 * rng.standard_normal(
            (len(frame), 3)
        )
        model.info['REF_stress'] = frame.info['REF_stress'] + 5e-4 * rng.standard_normal(6)
        predicted.append(model)
    content = b'synthetic'
    epochs = np.arange(61)
    curve = orm.ArrayData()
    curve.set_array('epoch', epochs)
    curve.set_array('stage', np.where(epochs > 50, 2, 1))
    curve.set_array('force_mae', 90.0 * np.exp(-epochs / 12) + 8.0)
    curve.set_array('energy_mae', 30.0 * np.exp(-epochs / 15) + 0.5)
    curve.set_array('stress_mae', 2.0 * np.exp(-epochs / 10) + 0.1)
    outputs = {
        'model': MaceModelData.from_file(
            io.BytesIO(content),
            {
                'elements': ['H', 'Mg', 'O'], 'r_max': 5.0, 'dtype': 'float64',
                'heads': ['Default'], 'num_parameters': 1000,
                'sha256': hashlib.sha256(content).hexdigest(),
            },
            'trained',
        ),
        'learning_curve': curve,
        'errors': orm.Dict(error_table(SPLITS, SOURCES, *map(labels_of, (truth, predicted)))),
        'predictions': DatasetData.from_frames(predicted, 'mace synthetic'),
        'results': validated(),
    }  # fmt: skip
    recorder.create(job, outputs)
    recorder.give(run, {f'training.{name}': node for name, node in outputs.items()})
    recorder.give(run, {'model': outputs['model']})
    return outputs['model']


def _after_training(
    recorder: Recorder, run: orm.Node, model: MaceModelData, dft: Nodes, cells: list[ase.Atoms],
    inputs: Nodes,
) -> None:  # fmt: skip
    """DFT's modes, cells, phonons, spectra and comparison: 600 to 1000 s."""
    scan = recorder.process(
        orm.WorkChainNode, 'mlip_ins.mace_pressure_scan', 'MacePressureScanWorkChain',
        {**inputs, 'model': model}, (851.0, 880.0), run, 'mace_scan',
    )  # fmt: skip
    relax = recorder.process(
        orm.CalcJobNode, 'mlip_ins.mace_relax', 'MaceRelaxCalculation',
        {'model': model, **inputs}, (852.0, 879.0), scan, 'relax',
    )  # fmt: skip
    relaxed = [scaled_cell(cell, 1.003) for cell in cells]
    results = engine_numbers(20.0, 0.9)
    results['pressures'] = [relaxed_row(i, cell, 0.02) for i, cell in enumerate(relaxed)]
    structures = {f'structures.pressure_{i}': to_structure(c) for i, c in enumerate(relaxed)}
    recorder.create(relax, {**structures, 'results': results})
    recorder.give(scan, {**structures, 'results': results})
    recorder.give(run, {f'mace.{n}': v for n, v in {**structures, 'results': results}.items()})
    compared: dict[str, orm.Node] = {}
    for index, (own, reference) in enumerate(zip(relaxed, cells, strict=True)):
        key = f'pressure_{index}'
        modes = drawn_modes(reference, PRESSURES[index], 1.0)
        node = _pw_phonons(recorder, run, dft[key], modes, key, 605.0 + 100 * index)
        recorder.give(run, {f'pw.modes.{key}': node})
        compared[input_name('pw', 'modes', key)] = node
        compared[input_name('pw', 'structures', key)] = dft[key]
        modes = drawn_modes(own, PRESSURES[index], 1.015)
        structure = structures[f'structures.{key}']
        node, constants, lowest = _mace_phonons(recorder, run, structure, model, modes, key)
        compared[input_name('mace', 'modes', key)] = node
        compared[input_name('mace', 'structures', key)] = structure
        compared[input_name('mace', 'phonons', key)] = lowest
        spectrum = _ins(recorder, run, constants, modes, index)
        compared[input_name('mace', 'spectra', key)] = spectrum
    _compare(recorder, run, compared)


def _pw_phonons(
    recorder: Recorder, run: orm.Node, structure: orm.Node, modes: Modes, key: str, begin: float
) -> orm.ArrayData:
    work = recorder.process(
        orm.WorkChainNode, 'mlip_ins.pw_phonons', 'PwPhononsWorkChain', {'structure': structure},
        (begin, begin + 95.0), run, f'pw_phonons_{key}',
    )  # fmt: skip
    job = _pw_job(recorder, work, structure, {'H': upf_of('H')}, 'scf', (begin, begin + 90.0), 80.0)
    numbers = pw_numbers(80.0)
    recorder.create(job, {'output_parameters': numbers})
    fit = recorder.process(
        orm.CalcFunctionNode, '', 'force_constants', {'parameters_0000': numbers},
        (begin + 91.0, begin + 92.0), work,
    )  # fmt: skip
    node = modes_node(modes)
    recorder.create(fit, {'modes': node})
    recorder.give(work, {'modes': node})
    return node


def _mace_phonons(
    recorder: Recorder, run: orm.Node, structure: orm.Node, model: orm.Node, modes: Modes, key: str
) -> tuple[orm.ArrayData, ForceConstantsData, orm.Dict]:
    work = recorder.process(
        orm.WorkChainNode, 'mlip_ins.mace_phonons', 'MacePhononsWorkChain',
        {'structure': structure, 'model': model}, (881.0, 930.0), run, f'mace_phonons_{key}',
    )  # fmt: skip
    displace = recorder.process(
        orm.CalcFunctionNode, '', 'displaced_frames', {'structure': structure}, (881.0, 882.0), work
    )
    cell = structure.get_ase()
    cell.info['source'] = 'phonon'
    frames = FramesData.from_frames([cell])
    recorder.create(displace, {'result': frames})
    job = recorder.process(
        orm.CalcJobNode, 'mlip_ins.mace_evaluate', 'MaceEvaluateCalculation',
        {'frames': frames, 'model': model}, (882.0, 920.0), work, 'forces',
    )  # fmt: skip
    cell.info |= {'REF_energy': -2000.0, 'index': 0}
    cell.arrays['REF_forces'] = np.zeros((len(cell), 3))
    dataset = DatasetData.from_frames([cell], 'mace synthetic')
    recorder.create(job, {'dataset': dataset, 'results': engine_numbers(30.0, 1.1)})
    fit = recorder.process(
        orm.CalcFunctionNode, '', 'make_force_constants', {'dataset': dataset}, (921.0, 925.0), work
    )
    constants = ForceConstantsData(structure=structure, supercell_matrix=[1, 1, 1])
    count = len(modes.symbols)
    constants.set_force_constants(np.einsum('ij,ab->ijab', np.eye(count), np.eye(3)))
    node = modes_node(modes)
    lowest = orm.Dict({'min_frequency_per_cm': 3.2, 'imaginary': False, 'n_imaginary': 0})
    recorder.create(fit, {'force_constants': constants, 'modes': node, 'summary': lowest})
    outputs = {'force_constants': constants, 'modes': node}
    recorder.give(work, {**outputs, 'summary': lowest})
    recorder.give(run, {f'mace.{n}.{key}': v for n, v in outputs.items()})
    recorder.give(run, {f'mace.phonons.{key}': lowest})
    return node, constants, lowest


def _ins(
    recorder: Recorder, run: orm.Node, constants: orm.Node, modes: Modes, index: int
) -> InsSpectrumData:
    key = f'pressure_{index}'
    work = recorder.process(
        orm.WorkChainNode, 'mlip_ins.ins', 'InsWorkChain', {'force_constants': constants},
        (931.0, 970.0), run, f'ins_{key}',
    )  # fmt: skip
    settings = orm.Dict({'temperature': 10.0, 'max_order': 2}).store()
    job = recorder.process(
        orm.CalcJobNode, 'mlip_ins.ins', 'InsCalculation',
        {'force_constants': constants, 'parameters': settings}, (932.0, 960.0), work, 'ins',
    )  # fmt: skip
    intensities = intensities_of(modes, PRESSURES[index])
    recorder.create(job, {'intensities': intensities, 'results': engine_numbers(20.0, 0.7)})
    group = recorder.process(
        orm.CalcFunctionNode, '', 'group_intensities', {'intensities': intensities},
        (961.0, 962.0), work, 'group',
    )  # fmt: skip
    rows, sums = ins.group(intensities.rows, intensities.intensity, ['element', 'order', 'bank'])
    grouped = intensities.derive('grouped', sums, rows)
    recorder.create(group, {'result': grouped})
    broaden = recorder.process(
        orm.CalcFunctionNode, '', 'broaden_spectrum', {'spectrum': grouped}, (963.0, 964.0),
        work, 'broaden',
    )  # fmt: skip
    spectrum = grouped.derive('broadened', grouped.intensity, resolution={'model': 'synthetic'})
    recorder.create(broaden, {'result': spectrum})
    recorder.give(work, {'intensities': intensities, 'grouped': grouped, 'spectrum': spectrum})
    recorder.give(run, {f'intensities.{key}': intensities, f'spectra.{key}': spectrum})
    return spectrum


def _compare(recorder: Recorder, run: orm.Node, compared: Nodes) -> None:
    work = recorder.process(
        orm.WorkChainNode, 'mlip_ins.compare', 'CompareWorkChain', compared, (971.0, 999.0), run,
        'compare',
    )  # fmt: skip
    function = recorder.process(orm.CalcFunctionNode, '', 'compare', compared, (972.0, 998.0), work)
    metrics, table = comparison_of(orm.List(PRESSURES), orm.Dict(SETTINGS), dict(compared))
    outputs = {'metrics': orm.Dict(metrics), 'table': orm.Dict(table)}
    recorder.create(function, outputs)
    for name, content in (('supercell.pressure_1', SUPERCELL), ('reach', REACH)):
        judged = recorder.process(orm.CalcFunctionNode, '', name, compared, (998.0, 999.0), work)
        outputs[name] = orm.Dict(content)
        recorder.create(judged, {'result': outputs[name]})
    recorder.give(work, outputs)
    recorder.give(run, {f'comparison.{name}': node for name, node in outputs.items()})


def _pw_job(
    recorder: Recorder, caller: orm.Node, structure: orm.Node, upfs: Nodes, kind: str,
    when: tuple[float, float], seconds: float,
) -> orm.CalcJobNode:  # fmt: skip
    settings = orm.Dict({'CONTROL': {'calculation': kind}, 'SYSTEM': {'ecutwfc': 80.0}}).store()
    inputs = {'structure': structure, 'parameters': settings}
    inputs |= {f'pseudos.{element}': upf for element, upf in upfs.items()}
    return recorder.process(
        orm.CalcJobNode, 'quantumespresso.pw', 'PwCalculation', inputs, when, caller
    )
