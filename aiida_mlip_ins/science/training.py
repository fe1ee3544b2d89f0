"""Settings of the MACE jobs: training, evaluation of frames, relaxation under pressure.

Names follow our vocabulary, not mace's; ``mace_arguments`` passes on what has no name here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_mlip_ins.science.settings import problems, setting

DTYPES = ('float32', 'float64')
DEVICES = ('cpu', 'cuda', 'mps', 'xpu')
LOSSES = ('weighted', 'stress', 'huber', 'universal', 'virials', 'ef', 'forces_only')
STRESS_LOSSES = ('stress', 'huber', 'universal')


@dataclasses.dataclass(frozen=True)
class EvaluateSettings:
    """How the frames go through the model."""

    batch_size: int = setting('Frames that go through the model at once.', minimum=1)
    dtype: str = setting('Floating point type the model is run in.', choices=DTYPES)
    device: str = setting('Device of torch.', choices=DEVICES)
    compute_stress: bool = setting('Whether the stress is computed beside energy and forces.')
    head: str | None = setting(
        'Head of the model; `Default` or the only one if not given.', optional=True
    )


@dataclasses.dataclass(frozen=True)
class RelaxSettings:
    """When a crystal counts as relaxed, and what is kept on the way."""

    fmax: float = setting('Largest force left on any atom.', 'eV/angstrom', above=0.0)
    smax: float = setting(
        'Largest element of the stress tensor plus pressure that is left.', 'GPa', above=0.0
    )
    max_steps: int = setting('Steps at each pressure before giving up.', minimum=1)
    max_step: float = setting('Longest move of an atom in one step.', 'angstrom', above=0.0)
    max_volume_change: float = setting(
        'Relative change of volume at one pressure above which the cell has run away.',
        above=0.0,
        maximum=1.0,
    )
    keep_symmetry: bool = setting('Whether the space group of the input is kept.')
    symprec: float = setting('Tolerance of the space group search.', 'angstrom', above=0.0)
    dtype: str = setting('Floating point type the model is run in.', choices=DTYPES)
    device: str = setting('Device of torch.', choices=DEVICES)
    head: str | None = setting(
        'Head of the model; `Default` or the only one if not given.', optional=True
    )


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """A training or fine-tuning with mace_run_train.

    Weights multiply the terms of mace's loss. ``stage_two_start`` switches on the second stage,
    whose weights and learning rate are then needed too. With a foundation model, its architecture
    is kept and ``r_max`` to ``num_radial_basis`` are not used.
    """

    seed: int = setting('Seed of initial weights and of the order of frames.', minimum=0)
    dtype: str = setting('Floating point type.', choices=DTYPES)
    device: str = setting('Device of torch.', choices=DEVICES)
    r_max: float = setting('Cutoff radius.', 'angstrom', above=0.5, maximum=15.0)
    num_channels: int = setting('Channels of the messages.', minimum=1)
    max_L: int = setting('Highest order of the messages.', minimum=0, maximum=4)
    max_ell: int = setting('Highest order of the spherical harmonics.', minimum=0, maximum=6)
    correlation: int = setting('Correlation order of each layer.', minimum=1, maximum=5)
    num_interactions: int = setting('Layers of message passing.', minimum=1, maximum=4)
    num_radial_basis: int = setting('Radial basis functions.', minimum=1)
    radial_MLP: list[int] = setting('Widths of the layers of the radial network.', minimum=1)
    reference_energies: str = setting(
        'Where the energies of isolated atoms come from: fitted to the training frames (the '
        'solution of smallest norm; with a foundation model, a correction to its own), frames of '
        'one atom whose config_type is IsolatedAtom, or the foundation model as it is.',
        choices=('least_squares', 'isolated_atoms', 'foundation'),
    )
    loss: str = setting('Loss function of mace.', choices=LOSSES)
    energy_weight: float = setting('Weight of energies.', minimum=0.0)
    forces_weight: float = setting('Weight of forces.', minimum=0.0)
    stress_weight: float = setting('Weight of stresses.', minimum=0.0)
    batch_size: int = setting('Training frames in one step.', minimum=1)
    valid_batch_size: int = setting('Frames at once in validation.', minimum=1)
    max_epochs: int = setting('Number of epochs.', minimum=1)
    eval_interval: int = setting('Epochs between validations.', 'epochs', minimum=1)
    learning_rate: float = setting('Learning rate.', above=0.0)
    weight_decay: float = setting('L2 penalty of the weights.', minimum=0.0)
    clip_grad: float = setting('Largest norm of the gradient.', above=0.0)
    scheduler: str = setting(
        'How the learning rate falls: by a factor each epoch, or when the loss stops falling.',
        choices=('ExponentialLR', 'ReduceLROnPlateau'),
    )
    learning_rate_decay: float = setting(
        'Factor of the learning rate per epoch (ExponentialLR).', above=0.0, maximum=1.0
    )
    scheduler_patience: int = setting(
        'Epochs without improvement before the learning rate is lowered (ReduceLROnPlateau).',
        'epochs',
        minimum=1,
    )
    scheduler_factor: float = setting(
        'Factor by which it is then lowered (ReduceLROnPlateau).', above=0.0, maximum=1.0
    )
    minimum_frames: int = setting('Fewest training frames that are accepted.', minimum=1)
    ema_decay: float | None = setting(
        'Decay of the moving average of the weights; no average if not given.',
        above=0.0,
        maximum=1.0,
        optional=True,
    )
    force_scale: float | None = setting(
        'Root mean square force below which frames count alike; above, the weight of their forces '
        'falls off as its square. All count alike if not given.',
        'eV/angstrom',
        above=0.0,
        optional=True,
    )
    force_weight_ratio: float | None = setting(
        'Largest ratio between the weights of two frames, needed with force_scale.',
        minimum=1.0,
        optional=True,
    )
    choose_by: str | None = setting(
        'What the best epoch has least of: the loss on the validation frames, or its root times '
        'the error of the frequencies that whole sets of displaced frames among them give; the '
        'latter, if there are such sets, if not given.',
        choices=('loss', 'frequencies'),
        optional=True,
    )
    patience: int | None = setting(
        'Epochs without a better one after which a stage ends; never if not given.',
        'epochs',
        minimum=1,
        optional=True,
    )
    stage_two_start: int | None = setting(
        'Epoch at which the second stage starts.', minimum=1, optional=True
    )
    stage_two_energy_weight: float | None = setting(
        'Weight of energies in the second stage.', minimum=0.0, optional=True
    )
    stage_two_forces_weight: float | None = setting(
        'Weight of forces in the second stage.', minimum=0.0, optional=True
    )
    stage_two_stress_weight: float | None = setting(
        'Weight of stresses in the second stage.', minimum=0.0, optional=True
    )
    stage_two_learning_rate: float | None = setting(
        'Learning rate of the second stage.', above=0.0, optional=True
    )
    foundation_head: str | None = setting(
        'Head of the foundation model to start from.', optional=True
    )
    mace_arguments: Mapping[str, Any] | None = setting(
        'Further arguments of mace_run_train, by their long names without dashes.', optional=True
    )


OWN_ARGUMENTS: dict[str, str] = {
    'seed': 'seed', 'default_dtype': 'dtype', 'device': 'device', 'r_max': 'r_max',
    'num_channels': 'num_channels', 'max_L': 'max_L', 'max_ell': 'max_ell',
    'correlation': 'correlation', 'num_interactions': 'num_interactions',
    'num_radial_basis': 'num_radial_basis', 'loss': 'loss', 'energy_weight': 'energy_weight',
    'forces_weight': 'forces_weight', 'stress_weight': 'stress_weight',
    'batch_size': 'batch_size', 'valid_batch_size': 'valid_batch_size',
    'max_num_epochs': 'max_epochs', 'eval_interval': 'eval_interval', 'lr': 'learning_rate',
    'weight_decay': 'weight_decay', 'clip_grad': 'clip_grad',
    'scheduler': 'scheduler', 'scheduler_patience': 'scheduler_patience',
    'lr_factor': 'scheduler_factor', 'lr_scheduler_gamma': 'learning_rate_decay',
    'radial_MLP': 'radial_MLP',
}  # fmt: skip
"""Arguments of mace_run_train that are a setting of the same meaning: argument -> setting."""

STAGE_TWO_ARGUMENTS: dict[str, str] = {
    'start_stage_two': 'stage_two_start',
    'stage_two_energy_weight': 'stage_two_energy_weight',
    'stage_two_forces_weight': 'stage_two_forces_weight',
    'stage_two_stress_weight': 'stage_two_stress_weight',
    'stage_two_lr': 'stage_two_learning_rate',
}
"""The same for the second stage."""

SET_BY_THE_JOB = (
    'name', 'work_dir', 'log_dir', 'model_dir', 'checkpoints_dir', 'results_dir', 'train_file',
    'valid_file', 'test_file', 'energy_key', 'forces_key', 'stress_key', 'restart_latest',
    'save_cpu', 'plot', 'error_table', 'compute_stress', 'compute_forces', 'distributed', 'wandb',
    'dry_run', 'log_level', 'statistics_file', 'heads', 'keep_isolated_atoms',
)  # fmt: skip

RESERVED_ARGUMENTS: dict[str, str] = {
    **{argument: f"use the setting '{name}'" for argument, name in OWN_ARGUMENTS.items()},
    **{argument: f"use the setting '{name}'" for argument, name in STAGE_TWO_ARGUMENTS.items()},
    **{
        name.replace('stage_two', 'swa'): "use the settings 'stage_two_...'"
        for name in STAGE_TWO_ARGUMENTS
    },
    'swa': "use the setting 'stage_two_start'",
    'stage_two': "use the setting 'stage_two_start'",
    'ema': "use the setting 'ema_decay'",
    'ema_decay': "use the setting 'ema_decay'",
    'E0s': "use the setting 'reference_energies'",
    'foundation_head': "use the setting 'foundation_head'",
    'foundation_model': "give the input 'foundation'",
    'pt_train_file': "give the input 'replay'",
    'multiheads_finetuning': "give the input 'replay'",
    'force_mh_ft_lr': "the setting 'learning_rate' is always used",
    'patience': "mace never stops a single process because of it; use the setting 'patience'",
    'num_workers': 'set by the number of cores of the job',
    **dict.fromkeys(SET_BY_THE_JOB, 'set by the job itself'),
}  # fmt: skip
"""Arguments of mace_run_train that ``mace_arguments`` may not hold, with what to do instead."""


def train_problems(values: Mapping[str, Any], where: str) -> list[str]:
    """Return every problem of training settings, those between fields included."""
    found = problems(TrainSettings, values, where)
    arguments = values.get('mace_arguments') or {}
    if isinstance(arguments, Mapping):
        found.extend(
            f"{where}.mace_arguments: '{name}' cannot be given here: {RESERVED_ARGUMENTS[name]}"
            for name in arguments
            if name in RESERVED_ARGUMENTS
        )
    if values.get('force_scale') is not None and values.get('force_weight_ratio') is None:
        found.append(f"{where}: 'force_weight_ratio' is missing, it is needed with 'force_scale'")
    if values.get('stage_two_start') is None:
        return found
    found.extend(
        f"{where}: '{name}' is missing, it is needed with 'stage_two_start'"
        for name in STAGE_TWO_ARGUMENTS.values()
        if values.get(name) is None
    )
    start, epochs = values['stage_two_start'], values.get('max_epochs')
    if isinstance(start, int) and isinstance(epochs, int) and start >= epochs:
        found.append(
            f'{where}.stage_two_start: {start} is not below max_epochs = {epochs}, '
            'so the second stage would never start'
        )
    return found


def force_weights(
    forces: Sequence[NDArray[np.float64]], scale: float, ratio: float
) -> NDArray[np.float64]:
    """Return loss weights that stop frames with large forces from drowning the curvature.

    ``w = 1 / (f^2 + scale^2)``, f being the root mean square force component of a frame; the
    weights have mean 1. A frame's is written to ``info['config_forces_weight']``, which
    mace_run_train multiplies into its squared force error.

    :param forces: per frame (n, 3) in eV/angstrom.
    :param scale: eV/angstrom.
    :param ratio: largest ratio of a weight to the smallest.
    :return: (number of frames,).
    """
    square = np.array([np.mean(np.square(f)) for f in forces])
    weights = 1.0 / (square + scale**2)
    weights = np.minimum(weights, ratio * weights.min())
    return weights / weights.mean()


def split_problems(splits: Mapping[str, int], settings: Mapping[str, Any], where: str) -> list[str]:
    """Return what keeps a dataset with these numbers of frames from being trained on.

    :param splits: number of frames per split (``train``, ``valid``, ``test``).
    :param settings: values of :class:`TrainSettings`.
    """
    found = [
        f"{where}: no frame has the split '{split}', so {purpose}"
        for split, purpose in (
            ('train', 'there is nothing to train on'),
            ('valid', 'no epoch could be chosen'),
        )
        if not splits.get(split)
    ]
    train = splits.get('train', 0)
    if train and train < settings['minimum_frames']:
        found.append(
            f'{where}: {train} training frames are fewer than the minimum_frames of '
            f'{settings["minimum_frames"]}'
        )
    if train and train < settings['batch_size']:
        found.append(
            f'{where}: {train} training frames do not fill one batch of {settings["batch_size"]}; '
            'mace drops unfilled batches, so nothing would be left'
        )
    return found
