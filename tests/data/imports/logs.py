"""Session logs for tests: the ones on disk, and lines made on the spot."""

import json
import os
import shutil
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures" / "projects"
FIRST, SECOND = "5c1f0a7e-2b52-4c0e-9a1d-0c7a3e1b9f01", "a7e90b1c-77aa-4d6c-8b0e-5f2f6c4d2e02"
OPUS = "claude-opus-4-5-20251101"


def copied(folder: Path, *, older: str = FIRST) -> Path:
    """The fixtures below `folder`, of which the session `older` was written last an hour before the others."""
    place = folder / "projects"
    shutil.copytree(FIXTURES, place)
    for path in place.rglob("*.jsonl"):
        written = 1_790_000_000 - 3600 * (older in str(path))
        os.utime(path, (written, written))
    return place


def message_id(number: int, prefix: str = "msg_01") -> str:
    return f"{prefix}{number:022d}"


def usage(read: int = 100, out: int = 10, **more: object) -> dict[str, object]:
    return {"input_tokens": read, "output_tokens": out} | more


def assistant(number: int, **changes: object) -> dict[str, object]:
    """A line as Claude Code writes it: of message `number`, at that many seconds past noon."""
    message = {
        "id": message_id(number),
        "type": "message",
        "role": "assistant",
        "model": OPUS,
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "usage": usage(),
    }
    message |= {name: changes.pop(name) for name in list(changes) if name in message}
    line = {
        "parentUuid": f"u-{number}",
        "isSidechain": False,
        "message": message,
        "requestId": f"req_{number}",
        "type": "assistant",
        "uuid": f"a-{number}",
        "timestamp": stamp(number),
        "cwd": "/home/ann/apollo",
        "sessionId": "session",
        "version": "2.1.280",
        "gitBranch": "main",
    }
    return line | changes


def user(number: int, **changes: object) -> dict[str, object]:
    """The line before message `number`, a second earlier."""
    line = {"type": "user", "uuid": f"u-{number}", "timestamp": stamp(number - 1), "sessionId": "session"}
    return line | {"message": {"role": "user", "content": "go"}} | changes


def stamp(second: int) -> str:
    return f"2026-03-01T12:{second // 60:02d}:{second % 60:02d}.000Z"


def write(path: Path, *lines: dict[str, object] | str) -> Path:
    """Append lines to a log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    return path
