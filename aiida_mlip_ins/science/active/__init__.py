"""Active learning: which frames to compute next, how a round went, and whether that is enough.

Pure functions of frames, labels of a committee's members, numbers and seeds.
"""

from aiida_mlip_ins.science.active.choice import Choice, most_disputed, new_splits, volume_range
from aiida_mlip_ins.science.active.settings import ActiveSettings, active_problems
from aiida_mlip_ins.science.active.spreads import (
    NO_FORCE,
    disagreement,
    frame_spreads,
    frequency_spread,
    pool_spreads,
    rms,
    without_symmetric_zeros,
)
from aiida_mlip_ins.science.active.targets import TARGETS, UNITS, asked, needs_labels, verdict

__all__ = [
    'NO_FORCE',
    'TARGETS',
    'UNITS',
    'ActiveSettings',
    'Choice',
    'active_problems',
    'asked',
    'disagreement',
    'frame_spreads',
    'frequency_spread',
    'most_disputed',
    'needs_labels',
    'new_splits',
    'pool_spreads',
    'rms',
    'verdict',
    'volume_range',
    'without_symmetric_zeros',
]
