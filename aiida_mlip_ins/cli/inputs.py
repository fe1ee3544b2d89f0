"""Turns what the user typed into nodes, and collects every problem on the way."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent
from ase.io import read

from aiida_mlip_ins.calculations.functions.measured import read_measured_spectrum
from aiida_mlip_ins.calculations.mace_fetch import is_public_name
from aiida_mlip_ins.cli.nodes import find_node
from aiida_mlip_ins.data.frames import DatasetData, FramesData
from aiida_mlip_ins.data.measured import MeasuredSpectrumData
from aiida_mlip_ins.data.model import MaceModelData, model_file_problem
from aiida_mlip_ins.data.spectrum import InsSpectrumData
from aiida_mlip_ins.data.structure import to_structure
from aiida_mlip_ins.science.readers import ReadSettings, read_file
from aiida_mlip_ins.science.structure import pressure_problems, read_crystal


class Inputs:
    """Each method returns what was asked for, or ``None`` and one more of :attr:`problems`."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.files: dict[str, Path] = {}
        """Files that were read to check them, by the UUID of the node that stands for each until
        the inputs have been accepted; see :meth:`import_files`."""

    def attempt(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the function returns, or ``None`` if it raises a ``ValueError``."""
        try:
            return function(*arguments)
        except ValueError as error:
            self.problems += str(error).splitlines()
            return None

    def structure(self, text: str, require_hydrogen: bool) -> orm.StructureData | None:
        """Return a crystal from a file that ASE reads or from a node."""
        if Path(text).exists():
            atoms = self.attempt(read_crystal, text, require_hydrogen)
            if atoms is None:
                return None
            node = to_structure(atoms)
            node.label = Path(text).stem
            return node
        return self.node('structure', text, orm.StructureData)

    def node(self, name: str, text: str | None, kind: type[orm.Node]) -> Any:
        """Return the node with this PK, UUID or label; none if nothing was given."""
        if text is None:
            return None
        try:
            return find_node(text, kind)
        except ValueError as error:
            self.problems.append(f'{name}: {error}')
            return None

    def process(self, name: str, text: str | None) -> orm.ProcessNode | None:
        """Return a process by its PK, UUID or label; none if nothing was given."""
        return self.node(name, text, orm.ProcessNode)

    def output(self, process: orm.ProcessNode, name: str) -> Any:
        """Return an output of a process, or a namespace of outputs."""
        if name in process.outputs:
            return process.outputs[name]
        self.problems.append(f"<{process.pk}> ({process.process_label}) has no output '{name}'")
        return None

    def code(self, name: str, label: str) -> orm.AbstractCode | None:
        """Return a code by its label or PK."""
        try:
            return orm.load_code(label)
        except (NotExistent, MultipleObjectsError, ValueError):
            labels = orm.QueryBuilder().append(orm.InstalledCode).all(flat=True)
            known = ', '.join(sorted(code.full_label for code in labels)) or 'none'
            self.problems.append(
                f"{name}: there is no code '{label}' (there is: {known}); `aiida-mlip-ins setup` "
                'makes what is missing'
            )
            return None

    def model(self, text: str | None, name: str = 'model') -> MaceModelData | None:
        """Return a model node; files and public names are for an engine job to make one of.

        A node that was made of a public name has it as its label.
        """
        if text is not None and is_public_name(text) and not self._is_label(text):
            self.problems.append(
                f'{name}: {text} is a public name, and no node has it; `aiida-mlip-ins launch '
                f'fetch-model {text}` makes one, to be given here by its PK or this name'
            )
            return None
        if text is not None and Path(text).is_file():
            self.problems.append(
                f'{name}: {text} is a file; `aiida-mlip-ins launch inspect-model {text}` makes a '
                'node of it, whose PK is to be given here'
            )
            return None
        return self.node(name, text, MaceModelData)

    @staticmethod
    def _is_label(text: str) -> bool:
        """Whether there is a model with this label."""
        nodes = orm.QueryBuilder().append(MaceModelData, filters={'label': text})
        return nodes.count() > 0

    def model_or_file(self, name: str, text: str) -> orm.SinglefileData | None:
        """Return a model node, or the file of a model, for what can inspect it itself."""
        if not Path(text).is_file():
            return self.node(name, text, MaceModelData)
        problem = model_file_problem(text)
        if problem:
            self.problems.append(f'{name}: {problem}')
            return None
        return orm.SinglefileData(Path(text).resolve())

    def frames(self, text: str) -> FramesData | None:
        """Return frames from a node or from a file that ASE reads."""
        if not Path(text).is_file():
            return self.node('frames', text, FramesData)
        frames = self._read('frames', Path(text))
        return self.attempt(FramesData.from_frames, frames) if frames else None

    def dataset(self, text: str | None, method: str | None) -> DatasetData | None:
        """Return labelled frames from a node, or from an extended XYZ file and its method."""
        if text is None or not Path(text).is_file():
            return self.node('dataset', text, DatasetData)
        if method is None:
            self.problems.append(
                f'dataset: {text} is a file; say with --method how its labels were computed'
            )
            return None
        frames = self._read('dataset', Path(text))
        return self.attempt(DatasetData.from_frames, frames, method) if frames else None

    def spectrum(self, name: str, text: str, simulated: bool = True) -> Any:
        """Return a measured spectrum from a node or a file, or a simulated one from a node."""
        if not Path(text).is_file():
            node = self.node(name, text, orm.ArrayData)
            kinds = (MeasuredSpectrumData, InsSpectrumData) if simulated else MeasuredSpectrumData
            if node is not None and not isinstance(node, kinds):
                what = 'spectrum' if simulated else 'measured spectrum'
                self.problems.append(f'{name}: <{node.pk}> is a {type(node).__name__}, no {what}')
                return None
            return node
        spectrum = self.attempt(read_file, Path(text), ReadSettings())
        if spectrum is None:
            return None
        node = MeasuredSpectrumData.from_spectrum(spectrum)
        self.files[node.uuid] = Path(text)
        return node

    def import_files(self, namespace: MutableMapping[str, Any]) -> None:
        """Read the files again as calcfunctions, so that each spectrum has its file as its source.

        :param namespace: inputs at any depth, in which the nodes are replaced.
        """
        for key, value in namespace.items():
            if isinstance(value, MutableMapping):
                self.import_files(value)
            elif isinstance(value, orm.Node) and value.uuid in self.files:
                path = self.files[value.uuid]
                node = read_measured_spectrum(orm.SinglefileData(path.resolve()), orm.Dict({}))
                node.label = path.stem
                namespace[key] = node

    def pressures(self, given: Sequence[Sequence[float]]) -> list[float]:
        """Return the pressures (GPa) of all options together."""
        pressures = [value for values in given for value in values]
        self.problems += pressure_problems(pressures)
        return pressures

    def overrides(self, path: Path | None, **extra: Any) -> dict[str, Any] | None:
        """Return the content of an overrides file, with what other options say on top."""
        content: Any = {}
        if path is not None:
            try:
                content = yaml.safe_load(path.read_text()) or {}
            except yaml.YAMLError as error:
                self.problems.append(f'overrides: {path} is not YAML: {error}')
                return None
            if not isinstance(content, dict):
                self.problems.append(f'overrides: {path} has no keys at its top level')
                return None
        return {**content, **{key: value for key, value in extra.items() if value is not None}}

    def _read(self, name: str, path: Path) -> list[Any] | None:
        """Return the frames of a file; each says where it came from, as far as the file tells."""
        try:
            frames = read(path, index=':')
        except Exception as error:
            # ASE's readers raise whatever they stumble over
            self.problems.append(f'{name}: {path} cannot be read ({type(error).__name__}: {error})')
            return None
        for frame in frames:
            frame.info.setdefault('source', path.stem)
        return frames
