"""Train a MACE model on labelled frames, from scratch or from a foundation model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_mlip_ins.calculations.base import EngineCalculation
from aiida_mlip_ins.calculations.mace_inspect import write_model
from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.model import MaceModelData, model_problems
from aiida_mlip_ins.science.training import TrainSettings, split_problems, train_problems

DATASET = 'dataset.xyz'
FOUNDATION = 'foundation.model'
REPLAY = 'replay.xyz'
RESTART = 'restart'
"""Link in the folder of a job to that of the one that it goes on from."""


class MaceTrainCalculation(EngineCalculation):
    """Run mace_run_train, catch the failures that it ends well with, and evaluate its model."""

    DRIVER = 'mace_train'
    SETTINGS = TrainSettings
    RETRIEVE = ('trainer.out',)
    RETRIEVE_TEMPORARY = ('model.model', 'training.jsonl', 'predictions.xyz')

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input('dataset', valid_type=DatasetData,
                   help='Labelled frames; the split of each says what it is used for.')  # fmt: skip
        spec.input('foundation', valid_type=MaceModelData, required=False,
                   help='Model to start from; without it the weights are random.')  # fmt: skip
        spec.input('replay', valid_type=DatasetData, required=False,
                   help='Frames with labels of the foundation model, trained on in a second head '
                   'so that they are not forgotten.')  # fmt: skip
        spec.input('restart', valid_type=orm.RemoteData, required=False,
                   help='Folder of a job that was stopped, to go on from there.')  # fmt: skip
        spec.inputs['metadata']['options']['parser_name'].default = 'mlip_ins.mace_train'
        spec.inputs.validator = validate_training
        spec.output('model', valid_type=MaceModelData, required=False, help='The trained model.')
        spec.output('learning_curve', valid_type=orm.ArrayData, required=False,
                    help='One value per validation: epoch, stage, force_mae (meV/angstrom), '
                    'energy_mae (meV/atom), stress_mae (GPa), frequency_mae (1/cm), loss, '
                    'loss_train.')  # fmt: skip
        spec.output('errors', valid_type=orm.Dict, required=False,
                    help='Per split, and per source in it: MAE and RMSE of force (meV/angstrom), '
                    'energy (meV/atom), stress (GPa).')  # fmt: skip
        spec.output('predictions', valid_type=DatasetData, required=False,
                    help="The model's labels of the held-out frames; `index` is the position in "
                    'the dataset.')  # fmt: skip
        for status, name, message in (
            (410, 'NAN_LOSS', 'The training became NaN'),
            (411, 'NO_FORCES_SEEN', 'The model was trained on energies alone'),
            (412, 'REPLAY_IGNORED', 'The frames to replay were not used'),
            (413, 'TRAINING_FAILED', 'mace_run_train did not come to its end'),
            (416, 'HEAD_UNSEEN', 'The model has a head without data'),
            (420, 'NO_IMPROVEMENT', 'The model is no better than before its training'),
            (421, 'WORSE_THAN_FOUNDATION', 'The foundation model is better'),
            (422, 'STRESS_DIVERGED', 'The stresses of the model are useless'),
        ):
            spec.exit_code(status, f'ERROR_{name}', message=f'{message}: {{message}}')
        for status, name, message in (
            (400, 'OUT_OF_WALLTIME', 'There was no time for all epochs'),
            (414, 'OUT_OF_MEMORY', 'There was not enough memory'),
        ):
            spec.exit_code(
                status, f'ERROR_{name}', invalidates_cache=True, message=f'{message}: {{message}}'
            )

    @classmethod
    def validate_parameters(cls, value: orm.Dict, _: Any) -> str | None:
        """Refuse settings that are wrong, or do not go together, all at once."""
        return '\n'.join(train_problems(value.get_dict(), 'parameters')) or None

    def write_inputs(self, folder: Folder) -> dict[str, Any]:
        """Write the dataset and the model to start from."""
        files = {'dataset': DATASET, 'foundation': FOUNDATION, 'replay': REPLAY}
        given = {name: file for name, file in files.items() if name in self.inputs}
        for name, file in given.items():
            write_model(folder, self.inputs[name], file)
        if 'restart' in self.inputs:
            given['restart'] = RESTART
        return {**given, 'wallclock_s': self.inputs.metadata.options.get('max_wallclock_seconds')}

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write driver and inputs, and link the folder of the job to go on from."""
        calcinfo = super().prepare_for_submission(folder)
        if 'restart' in self.inputs:
            remote = self.inputs.restart
            calcinfo.remote_symlink_list = [
                (remote.computer.uuid, remote.get_remote_path(), RESTART)
            ]
        return calcinfo


def validate_training(inputs: Any, _: Any) -> str | None:
    """Refuse what mace would accept and train wrongly: empty splits, unknown elements."""
    if 'dataset' not in inputs or 'parameters' not in inputs:
        return None
    values = inputs['parameters'].get_dict()
    if train_problems(values, 'parameters'):
        return None
    found = split_problems(inputs['dataset'].splits, values, 'dataset')
    if 'restart' in inputs and 'code' in inputs:
        here, there = inputs['code'].computer, inputs['restart'].computer
        if here is not None and here.uuid != there.uuid:
            found.append(
                f'restart: that folder is on {there.label}, but the code runs on {here.label}'
            )
    if 'foundation' in inputs:
        found += model_problems(inputs['foundation'], inputs['dataset'].elements, 'dataset')
    elif 'replay' in inputs:
        found.append("replay: there is nothing to replay without the input 'foundation'")
    elif values['reference_energies'] == 'foundation':
        found.append(
            "parameters.reference_energies: 'foundation' needs the input 'foundation'; "
            "use 'least_squares' or 'isolated_atoms'"
        )
    if 'replay' in inputs:
        found += replay_problems(inputs['replay'], inputs.get('foundation'), values)
    return '\n'.join(found) or None


def replay_problems(
    replay: DatasetData, foundation: MaceModelData | None, values: Mapping[str, Any]
) -> list[str]:
    """Return why frames cannot be replayed: mace would then train without them, and not say so."""
    found = [] if foundation is None else model_problems(foundation, replay.elements, 'replay')
    if values['loss'] != 'universal':
        found.append("parameters.loss: mace replays with the loss 'universal' alone")
    # Frames without a split are trained on.
    if sum(replay.splits.values()) == replay.n_frames and not replay.splits.get('train'):
        found.append("replay: no frame has the split 'train', so nothing would be replayed")
    return found
