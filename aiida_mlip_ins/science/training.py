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
from aiida_mlip_ins.science.training_arguments import RESERVED_ARGUMENTS, STAGE_TWO_ARGUMENTS

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
    whose weights and learning rate are then needed too, and ``lbfgs_start`` L-BFGS, which goes on
    with the loss before it. With a foundation model, its architecture is kept and ``r_max`` to
    ``num_radial_basis`` are not used.
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
    max_epochs: int = setting(
        'Number of epochs; one of L-BFGS is `lbfgs_iterations` passes over the frames, and longer.',
        minimum=1,
    )
    eval_interval: int = setting('Epochs between validations.', 'epochs', minimum=1)
    learning_rate: float = setting('Learning rate.', above=0.0)
    weight_decay: float = setting('L2 penalty of the weights, but in L-BFGS.', minimum=0.0)
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
    lbfgs_start: int | None = setting(
        'Epoch from which L-BFGS over all frames at once takes the place of steps over batches; '
        'never if not given.',
        minimum=1,
        optional=True,
    )
    lbfgs_iterations: int | None = setting(
        'Iterations of L-BFGS in one epoch, each of one pass over the frames or a little more.',
        minimum=1,
        optional=True,
    )
    lbfgs_history: int | None = setting(
        'Updates that L-BFGS remembers; each takes twice the memory of the weights.',
        minimum=1,
        optional=True,
    )
    foundation_head: str | None = setting(
        'Head of the foundation model to start from.', optional=True
    )
    mace_arguments: Mapping[str, Any] | None = setting(
        'Further arguments of mace_run_train, by their long names without dashes.', optional=True
    )


LBFGS = ('lbfgs_iterations', 'lbfgs_history')
"""Settings that ``lbfgs_start`` needs."""


def passes_left(settings: TrainSettings, epoch: int) -> int:
    """Return how often, from an epoch on, the training goes through its frames.

    An iteration of L-BFGS takes one pass or, now and then, two.
    """
    start = settings.max_epochs if settings.lbfgs_start is None else settings.lbfgs_start
    last = settings.max_epochs - max(epoch, start)
    return max(0, start - epoch) + last * (settings.lbfgs_iterations or 1)


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
    begins = (
        ('stage_two_start', tuple(STAGE_TWO_ARGUMENTS.values()), 'the second stage'),
        ('lbfgs_start', LBFGS, 'L-BFGS'),
    )
    for begin, needed, name in begins:
        found.extend(_begin_problems(values, where, begin, needed, name))
    if values.get('lbfgs_start') is not None:
        found.extend(_lbfgs_problems(values, where))
    return found


def _begin_problems(
    values: Mapping[str, Any], where: str, begin: str, needed: Sequence[str], name: str
) -> list[str]:
    """Return what is wrong with a part of the training that begins at some epoch, if it does."""
    start, epochs = values.get(begin), values.get('max_epochs')
    if start is None:
        return []
    found = [
        f"{where}: '{other}' is missing, it is needed with '{begin}'"
        for other in needed
        if values.get(other) is None
    ]
    if isinstance(start, int) and isinstance(epochs, int) and start >= epochs:
        found.append(
            f'{where}.{begin}: {start} is not below max_epochs = {epochs}, '
            f'so {name} would never start; give a smaller one, or null to do without'
        )
    return found


def _lbfgs_problems(values: Mapping[str, Any], where: str) -> list[str]:
    """Return what keeps L-BFGS from working: it needs exact numbers, and one loss to lower."""
    found = []
    if values.get('dtype') == 'float32':
        found.append(
            f"{where}.lbfgs_start: L-BFGS needs the dtype 'float64', not 'float32'; "
            'lbfgs_start: null trains by steps alone'
        )
    start, second = values['lbfgs_start'], values.get('stage_two_start')
    if isinstance(start, int) and isinstance(second, int) and start < second:
        found.append(
            f'{where}.lbfgs_start: {start} is before stage_two_start = {second}; '
            'L-BFGS belongs to the last stage'
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
