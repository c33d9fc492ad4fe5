"""Uploaded files, kept on disk, and the URLs that lead to them."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .common import b64_to_hex


class RejectedError(Exception):
    """What was sent is not what was announced."""


@dataclass
class Storage:
    """Files under `root`. Only a path that was granted can be written, with what was announced."""

    root: Path
    base_url: str
    uploads: Counter[str] = field(default_factory=Counter)
    bytes_uploaded: Counter[str] = field(default_factory=Counter)
    rejected: list[dict[str, str]] = field(default_factory=list)
    _grants: dict[str, str | None] = field(default_factory=dict)
    _stored: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        return f"{self.base_url}/storage/{quote(path)}"

    def grant(self, path: str, md5: str | None = None) -> str:
        """Allows an upload to `path`, of content with that md5 (base64), and returns its URL."""
        if not self.file(path).is_relative_to(self.root):
            raise RejectedError(f"{path} is outside of the storage")
        self._grants[path] = md5
        return self.url(path)

    def file(self, path: str) -> Path:
        return (self.root / path).resolve()

    def names(self, prefix: str) -> list[str]:
        """What is stored under `prefix`, without it."""
        return sorted(p.removeprefix(prefix) for p in list(self._stored) if p.startswith(prefix))

    def holds(self, path: str) -> bool:
        return path in self._stored

    def save(self, path: str, body: bytes) -> None:
        """Stores an upload.

        Raises:
            RejectedError: Nobody granted the path, or the content has another md5 than announced.
        """
        if path not in self._grants:
            raise RejectedError("no such upload URL")
        md5 = self._grants[path]
        if md5 and hashlib.md5(body).hexdigest() != b64_to_hex(md5):
            raise RejectedError("the content does not match its md5")
        file = self.file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # A reader never sees half a file, even if two clients upload the same one at once.
        part = file.with_name(f"{file.name}.{threading.get_ident()}.part")
        part.write_bytes(body)
        part.replace(file)
        with self._lock:
            kind = path.partition("/")[0]
            self._stored.add(path)
            self.uploads[kind] += 1
            self.bytes_uploaded[kind] += len(body)

    def reject(self, what: str, why: str) -> None:
        with self._lock:
            self.rejected.append({"what": what, "why": why})
