"""Wording that several checks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def shortened(items: Sequence[Any], limit: int = 6) -> str:
    """Join the first few items with commas and say how many more there are."""
    text = ', '.join(str(item) for item in items[:limit])
    return text if len(items) <= limit else f'{text} and {len(items) - limit} more'
