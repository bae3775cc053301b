"""Files as Anthropic and OpenAI keep them; here in memory, few and small."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from proxy.simulated.dialect import BadAsk, NotThere
from proxy.simulated.provider import Call, Work

_MOST = 1000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file. `at`: seconds since the epoch."""

    id: str
    name: str
    content_type: str
    purpose: str
    content: bytes
    at: float


class Files:
    """All files of one provider, for both protocols."""

    def __init__(self) -> None:
        self._all: dict[str, StoredFile] = {}

    def add(self, call: Call, name: str, content: bytes, content_type: str, purpose: str) -> Work:
        """POST /v1/files. Raises BadAsk."""
        if not name or len(self._all) >= _MOST:
            raise BadAsk("file: Field required" if not name else "file: too many")
        number = f"file_{call.serial[:24]}" if _is_anthropic(call) else f"file-{call.serial[:24]}"
        return Work(_document(call, self.keep(StoredFile(number, name, content_type, purpose, content, call.at))))

    def keep(self, file: StoredFile) -> StoredFile:
        """Keep a file that was made here or has come."""
        self._all[file.id] = file
        return file

    def find(self, number: str) -> StoredFile | None:
        """The file of this name; None where there is none."""
        return self._all.get(number)

    def listed(self, call: Call) -> Work:
        """GET /v1/files."""
        data = [_document(call, each) for each in self._all.values()]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return Work({"object": "list", "data": data, "has_more": False, **ends})

    def one(self, call: Call, number: str) -> Work:
        """GET /v1/files/{id}. Raises NotThere."""
        return Work(_document(call, self._of(number)))

    def content(self, number: str) -> Work:
        """GET /v1/files/{id}/content. Raises NotThere."""
        found = self._of(number)
        return Work(found.content, content_type=found.content_type)

    def delete(self, call: Call, number: str) -> Work:
        """DELETE /v1/files/{id}. Raises NotThere."""
        self._of(number)
        del self._all[number]
        if _is_anthropic(call):
            return Work({"id": number, "type": "file_deleted"})
        return Work({"id": number, "object": "file", "deleted": True})

    def _of(self, number: str) -> StoredFile:
        if number not in self._all:
            raise NotThere(f"There is no file {number}.")
        return self._all[number]


def _document(call: Call, file: StoredFile) -> dict[str, Any]:
    if _is_anthropic(call):
        return {
            "id": file.id,
            "type": "file",
            "filename": file.name,
            "mime_type": file.content_type,
            "size_bytes": len(file.content),
            "created_at": datetime.fromtimestamp(file.at, UTC).isoformat(),
            "downloadable": True,
        }
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": int(file.at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }


def _is_anthropic(call: Call) -> bool:
    return "anthropic-version" in call.headers
