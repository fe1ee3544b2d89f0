"""Whether a training that came to its end may count as a success."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiida_mlip_ins.science.training_report import CURVES, validations

QUANTITIES = {'force': ('meV/angstrom', 1.0), 'stress': ('GPa', 1.1)}
"""What decides frequencies and cells, and so whether a model is a better one: unit, and up to which
factor an error counts as no larger. Frames have six stresses each, whose mean error is known to a
tenth at best."""
DIVERGED = 2.0
"""Where the error of stresses has grown by this factor in the training, they have diverged."""

Failure = dict[str, str]
"""``kind``, ``message`` and ``hint``."""


def error_of_validation(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return the errors in one entry of the training log, in the units of our tables."""
    return {
        name: float(entry[key]) * factor
        for name, (key, factor) in CURVES.items()
        if name.endswith('_mae') and key in entry
    }


def heads_unseen(heads: Sequence[str], entries: Iterable[Mapping[str, Any]]) -> Failure | None:
    """Return a failure if a head of the model was never validated: it saw no data.

    :param entries: of the training log.
    """
    known = list(entries)
    unseen = [head for head in heads if not validations(known, head)]
    if not unseen:
        return None
    return {
        'kind': 'HEAD_UNSEEN',
        'message': f'the model has the heads {list(heads)}, but {unseen} saw no data',
        'hint': 'Its weights are random; look at the frames of the replay.',
    }


def training_failure(
    initial: Mapping[str, float],
    errors: Mapping[str, Any],
    before: Mapping[str, Any] | None,
) -> Failure | None:
    """Return a failure if a model is no better than before its training, or than its foundation.

    Forces have to be better. A model trained from scratch may well have its stresses worse at
    first, so of them no more is asked than that they have not diverged.

    :param initial: ``force_mae`` and maybe ``stress_mae`` on the validation frames at the start.
    :param errors: of the model, per split (see ``training_report.error_table``).
    :param before: those of the foundation model on the same frames, if there is one.
    """
    final = errors['valid']
    if not final['force_mae'] < initial['force_mae']:
        return {
            'kind': 'NO_IMPROVEMENT',
            'message': f'the force error on the validation frames is {final["force_mae"]:.1f} '
            f'meV/angstrom, but was {initial["force_mae"]:.1f} before the training',
            'hint': 'Look at the learning curve; the learning rate may be too high.',
        }
    stress = final.get('stress_mae')
    if stress is not None and stress > DIVERGED * initial.get('stress_mae', stress):
        return {
            'kind': 'STRESS_DIVERGED',
            'message': f'the stress error on the validation frames is {stress:.2f} GPa, but was '
            f'{initial["stress_mae"]:.2f} before the training',
            'hint': 'Stresses count too little in the loss (stress_weight), or are not those of '
            'the energies.',
        }
    return None if before is None else _worse(errors, before)


def _worse(errors: Mapping[str, Any], before: Mapping[str, Any]) -> Failure | None:
    """Return a failure if a model is worse than its foundation on the frames held out."""
    split = 'test' if 'test' in errors else 'valid'
    after, first = errors[split], before[split]
    worse = [
        f'the {name} error is {after[key]:.3g} {unit}, '
        f'but the foundation model has {first[key]:.3g}'
        for name, (unit, factor) in QUANTITIES.items()
        if (key := f'{name}_mae') in after and key in first and not after[key] < factor * first[key]
    ]
    if not worse:
        return None
    return {
        'kind': 'WORSE_THAN_FOUNDATION',
        'message': f'on the held-out frames ({split}) {" and ".join(worse)}',
        'hint': 'Fine-tune for longer, with a lower learning rate, or on more frames.',
    }
