"""Driver: download a foundation model by its public name, and say what is in it."""

from __future__ import annotations

import http.client
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

from aiida_mlip_ins.drivers.common import DriverError, Job, main
from aiida_mlip_ins.science.settings import nearest

MODEL = 'model.model'
FAMILIES = {'mace_mp': 'mace_mp_urls', 'mace_off': 'mace_off_urls'}
"""Family of models -> the table of mace, ``mace.calculators.foundations_models``, with names and
addresses: which models there are is for mace to say."""
TIMEOUT = 120.0
"""s without an answer, or without another byte."""


def run(job: Job) -> dict[str, Any]:
    """Return the description of the model, with its ``name`` and ``url``."""
    with job.timed('import'):
        from mace.calculators import foundations_models

        from aiida_mlip_ins.drivers import mace_model
    known = {
        f'{family}:{name}': str(url)
        for family, table in FAMILIES.items()
        for name, url in getattr(foundations_models, table).items()
    }
    name = job.inputs['name']
    if name not in known:
        raise DriverError('BAD_INPUT', f"name: no public model '{name}'{nearest(name, known)}")
    path = job.folder / MODEL
    with job.timed('download'):
        download(known[name], path)
    model = mace_model.load_model(path)
    return {**mace_model.describe(model, path), 'name': name, 'url': known[name]}


def download(url: str, path: Path) -> None:
    """Write what is at an address to a file.

    :raises DriverError: ``DOWNLOAD_FAILED`` with what to do instead.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, path.open('wb') as file:
            shutil.copyfileobj(answer, file)
            announced = answer.headers.get('Content-Length', file.tell())
            # An answer of known length that breaks off is no error to the library.
            if file.tell() < int(announced):
                raise OSError(f'it broke off after {file.tell()} of {announced} bytes')
    except (OSError, http.client.HTTPException) as error:
        raise DriverError(
            'DOWNLOAD_FAILED',
            f'{url}: {error}',
            'If the computer has no access to the network, download the file elsewhere and give it '
            'to `aiida-mlip-ins launch inspect-model`.',
        ) from error


if __name__ == '__main__':
    sys.exit(main(run, ('mace-torch', 'torch', 'e3nn', 'ase', 'numpy')))
