"""Resolution of an instrument and broadening of a binned spectrum with it.

Widths come from resins, which gives standard deviations against energy transfer with their source.
Where its models cannot be evaluated (VISION, TFXA and TOSCA-1 in 0.1.0), others take their place: a
published polynomial in the energy transfer, the same figures in a formula of our own
(:mod:`aiida_mlip_ins.science.time_focusing`), or given coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.special import erf

from aiida_mlip_ins.science.ins import select
from aiida_mlip_ins.science.settings import nearest, setting, unknown_keys
from aiida_mlip_ins.science.time_focusing import Spectrometer, energy_width
from aiida_mlip_ins.science.units import PER_CM_PER_MEV

REACH = 6.0
"""Standard deviations after which a Gaussian is cut off (2e-9 of its area)."""


IDEAL = 'IDEAL'
"""What resins has for widths that are no instrument's."""

POLYNOMIAL = 'polynomial'
"""Model that any instrument has, with the argument ``coefficients``."""

PUBLISHED = {
    ('VISION', 'OCLIMAX'): (
        (2.5, 0.005, 1e-7),
        'OCLIMAX, its default parameter ERES for VISION; Y. Q. Cheng, L. L. Daemen, A. I. '
        'Kolesnikov, A. J. Ramirez-Cuesta, J. Chem. Theory Comput., 2019, 15, 1974-1982. '
        'https://doi.org/10.1021/acs.jctc.8b01250',
    ),
}
"""Coefficients (1/cm, 1, cm, ...) of the standard deviation in powers of the energy transfer."""


ANCESTORS = ('TFXA', 'TOSCA1')
"""Versions of TOSCA whose resolution, the model ``book``, is made of resins' figures here."""


@dataclass(frozen=True)
class ResolutionSettings:
    """What decides how sharp an instrument sees."""

    instrument: str = setting('Instrument, as resins names it.')
    model: str = setting(
        'Model of its resolution, as resins names it; OCLIMAX for VISION; or "polynomial" with the '
        'argument "coefficients" of the standard deviation, in 1/cm, 1, cm, ...'
    )
    arguments: dict = setting(
        'Arguments of the model, such as a bank or an incident energy in meV; empty for none.'
    )


def resolution_problems(settings: ResolutionSettings, where: str) -> list[str]:
    """Return why this resolution cannot be made, an empty list if it can."""
    if settings.model == POLYNOMIAL:
        return _polynomial_problems(settings, where)
    if (settings.instrument, settings.model) in PUBLISHED or _is_focused(settings):
        return unknown_keys(settings.arguments, (), f'{where}.arguments')
    return _resins_problems(settings, where)


def _resins_problems(settings: ResolutionSettings, where: str) -> list[str]:
    """Return why resins cannot make a resolution."""
    from resins import Instrument

    names = sorted({*Instrument.available_instruments(), *ANCESTORS})
    if settings.instrument not in names:
        return [
            f"{where}.instrument: unknown '{settings.instrument}'"
            f'{nearest(settings.instrument, names)}'
        ]
    instrument = _instrument(settings)
    own = [model for name, model in PUBLISHED if name == settings.instrument]
    models = [*instrument.available_models, *own, POLYNOMIAL]
    if settings.model not in models:
        return [
            f"{where}.model: {settings.instrument} has no model '{settings.model}'"
            f'{nearest(settings.model, models)}'
        ]
    # resins takes any name without a word.
    signature = instrument.get_model_signature(settings.model).parameters
    names = [
        name
        for name, parameter in signature.items()
        if name not in ('model_name', '_') and parameter.kind is not parameter.VAR_KEYWORD
    ]
    found = unknown_keys(settings.arguments, names, f'{where}.arguments')
    if found:
        return found
    try:
        sigma(settings, np.array([100.0]))
    except ValueError as error:
        return [
            f'{where}: resins refuses {settings.instrument} with the model {settings.model} and '
            f'{settings.arguments}: {error}'
        ]
    return []


def _polynomial_problems(settings: ResolutionSettings, where: str) -> list[str]:
    """Return what is wrong with given coefficients."""
    found = unknown_keys(settings.arguments, ('coefficients',), f'{where}.arguments')
    values = settings.arguments.get('coefficients')
    if not isinstance(values, list | tuple) or not values:
        found.append(f"{where}.arguments: 'coefficients' must be a list of numbers (1/cm, 1, ...)")
    elif not all(isinstance(v, int | float) and np.isfinite(v) for v in values):
        found.append(f'{where}.arguments.coefficients: they must all be finite numbers')
    return found


def sigma(settings: ResolutionSettings, energy: np.ndarray) -> np.ndarray:
    """Return the standard deviation (n,) in 1/cm of the resolution at each energy (n,) in 1/cm.

    :raises ValueError: if the model cannot be evaluated, has no Gaussian width, or not a positive
        one everywhere.
    """
    coefficients = _coefficients(settings)
    if coefficients is not None:
        widths = np.polynomial.polynomial.polyval(np.asarray(energy, dtype=float), coefficients)
        return _positive(widths)
    if _is_focused(settings):
        spectrometer = Spectrometer.from_resins(settings.instrument)
        return _positive(energy_width(spectrometer, energy / PER_CM_PER_MEV) * PER_CM_PER_MEV)
    points = (np.asarray(energy, dtype=float) / PER_CM_PER_MEV)[:, None]
    try:
        found = _model(settings).get_characteristics(points)
    except Exception as error:
        # resins 0.1.0 asserts that widths are positive, and has models that it cannot evaluate.
        raise ValueError(
            f'resins cannot evaluate it from {np.min(energy):g} to {np.max(energy):g} 1/cm '
            f'({type(error).__name__}: {error})'
        ) from error
    if 'sigma' not in found:
        raise ValueError(f'its shape is not a Gaussian: {", ".join(found)}')
    return _positive(np.broadcast_to(found['sigma'], len(points)) * PER_CM_PER_MEV)


def _is_focused(settings: ResolutionSettings) -> bool:
    """Whether the widths are those of ``science.time_focusing``."""
    return settings.instrument in ANCESTORS and settings.model == 'book'


def _positive(widths: np.ndarray) -> np.ndarray:
    """Return widths (n,) that are usable.

    :raises ValueError: if they are not.
    """
    if not (np.isfinite(widths) & (widths > 0)).all():
        raise ValueError('its width is not positive over the whole range of energies')
    return widths


def _coefficients(settings: ResolutionSettings) -> list[float] | None:
    """Return the coefficients of a polynomial, ``None`` for a model of resins."""
    if settings.model == POLYNOMIAL:
        return [float(value) for value in settings.arguments['coefficients']]
    published = PUBLISHED.get((settings.instrument, settings.model))
    return None if published is None else list(published[0])


def citation(settings: ResolutionSettings) -> list[str]:
    """Return the publications that the resolution is from, none for given coefficients."""
    if settings.model == POLYNOMIAL:
        return []
    published = PUBLISHED.get((settings.instrument, settings.model))
    if published is not None:
        return [published[1]]
    return [str(item) for item in _model(settings).citation if item]


def _instrument(settings: ResolutionSettings) -> Any:
    """Return the instrument of resins, which has the ancestors of TOSCA as versions of it."""
    from resins import Instrument

    if settings.instrument in ANCESTORS:
        return Instrument.from_default('TOSCA', settings.instrument)
    return Instrument.from_default(settings.instrument)


def _model(settings: ResolutionSettings) -> Any:
    """Return the resolution function of resins."""
    return _instrument(settings).get_resolution_function(settings.model, **settings.arguments)


def beyond(widths: np.ndarray, line_width: float) -> np.ndarray:
    """Return what to broaden lines with that have a width, so that they get the one asked for.

    Variances of Gaussians add. Where lines are wider than asked for, they stay as they are.

    :param widths: (n,) standard deviations asked for, 1/cm.
    :param line_width: standard deviation of the lines, 1/cm.
    :return: (n,) 1/cm, above zero.
    """
    return np.sqrt(np.maximum(widths**2 - line_width**2, (1e-6 * widths) ** 2))


def broaden_lines(
    edges: np.ndarray,
    rows: Sequence[Mapping[str, Any]],
    intensity: np.ndarray,
    widths: np.ndarray,
    line_width: float,
) -> np.ndarray:
    """Return the intensity (n_rows, n) with lines of the widths of a resolution in every row.

    Lines have a width before, which each quantum adds: those of order n are sqrt(n) times as wide.
    Rows that are sums are made of the others, as these differ in what is added.

    :param edges: (n + 1,) edges of bins of one size, 1/cm.
    :param rows: what each row of ``intensity`` (n_rows, n) is of.
    :param widths: (n,) standard deviation of the resolution at the centre of each bin, 1/cm.
    :param line_width: standard deviation of lines of one quantum before, 1/cm.
    """
    return _by_order(edges, rows, intensity, line_width, lambda own: beyond(widths, own))


def broaden_alike(
    edges: np.ndarray,
    rows: Sequence[Mapping[str, Any]],
    intensity: np.ndarray,
    widths: np.ndarray,
    line_width: float,
) -> np.ndarray:
    """Return the intensity (n_rows, n) of sharp lines, made as wide as :func:`broaden_lines` does.

    That is the width of the resolution, or of lines that have one before, whichever is the wider.

    :param line_width: standard deviation that lines of one quantum would have before, 1/cm.
    """
    return _by_order(edges, rows, intensity, line_width, lambda own: np.maximum(widths, own))


def _by_order(
    edges: np.ndarray,
    rows: Sequence[Mapping[str, Any]],
    intensity: np.ndarray,
    line_width: float,
    added: Callable[[float], np.ndarray],
) -> np.ndarray:
    """Return the rows (n_rows, n), each order broadened with what is added to its line width."""
    orders = np.array([row.get('order', 1) for row in rows])
    broadened = np.zeros_like(intensity)
    for order in np.unique(orders):
        chosen = orders == order
        widths = added(line_width * np.sqrt(order))
        broadened[chosen] = broaden(edges, intensity[chosen], widths)
    return np.array([select(rows, broadened, row) for row in rows])


def broaden(edges: np.ndarray, intensity: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return the intensity (n_rows, n) with each bin spread as a Gaussian of its own width.

    The share of a Gaussian that falls into a bin is its exact integral over the bin, so that widths
    below the size of a bin are safe. Shares are normalised within the range: the area is conserved,
    and what would leave at an end stays there.

    :param edges: (n + 1,) edges of bins of one size, 1/cm.
    :param intensity: (n_rows, n).
    :param widths: (n,) standard deviation at the centre of each bin, 1/cm.
    """
    count = len(edges) - 1
    width = edges[1] - edges[0]
    reach = min(count, int(np.ceil(REACH * widths.max() / width)) + 1)
    offsets = np.arange(-reach, reach + 1)
    lower = (offsets[None, :] - 0.5) * width / (np.sqrt(2.0) * widths[:, None])
    upper = (offsets[None, :] + 0.5) * width / (np.sqrt(2.0) * widths[:, None])
    shares = (erf(upper) - erf(lower)) / 2.0
    targets = np.arange(count)[:, None] + offsets[None, :]
    inside = (targets >= 0) & (targets < count)
    shares = np.where(inside, shares, 0.0)
    shares /= shares.sum(axis=1, keepdims=True)
    sources = np.broadcast_to(np.arange(count)[:, None], targets.shape)
    kernel = coo_array(
        (shares[inside], (sources[inside], targets[inside])), shape=(count, count)
    ).tocsr()
    broadened: np.ndarray = np.asarray((kernel.T @ intensity.T).T)
    return broadened
