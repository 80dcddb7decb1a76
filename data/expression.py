"""The face over time → its measures, what the picture allows, and the curves of the report.

Observable behaviour only: smile, gaze toward the camera, turns of the head. What a series
is made from stands in data/watching.py, what one picture shows in data/face.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.signal import find_peaks, peak_widths

from data.contract import EXPRESSION, EXPRESSION_MEASURES, ContractMismatch, Curve, Quality
from data.face import BLENDSHAPES, ExpressionConfig

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ExpressionSeries:
    """The analysed frames of one recording, in order, irregular in time.

    times_s : (frames,)
    values : (frames, EXPRESSION width), NaN where there is not exactly one face, and where
        it is blurred, its eyes or mouth are covered, or the picture is frozen
    faces : (frames,) 0, 1, or 2 for two and more
    brightness : (frames,) mean luma, 0 black to 1 white
    blurred, covered, frozen : (frames,)
    duration_s : of the recording; what lies between frames further apart than a gap, before
        the first or after the last was not seen
    offered_hz : frames a second that the recording offered, analysed or not
    missed_share : of them, 0 to 1, that showed a change and were one too many to analyse
    deformation : how far lids, lips, brows and nose move from where they would be if the face
        were a plane moved as a whole, % of its height; NaN where too little was seen
    height : of the pictures, pixels
    """

    times_s: Floats
    values: Floats
    faces: npt.NDArray[np.int64]
    brightness: Floats
    blurred: Flags
    covered: Flags
    frozen: Flags
    duration_s: float
    offered_hz: float
    missed_share: float
    deformation: float
    height: int

    @classmethod
    def clear(
        cls,
        times_s: Floats,
        values: Floats,
        *,
        faces: npt.NDArray[np.int64],
        brightness: Floats,
        offered_hz: float,
        height: int,
    ) -> Self:
        """Frames at a steady rate, every one analysed, in which nothing hides a face."""
        nowhere = np.zeros(len(times_s), bool)
        return cls(
            times_s=times_s,
            values=values,
            faces=faces,
            brightness=brightness,
            blurred=nowhere,
            covered=nowhere,
            frozen=nowhere,
            duration_s=len(times_s) / offered_hz,
            offered_hz=offered_hz,
            missed_share=0.0,
            deformation=np.nan,
            height=height,
        )

    def column(self, name: str) -> Floats:
        """(frames,) of one column of EXPRESSION."""
        return self.values[:, EXPRESSION.names.index(name)]


_BY_FRAME = ("times_s", "values", "faces", "brightness", "blurred", "covered", "frozen")


def save_series(series: ExpressionSeries, path: Path) -> None:
    """Write the series as one .npz, which `load_series` reads; it holds no picture."""
    np.savez_compressed(path, **vars(series))


def load_series(path: Path) -> ExpressionSeries:
    """The series in an .npz of `save_series`.

    Raises ContractMismatch when it has another number of columns than EXPRESSION.
    """
    with np.load(path, allow_pickle=False) as arrays:
        series = ExpressionSeries(
            **{name: arrays[name] for name in _BY_FRAME},
            duration_s=float(arrays["duration_s"]),
            offered_hz=float(arrays["offered_hz"]),
            missed_share=float(arrays["missed_share"]),
            deformation=float(arrays["deformation"]),
            height=int(arrays["height"]),
        )
    needed = len(EXPRESSION.columns)
    if series.values.ndim != 2 or series.values.shape[1] != needed:
        raise ContractMismatch(
            f"{path.name} holds values of shape {series.values.shape}, {EXPRESSION.id} has "
            f"{needed} columns; extract the series again from the recording."
        )
    return series


def regular(series: ExpressionSeries, rate_hz: float, *, max_gap_s: float) -> tuple[Floats, Floats]:
    """(times, values) at a steady rate, by straight lines between neighbouring frames.

    values : (times, EXPRESSION width), NaN where one of the two neighbours has not
        exactly one face or they lie further apart than max_gap_s
    """
    width = len(EXPRESSION.columns)
    if len(series.times_s) < 2:
        return np.empty(0), np.empty((0, width))
    times = np.arange(series.times_s[0], series.times_s[-1] + 1e-9, 1 / rate_hz)
    right = np.clip(np.searchsorted(series.times_s, times), 1, len(series.times_s) - 1)
    left = right - 1
    step = series.times_s[right] - series.times_s[left]
    share = ((times - series.times_s[left]) / step)[:, None]
    values = series.values[left] * (1 - share) + series.values[right] * share
    values[step > max_gap_s] = np.nan
    return times, values


def head_input(
    series: ExpressionSeries, config: ExpressionConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What a learned head reads: (times, width) at `rate_hz` and its mask (times,).

    mask : 1 where the face was measured; there are zeros under a 0.
    """
    _, values = regular(series, config.rate_hz, max_gap_s=config.max_gap_s)
    mask = np.asarray(np.isfinite(values).all(axis=1))
    features = np.zeros(values.shape, np.float32)
    features[mask] = values[mask]
    return features, mask.astype(np.float32)


# --- what the picture allows -----------------------------------------------------------

Problem = tuple[str, str]
"""(code, sentence) why the face is not measured."""


def expression_problem(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    """Why the face is not measured; None when it is.

    Codes: no_video, too_dark, frozen, several_faces, no_face, face_too_small, blurred,
    face_covered, too_little_face, profile, static_picture.
    """
    if len(series.times_s) < 2:
        return "no_video", "The recording has no video that can be read."
    picture = (_dark, _frozen, _several, _absent, _small, _blurred)
    face = (_covered, _little, _in_profile, _static)
    found = (problem(series, config) for problem in (*picture, *face))
    return next(filter(None, found), None)


def _lasting_s(series: ExpressionSeries, config: ExpressionConfig) -> Floats:
    """(frames,) seconds that each frame stands for, none for longer than a gap.

    Frames are looked at more often where much changes, so shares are of the time.
    """
    after = np.append(series.times_s[1:], max(series.duration_s, series.times_s[-1]))
    return np.minimum(after - series.times_s, config.max_gap_s)


def _share(
    flags: Flags,
    series: ExpressionSeries,
    config: ExpressionConfig,
    *,
    among: Flags | None = None,
) -> float:
    """Of the recording's time, or of that in which `among` holds."""
    lasting_s = _lasting_s(series, config)
    whole = series.duration_s if among is None else float(lasting_s @ among)
    return float(lasting_s @ flags) / max(whole, 1e-9)


def _dark(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    every = np.ones(len(series.times_s), bool)
    if _share(series.brightness < config.dark_below, series, config, among=every) <= 0.5:
        return None
    return (
        "too_dark",
        f"The picture is too dark: mean brightness {np.median(series.brightness):.2f} of 1, "
        f"at least {config.dark_below} is needed. Turn a light on in front of you.",
    )


def _frozen(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    live_s = float(_lasting_s(series, config) @ ~series.frozen)
    share = 1 - live_s / max(series.duration_s, 1e-9)
    if share <= config.max_frozen_share:
        return None
    return (
        "frozen",
        f"The picture stands still or is missing in {share:.0%} of the recording, while time goes "
        "on. Check the camera and the connection.",
    )


def _several(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    share = _share(series.faces > 1, series, config)
    if share <= config.several_share:
        return None
    return (
        "several_faces",
        f"Two or more faces are seen in {share:.0%} of the time; nobody can say whose "
        "behaviour was measured. A person should look at the recording.",
    )


def _absent(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    share = _share(series.faces == 1, series, config)
    if share >= config.min_one_face_share:
        return None
    return (
        "no_face",
        f"One face is visible in {share:.0%} of the recording; at least "
        f"{config.min_one_face_share:.0%} are needed.",
    )


def _small(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    heights = series.column("face_height")
    if np.isnan(heights).all():  # blurred or covered throughout: the next checks say so
        return None
    pixels = float(np.nanmedian(heights) * series.height)
    if pixels >= config.min_face_pixels:
        return None
    return (
        "face_too_small",
        f"The face is {pixels:.0f} pixels high; at least {config.min_face_pixels:.0f} are "
        "needed. Sit closer to the camera.",
    )


def _blurred(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    share = _share(series.blurred, series, config, among=series.faces == 1)
    if share <= config.max_blurred_share:
        return None
    return (
        "blurred",
        f"The face is out of focus in {share:.0%} of the time, so that lids and lips cannot be "
        "followed. Clean the lens and let the camera focus on you.",
    )


def _covered(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    share = _share(series.covered, series, config, among=series.faces == 1)
    if share <= config.max_covered_share:
        return None
    return (
        "face_covered",
        f"Eyes or mouth are covered in {share:.0%} of the time (by a hand, a mask, dark "
        "glasses): what is behind cannot be measured.",
    )


def _little(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    """What is left when all that hides a face is taken together."""
    _, values = regular(series, config.quick_rate_hz, max_gap_s=config.max_gap_s)
    seen_s = float(np.isfinite(values[:, 0]).sum()) / config.quick_rate_hz
    share = seen_s / max(series.duration_s, 1e-9)
    if seen_s >= config.min_face_s and share >= config.min_measured_share:
        return None
    return (
        "too_little_face",
        f"The face could be followed for {seen_s:.1f} s, {share:.0%} of the recording; at least "
        f"{config.min_face_s:g} s and {config.min_measured_share:.0%} are needed.",
    )


def _in_profile(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    yaw = np.abs(series.column("head_yaw"))
    aside = np.nan_to_num(yaw) > config.profile_deg
    share = _share(aside, series, config, among=np.isfinite(yaw))
    if share <= config.max_profile_share:
        return None
    return (
        "profile",
        f"The head is turned to the side by more than {config.profile_deg:.0f}° in {share:.0%} of "
        "the time, so half of the face is hidden. Sit facing the camera.",
    )


def _static(series: ExpressionSeries, config: ExpressionConfig) -> Problem | None:
    """A photograph moves as a whole: a plane, on which no lid closes and no lip moves."""
    if np.isnan(series.deformation) or series.deformation >= config.static_below:
        return None
    apertures = series.column("eye_aperture")
    seen = np.isfinite(apertures)
    seen_s, apertures = float(_lasting_s(series, config) @ seen), apertures[seen]
    if seen_s < config.static_s or apertures.min() < config.static_lids * np.median(apertures):
        return None
    return (
        "static_picture",
        f"Neither lids nor lips moved in {seen_s:.0f} s: the camera may see a picture of a face. "
        "A person should look at the recording.",
    )


def with_face_quality(
    quality: Quality, series: ExpressionSeries, config: ExpressionConfig
) -> Quality:
    """The quality record with the share of frames with one face, their number, brightness."""
    if not len(series.times_s):
        return quality
    return quality.model_copy(
        update={
            "one_face_share": _share(series.faces == 1, series, config),
            "face_frames": len(series.times_s),
            "brightness": float(
                np.average(series.brightness, weights=_lasting_s(series, config) + 1e-9)
            ),
        }
    )


# --- measures ----------------------------------------------------------------------------

MOVEMENTS = (*BLENDSHAPES, "mouth_opening")
"""Columns whose variation is expressiveness; eye_closure and gaze are not among them."""


def expression_measures(
    series: ExpressionSeries, config: ExpressionConfig
) -> dict[str, float | None]:
    """Every name of EXPRESSION_MEASURES; None where it could not be measured.

    All are None when `expression_problem` gives a reason.
    """
    measures: dict[str, float | None] = dict.fromkeys(column.name for column in EXPRESSION_MEASURES)
    if expression_problem(series, config) is not None:
        return measures
    rate_hz = config.quick_rate_hz
    _, values = regular(series, rate_hz, max_gap_s=config.max_gap_s)
    seen = ~np.isnan(values[:, 0])
    table = {name: values[:, i] for i, name in enumerate(EXPRESSION.names)}
    measures |= _levels({name: column[seen] for name, column in table.items()}, config)
    measures |= _gaze(table, seen, config)
    measures |= _head(table, config)
    if shows_quick_moves(series, config):
        measures |= _nods_and_shakes(table, seen, config)
    if hardly_missed(series, config) and series.offered_hz >= config.blink_min_rate_hz:
        measures |= _blinks(table, seen, config)
    return measures


def shows_quick_moves(series: ExpressionSeries, config: ExpressionConfig) -> bool:
    """Whether nods and shakes can be told."""
    return hardly_missed(series, config) and series.offered_hz >= config.moves_min_rate_hz


def hardly_missed(series: ExpressionSeries, config: ExpressionConfig) -> bool:
    """Whether hardly a change was left unlooked at."""
    return series.missed_share <= config.max_missed_share


def _levels(table: dict[str, Floats], config: ExpressionConfig) -> dict[str, float]:
    """table : columns of EXPRESSION at a steady rate, only where the face was seen."""
    spreads = [table[name].std() for name in MOVEMENTS if name not in _EYE_MOVEMENTS]
    offset = np.hypot(table["face_x"] - 0.5, table["face_y"] - 0.5)
    return {
        "smile_share": float(np.mean(table["smile"] > config.smile_at)),
        "smile_intensity": float(table["smile"].mean()),
        "brow_movement": float(table["brow_raise"].std()),
        "mouth_opening": float(table["mouth_opening"].mean()),
        "head_turn": float(np.median(np.abs(table["head_yaw"]))),
        "head_raise": float(np.median(table["head_pitch"])),
        "head_tilt": float(np.median(np.abs(table["head_roll"]))),
        "expressiveness": float(np.mean(spreads)),
        "face_height": float(np.median(table["face_height"])),
        "face_offset": float(np.median(offset)),
    }


_EYE_MOVEMENTS = ("eye_closure", "eye_wide", "eye_squint")


def toward_camera(
    gaze_yaw: Floats, gaze_pitch: Floats, config: ExpressionConfig
) -> npt.NDArray[np.bool_]:
    """True where the gaze lies within the ellipse around the camera; NaN is False."""
    side, height = gaze_yaw / config.gaze_side_deg, gaze_pitch / config.gaze_height_deg
    return np.asarray(side**2 + height**2 <= 1)


def _gaze(
    table: dict[str, Floats], seen: npt.NDArray[np.bool_], config: ExpressionConfig
) -> dict[str, float]:
    toward, looks_away = gazes(table, seen, config)
    away = [end - start for start, end in looks_away]
    return {
        "gaze_to_camera_share": float(toward[seen].mean()),
        "longest_look_away": max(away, default=0) / config.quick_rate_hz,
    }


def gazes(
    table: dict[str, Floats], seen: npt.NDArray[np.bool_], config: ExpressionConfig
) -> tuple[npt.NDArray[np.bool_], list[tuple[int, int]]]:
    """Where the gaze is toward the camera, and (start, end) of each look away.

    Behind the lids of a blink it counts as where it was before, or after where nothing was
    before; lids down for longer are a look down, or sleep, and count as they were measured.
    """
    toward = toward_camera(table["gaze_yaw"], table["gaze_pitch"], config)
    for start, end in runs(_lids_closed(table, seen, config)):
        beside = start - 1 if start > 0 else end
        if (end - start) / config.quick_rate_hz <= config.blink_max_s and beside < len(toward):
            toward[start:end] = toward[beside]
    return toward, runs(seen & ~toward)


def _head(table: dict[str, Floats], config: ExpressionConfig) -> dict[str, float | None]:
    rate_hz = config.quick_rate_hz
    pose = np.stack([table["head_yaw"], table["head_pitch"], table["head_roll"]], axis=1)
    # over three frames: the landmarks tremble by a few tenths of a degree from frame to frame
    speed = np.linalg.norm(pose[3:] - pose[:-3], axis=1) * rate_hz / 3
    return {"head_movement": float(np.nanmean(speed)) if np.any(~np.isnan(speed)) else None}


def _nods_and_shakes(
    table: dict[str, Floats], seen: npt.NDArray[np.bool_], config: ExpressionConfig
) -> dict[str, float | None]:
    rate_hz = config.quick_rate_hz
    minutes = float(seen.sum()) / rate_hz / 60
    return {
        "nods": len(nod_times(table["head_pitch"], table["head_yaw"], rate_hz, config)) / minutes,
        "shakes": len(shake_times(table["head_yaw"], rate_hz, config)) / minutes,
    }


def nod_times(
    head_pitch: Floats, head_yaw: Floats, rate_hz: float, config: ExpressionConfig
) -> Floats:
    """Seconds from the start at which the head is lowest in a quick lowering and return.

    A lowering during a larger turn to the side is not counted: the measured pitch of
    a turning head moves by itself.

    head_pitch, head_yaw : (times,) degrees at a steady rate, NaN where no face was seen
    """
    found = _excursions(-head_pitch, rate_hz, depth=config.nod_deg, longest_s=config.nod_max_s)
    half = int(config.nod_max_s * rate_hz / 2) + 1

    def moved(angle: Floats, time_s: float) -> float:
        middle = round(time_s * rate_hz)
        window = angle[max(0, middle - half) : middle + half + 1]
        return float(np.nanmax(window) - np.nanmin(window))

    return np.array([t for t in found if moved(head_yaw, t) < moved(head_pitch, t)])


def shake_times(head_yaw: Floats, rate_hz: float, config: ExpressionConfig) -> Floats:
    """Seconds at which a turn to one side is followed by one to the other within shake_max_s."""
    sides = [
        _excursions(sign * head_yaw, rate_hz, depth=config.shake_deg, longest_s=config.shake_max_s)
        for sign in (1, -1)
    ]
    turns = sorted((time, side) for side, times in enumerate(sides) for time in times)
    shakes, last = [], None
    for turn in turns:
        if last and turn[1] != last[1] and turn[0] - last[0] <= config.shake_max_s:
            shakes.append((turn[0] + last[0]) / 2)
            last = None  # each turn belongs to one shake
        else:
            last = turn
    return np.array(shakes)


def _excursions(signal: Floats, rate_hz: float, *, depth: float, longest_s: float) -> Floats:
    """Times of peaks that rise at least `depth` on both sides within `longest_s`."""
    seen = ~np.isnan(signal)
    if seen.sum() < 3:
        return np.empty(0)
    index = np.arange(len(signal))
    filled = np.interp(index, index[seen], signal[seen])
    window = 2 * int(longest_s * rate_hz) + 1
    # a plateau as wide as the window has no sides in it to rise above
    limits = {"plateau_size": (1, window // 2), "prominence": depth}
    peaks, found = find_peaks(filled, **limits, wlen=window)
    bounds = (found["prominences"], found["left_bases"], found["right_bases"])
    widths = peak_widths(filled, peaks, prominence_data=bounds)[0]
    quick = (widths <= longest_s * rate_hz) & seen[peaks]
    return np.asarray(peaks[quick] / rate_hz)


def _blinks(
    table: dict[str, Floats], seen: npt.NDArray[np.bool_], config: ExpressionConfig
) -> dict[str, float | None]:
    usable = seen & (np.abs(np.nan_to_num(table["head_yaw"], nan=180)) < config.blink_side_deg)
    if usable.sum() / config.quick_rate_hz < config.min_face_s:
        return {"blink_rate": None, "blink_duration": None}
    closed = _lids_closed(table, usable, config)
    durations = [(end - start) / config.quick_rate_hz for start, end in runs(closed)]
    blinks = [duration for duration in durations if duration <= config.blink_max_s]
    if not blinks:  # of lids that glasses hide none is seen to close: 0 would be invented
        return {"blink_rate": None, "blink_duration": None}
    minutes = float(usable.sum()) / config.quick_rate_hz / 60
    return {"blink_rate": len(blinks) / minutes, "blink_duration": float(np.mean(blinks))}


def _lids_closed(
    table: dict[str, Floats], among: npt.NDArray[np.bool_], config: ExpressionConfig
) -> npt.NDArray[np.bool_]:
    """Where the lids are nearer than is usual for this person among these frames."""
    aperture = table["eye_aperture"]
    usual = np.median(aperture[among])
    return np.asarray(among & (aperture < config.blink_aperture * usual))


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, end) of each stretch of True, end excluded."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


# --- for the report ------------------------------------------------------------------------


def curves(series: ExpressionSeries, config: ExpressionConfig) -> tuple[Curve, ...]:
    """Smile, angle between gaze and camera, head yaw and pitch at `rate_hz`, gaps as None."""
    times, values = regular(series, config.rate_hz, max_gap_s=config.max_gap_s)
    drawn = []
    for name in ("smile", "camera_angle", "head_yaw", "head_pitch"):
        column = EXPRESSION.column(name)
        points = values[:, EXPRESSION.names.index(name)]
        drawn.append(
            Curve(
                name=name,
                unit=column.unit,
                meaning=column.meaning,
                times_s=tuple(round(float(time), 3) for time in times),
                values=tuple(None if np.isnan(p) else round(float(p), 3) for p in points),
            )
        )
    return tuple(drawn)
