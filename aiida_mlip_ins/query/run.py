"""A run as its readers need it: outputs by name, values by pressure, whatever part of it exists.

The names are those of the outputs of `HighPressureInsWorkChain`. A link of the chain that was run
alone, or a run that is not done, is read in the same way; what it does not have is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.links import LinkType

from aiida_mlip_ins.data.frames import DatasetData
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.science.committee import HELD_OUT

PLACES: dict[str, dict[str, str]] = {
    'mlip_ins.reference': {'': ''},
    'mlip_ins.mace_train': {'model': 'model', '': 'training'},
    'mlip_ins.train': {'model': 'model', '': 'training'},
    'mlip_ins.active_learning': {
        'dataset': 'dataset', 'model': 'model', 'rounds': 'rounds', '': 'mace',
    },
    'mlip_ins.pw_pressure_scan': {'': 'pw'},
    'mlip_ins.mace_pressure_scan': {'': 'mace'},
    'mlip_ins.mace_relax': {'': 'mace'},
    'mlip_ins.pw_phonons': {'*': 'pw'},
    'mlip_ins.mace_phonons': {'*': 'mace'},
    'mlip_ins.ins': {'spectrum': 'spectra.pressure_0', 'intensities': 'intensities.pressure_0'},
    'mlip_ins.md_ins': {
        'spectrum': 'spectra.pressure_0', 'intensities': 'intensities.pressure_0',
    },
    'mlip_ins.cure': {
        'structure': 'cure.structures.pressure_0', 'report': 'cure.reports.pressure_0',
        'force_constants': 'mace.force_constants.pressure_0', 'modes': 'mace.modes.pressure_0',
        'summary': 'mace.phonons.pressure_0', 'spectrum': 'spectra.pressure_0',
        'intensities': 'intensities.pressure_0',
    },
    'mlip_ins.compare': {'': 'comparison'},
}  # fmt: skip
"""Where the outputs of a link that was run alone belong among those of the whole chain."""
PHONONS = {'modes': 'modes', 'force_constants': 'force_constants', 'summary': 'phonons'}


@dataclass(frozen=True)
class Point:
    """Everything at one pressure."""

    index: int
    pressure_gpa: float
    nodes: dict[str, orm.Node]
    mace: dict[str, Any]
    """What the relaxation with MACE says (see its ``results``), empty if there is none."""
    dft: dict[str, Any]
    """Likewise with DFT."""
    phonons: dict[str, Any]
    """Summary of MACE's phonons."""

    @property
    def spectrum(self) -> InsSpectrumData | None:
        """The spectrum with the resolution of the instrument."""
        return self.nodes.get('spectrum')

    def frequencies(self, engine: str) -> np.ndarray | None:
        """Return the frequencies (n_modes, 1/cm) at Gamma with ``mace`` or ``pw``."""
        node = self.nodes.get(f'{engine}_modes')
        return None if node is None else node.get_array('frequencies')


class Run:
    """A process and what it has made so far."""

    def __init__(self, node: orm.ProcessNode) -> None:
        self.node = node

    @cached_property
    def plugin(self) -> str:
        """Entry point of the process."""
        return (self.node.process_type or '').partition(':')[2]

    @cached_property
    def outputs(self) -> dict[str, orm.Node]:
        """Output nodes by their name in the whole chain, such as ``mace.modes.pressure_0``."""
        links = self.node.base.links.get_outgoing(link_type=(LinkType.CREATE, LinkType.RETURN))
        return {self._place(link.link_label.replace('__', '.')): link.node for link in links.all()}

    @cached_property
    def inputs(self) -> dict[str, orm.Node]:
        """Input nodes by name, namespaces joined by dots."""
        links = self.node.base.links.get_incoming(
            link_type=(LinkType.INPUT_CALC, LinkType.INPUT_WORK)
        )
        return {link.link_label.replace('__', '.'): link.node for link in links.all()}

    def content(self, name: str) -> dict[str, Any]:
        """Return the content of a Dict output, empty if there is no such output yet."""
        node = self.outputs.get(name)
        return node.get_dict() if isinstance(node, orm.Dict) else {}

    def named(self, kind: str) -> orm.Node | None:
        """Return an output, or the input of the same name for a chain that started there."""
        return self.outputs.get(kind) or self.inputs.get(kind)

    @property
    def dataset(self) -> DatasetData | None:
        """The labelled frames."""
        return self.named('dataset')

    @property
    def structure(self) -> orm.StructureData | None:
        """The crystal that the run was given."""
        return self.inputs.get('structure')

    @cached_property
    def pressures(self) -> list[float]:
        """Pressures (GPa) in the order of their index."""
        if 'pressures' in self.inputs:
            return [float(p) for p in self.inputs['pressures'].get_list()]
        for engine in ('mace', 'pw'):
            rows = self.content(f'{engine}.results').get('pressures', [])
            if rows:
                return [float(row['pressure_gpa']) for row in rows]
        given = self.inputs.get('pressure')
        if given is not None:
            return [float(given.value)]
        spectrum = self.outputs.get('spectra.pressure_0')
        if spectrum is not None:
            return [float(spectrum.base.attributes.get('pressure_gpa') or 0.0)]
        return [0.0] if any('pressure_0' in name for name in self.outputs) else []

    @cached_property
    def points(self) -> list[Point]:
        """What there is at each pressure, in the order of the index."""
        return [self._point(index, pressure) for index, pressure in enumerate(self.pressures)]

    @cached_property
    def errors(self) -> dict[str, Any]:
        """Errors of the potential per split, units as in the ``errors`` of the training."""
        return self.content('training.errors')

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the comparison."""
        return self.content('comparison.metrics')

    def comparison(self, index: int) -> dict[str, Any]:
        """Return MACE against DFT at one pressure, empty if it was not compared."""
        return _of_pressure(self.metrics.get('pressures', []), index, self.pressures[index])

    def on_supercell(self, index: int) -> dict[str, Any]:
        """Return MACE against DFT over the zone at one pressure, empty if it was not compared."""
        return self.content(f'comparison.supercell.pressure_{index}')

    def reach(self, index: int) -> dict[str, Any]:
        """Return whether one pressure was trained on, empty if it was not looked at."""
        rows = self.content('comparison.reach').get('pressures', [])
        return _of_pressure(rows, index, self.pressures[index])

    @cached_property
    def shifts(self) -> list[dict[str, Any]]:
        """The table of the comparison: one row a mode, lists over the pressures."""
        return self.content('comparison.table').get('rows', [])

    @property
    def held_out(self) -> str | None:
        """The split that the potential has not seen, and that its errors are stated on."""
        return next((split for split in HELD_OUT if split in self.errors), None)

    def _point(self, index: int, pressure: float) -> Point:
        key = f'pressure_{index}'
        places = {
            'spectrum': f'spectra.{key}',
            'intensities': f'intensities.{key}',
            **{
                f'{engine}_{what}': f'{engine}.{place}.{key}'
                for engine in ('mace', 'pw')
                for what, place in (
                    ('structure', 'structures'), ('modes', 'modes'),
                    ('force_constants', 'force_constants'), ('phonons', 'phonons'),
                )
            },
            'cured_structure': f'cure.structures.{key}',
            'supercell_errors': f'comparison.supercell.{key}',
        }  # fmt: skip
        return Point(
            index=index,
            pressure_gpa=pressure,
            nodes={n: self.outputs[p] for n, p in places.items() if p in self.outputs},
            mace=self._row('mace', index),
            dft=self._row('pw', index),
            phonons=self.content(f'mace.phonons.{key}'),
        )

    def _row(self, engine: str, index: int) -> dict[str, Any]:
        """Return what the relaxation of an engine says of one pressure."""
        rows = self.content(f'{engine}.results').get('pressures', [])
        return _of_pressure(rows, index, self.pressures[index])

    def _place(self, name: str) -> str:
        """Return the name that an output has in the whole chain."""
        places = PLACES.get(self.plugin)
        if places is None:
            return name
        if '*' in places:
            return f'{places["*"]}.{PHONONS.get(name, name)}.pressure_0'
        if name in places:
            return places[name]
        prefix = places.get('', '')
        return f'{prefix}.{name}' if prefix else name


def _of_pressure(rows: list[dict[str, Any]], index: int, pressure: float) -> dict[str, Any]:
    """Return the row of a pressure: failed ones are missing, so positions do not tell."""
    for row in rows:
        if row.get('index', index) == index and abs(row['pressure_gpa'] - pressure) < 1e-9:
            return row
    return {}


def walk(content: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dicts with dotted names."""
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from walk(value, f'{prefix}.{key}' if prefix else str(key))
    else:
        yield prefix, content
