"""The whole chain on brucite: DFT, MACE, two pressures, phonons, INS, comparison.

Run it with ``verdi run examples/09_high_pressure_ins.py`` after ``aiida-mlip-ins setup``; with the
protocol ``fast`` it takes about half an hour on two cores. It needs no daemon.
"""

from aiida import orm
from aiida.engine import run_get_node
from ase.spacegroup import crystal

from aiida_mlip_ins.query.summary import summary
from aiida_mlip_ins.workflows.pipeline import HighPressureInsWorkChain

PRESSURES = [0.0, 1.5]  # GPa
PROTOCOL = 'fast'
ENGINES = 'mlip-ins-engines@localhost'
PW = 'pw@localhost'

brucite = crystal(
    ('Mg', 'O', 'H'),
    [(0, 0, 0), (1 / 3, 2 / 3, 0.2203), (1 / 3, 2 / 3, 0.4130)],
    spacegroup=164,
    cellpar=[3.142, 3.142, 4.766, 90, 90, 120],
)
builder = HighPressureInsWorkChain.get_builder_from_protocol(
    structure=orm.StructureData(ase=brucite),
    pressures=PRESSURES,
    engine_code=ENGINES,
    pw_code=PW,
    protocol=PROTOCOL,
)
_, node = run_get_node(builder)
print(f'HighPressureInsWorkChain<{node.pk}>: exit status {node.exit_status}')
for row in summary(node)['pressures']:
    print(row)
