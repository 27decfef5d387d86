"""Files that are whole or absent, and system errors as one line with the next step."""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from prune.errors import StoreError

MOUNTS = Path("/proc/mounts")
# SQLite needs locks and shared memory that these do not give between machines.
NETWORK_FS = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|lustre|ceph|glusterfs|beegfs(_nodev)?|gpfs|afs|pvfs2|orangefs|"
    r"panfs|wekafs|fuse\.(glusterfs|sshfs|ceph.*|s3fs|gcsfuse|rclone|goofys|juicefs|JuiceFS.*)"
)
ADVICE = {
    errno.ENOSPC: "free some space there, then run the same command again",
    errno.EDQUOT: "free some of your quota, then run the same command again",
    errno.EROFS: "set PRUNE_RUNS to a folder you can write to",
    errno.EACCES: "set PRUNE_RUNS to a folder you can write to",
    errno.EPERM: "set PRUNE_RUNS to a folder you can write to",
    errno.ENOTDIR: "set PRUNE_RUNS to a folder",
    errno.EEXIST: "set PRUNE_RUNS to a folder",
}


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """An OSError inside becomes a StoreError of one line that names `path`."""
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "check that disk")
        raise StoreError(f"cannot use {path}: {error.strerror or error}; {advice}") from error


def write_atomic(path: Path, text: str) -> None:
    """After a crash at any moment `path` holds its old content or all of `text`."""
    aside = path.with_name(path.name + ".tmp")
    with storing(path):
        try:
            with open(aside, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def strict_json(text: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity. Raises ValueError."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def file_system(folder: Path, mounts: Path | None = None) -> str:
    """The type of the file system below `folder` as `/proc/mounts` has it; "" if unknown."""
    try:
        lines = (mounts or MOUNTS).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    target, best, found = folder.resolve(), -1, ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[1]))
        if target.is_relative_to(point) and len(point.parts) >= best:  # a later mount hides it
            best, found = len(point.parts), fields[2]
    return found


def on_network(folder: Path) -> bool:
    return NETWORK_FS.fullmatch(file_system(folder)) is not None
