"""Peak memory of a run: of all processes that carry its mark in their environment."""

from __future__ import annotations

import os
import threading

import psutil

MARK = 'AIIDA_MLIP_INS_RUN'
INTERVAL_S = 2.0


class MemoryWatch:
    """Samples, in a thread, the memory of all processes started under a mark.

    Jobs on this computer do not stay children of the daemon, but they inherit its environment, so
    a mark that is set before the daemon starts is on all of them.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.peak_gb = 0.0
        self._ended = threading.Event()
        self._known: dict[int, bool] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        """Set the mark and begin to watch."""
        os.environ[MARK] = self.mark
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self.peak_gb = max(self.peak_gb, self.now_gb())

    def now_gb(self) -> float:
        """Return the resident memory (GB) of the marked processes and of this one."""
        total = 0
        for process in psutil.process_iter():
            try:
                if process.pid not in self._known:
                    self._known[process.pid] = process.environ().get(MARK) == self.mark
                if self._known[process.pid] or process.pid == os.getpid():
                    total += process.memory_info().rss
            except psutil.Error:
                continue
        return total / 1024**3
