"""Atomic writing of files: complete or not at all, never through a link, by one process at a
time. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

LOCK = ".lock"
DRAFT = ".tmp"
EXCLUSIVE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)


class Busy(Exception):
    """Another process holds the directory."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which is put in the place of `path` at the end: `path` is the old file or
    the new one, whatever happens.

    The draft has a random name and is created exclusively, so that no file and no link that
    somebody planted is written through; a link at `path` itself is replaced. (`tempfile` would do
    the same but for the mode: its files are the user's alone.) Raises: OSError, and leaves no draft
    then.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}{DRAFT}")
    try:
        with os.fdopen(os.open(draft, EXCLUSIVE, 0o666), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, see `replacing`."""
    with replacing(path) as file:
        file.write(data)


def append(path: Path, text: str) -> None:
    """Adds to a file. Raises: OSError, also where `path` is a link."""
    with os.fdopen(os.open(path, APPENDING, 0o666), "w", newline="") as file:
        file.write(text)


def forget_drafts(directory: Path) -> None:
    """Removes what killed processes left half written in a directory that this one holds."""
    for draft in filter(drafted, directory.glob(f".*{DRAFT}")):
        draft.unlink(missing_ok=True)


def drafted(path: Path) -> bool:
    """Whether a name is that of a file which `write_atomically` has not put in place:
    .NAME.TOKEN.tmp."""
    name = path.name
    return name.startswith(".") and name.endswith(DRAFT) and name.count(".") >= 3


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Holds a directory, which is made where it is missing, against other processes; the system
    lets go of it when the process ends.

    Raises: Busy where another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"another process is at work in {directory}") from None
    try:
        yield
    finally:
        lock.release()
