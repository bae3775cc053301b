"""What the spools of this home hold: read beside their proxies, which may be writing, or be dead."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.model import LedgerRecord, RequestStart
from proxy.recovery import decode_record, decode_start
from proxy.segments import Frame, Kind, examine, frame_at, segment_number

_HEAD_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class SpoolFolder:
    """One spool, by its folder."""

    path: Path
    spool_id: str

    def looks(self) -> list[tuple[str, int]]:
        """Its segments and their sizes: as long as these are the same, so is the spool."""
        return [(segment.name, segment.stat().st_size) for segment in _segments(self.path)]

    def last(self) -> int:
        """The number of its last record, 0 where it never had one."""
        newest = 0
        for segment in reversed(_segments(self.path)):
            for frame in examine(_bytes_of(segment)).frames:
                newest = max(newest, _known_by(frame))
            if newest:
                break
        return newest

    def records(self, after: int, until: int) -> Iterator[tuple[int, LedgerRecord]]:
        """Records numbered `after` + 1 to `until`, each once, as far as they can be read."""
        if after >= until:
            return
        seen = after
        for segment in self._from(after):
            for frame in examine(_bytes_of(segment)).frames:
                if frame.kind != Kind.END or not seen < frame.number <= until:
                    continue
                seen = frame.number
                if (record := decode_record(frame)) is not None:
                    yield frame.number, record

    def unfinished(self) -> list[RequestStart]:
        """Calls that were begun and have no end."""
        starts = dict[str, RequestStart]()
        for segment in _segments(self.path):
            for frame in examine(_bytes_of(segment)).frames:
                if frame.kind == Kind.START and (start := decode_start(frame)) is not None:
                    starts[start.id] = start
                elif frame.kind == Kind.END and (record := decode_record(frame)) is not None:
                    starts.pop(record.id, None)
        return list(starts.values())

    def _from(self, after: int) -> list[Path]:
        """The segments that may hold records behind `after`: each begins with the number of its next one."""
        segments = _segments(self.path)
        for place in range(len(segments) - 1, 0, -1):
            if 0 < _next_in(segments[place]) <= after + 1:
                return segments[place:]
        return segments


def folders(home: Path) -> list[SpoolFolder]:
    """The spools under a home's folder of them; one that is only being made has no name yet and is left out."""
    found = list[SpoolFolder]()
    for path in sorted(home.glob("*/id")):
        try:
            name = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if name:
            found.append(SpoolFolder(path.parent, name))
    return found


def _segments(folder: Path) -> list[Path]:
    numbered = [(number, path) for path in folder.iterdir() if (number := segment_number(path)) is not None]
    return [path for _, path in sorted(numbered)]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # its proxy has deleted it meanwhile
        return b""


def _known_by(frame: Frame) -> int:
    """The last record that there was when a frame was written, as far as the frame tells."""
    match frame.kind:
        case Kind.END | Kind.SHIPPED:
            return frame.number
        case Kind.NEXT:
            return frame.number - 1
    return 0


def _next_in(path: Path) -> int:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return 0
    frame = frame_at(memoryview(head), 0)
    return frame.number if frame is not None and frame.kind == Kind.NEXT else 0
