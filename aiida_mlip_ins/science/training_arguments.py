"""What mace_run_train is told through its command line: which argument is which setting."""

from __future__ import annotations

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
    'lbfgs': "use the setting 'lbfgs_start'",
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
