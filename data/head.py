"""A version's head: the graph that turns features into points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

Floats = npt.NDArray[np.floating]


SOUNDS = ("familiarity", "voice")
"""Outputs of a head that tells whether one person speaks."""


class HeadGraph:
    """Reads features of one answer; loaded once, safe to share between threads.

    reads, gives : names of its inputs and outputs
    """

    def __init__(self, file: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Unpack `packed` matrices once, when the graph is loaded, and not at each run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self.reads = {given.name for given in self._session.get_inputs()}
        self.gives = {given.name for given in self._session.get_outputs()}

    def points(
        self,
        features: Floats,
        *,
        mask: Floats | None = None,
        waveforms: Sequence[Floats] = (),
    ) -> npt.NDArray[np.float64]:
        """(n, targets) in points of 100, uncut.

        features : (n, width), or (n, times, width) with mask (n, times) for a series
        waveforms : of each row (samples,), for a head that has an encoder of its own
        """
        rows = np.asarray(features, np.float32)
        if "waveform" in self.reads:
            found = [
                self._run({"features": row[None], "waveform": np.asarray(part, np.float32)[None]})
                for row, part in zip(rows, waveforms, strict=True)
            ]
            return np.concatenate(found)
        given = {"features": rows}
        if mask is not None:
            given["mask"] = np.asarray(mask, np.float32)
        return self._run(given).reshape(len(rows), -1)

    def sounds(self, features: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(n,) familiarity and (n, axes) voice of each row, of a head that tells them."""
        rows = {"features": np.asarray(features, np.float32)}
        familiar, voices = self._session.run(list(SOUNDS), rows)
        return np.asarray(familiar, np.float64), np.asarray(voices, np.float64)

    def _run(self, given: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        read = {name: value for name, value in given.items() if name in self.reads}
        return np.asarray(self._session.run(["points"], read)[0], np.float64)
