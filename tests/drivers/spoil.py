"""Multiply what a MACE model says of the interaction of atoms.

    python spoil.py GOOD.model BAD.model FACTOR      (engines' Python)

With a negative factor, a crystal at a minimum of the energy is at a maximum, and falls off it.
"""

from __future__ import annotations

import sys

import torch


def main(good: str, bad: str, factor: float) -> None:
    model = torch.load(good, weights_only=False)
    model.scale_shift.scale *= factor
    torch.save(model, bad)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
