"""A PostgreSQL server of our own for the tests: started when first needed, gone with them."""

import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")


class Server:
    """Listens on a socket in a folder of its own; no port, no password."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        # A socket's path is short; and the server's user must be able to enter.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self.data = self.folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "tests", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-l", log, "-w", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        import psycopg

        with psycopg.connect(host=str(self.folder), user="tests", dbname="postgres") as session:
            session.autocommit = True
            session.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://tests@/{name}?host={self.folder}"

    def remove(self) -> None:
        subprocess.run(self._command("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop"),
                       capture_output=True)  # fmt: skip
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, program: str, *words: str) -> list[str]:
        # The server refuses to be root.
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        return [*user, str(self.programs / program), *words]

    def _run(self, program: str, *words: str) -> None:
        command = self._command(program, *words)
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def start() -> Server:
    """A running server; the test is skipped where there is none to run."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'prune[postgres]'")
    found = [Path(p) for place in PLACES for p in sorted(glob.glob(place), reverse=True)]
    programs = next((folder for folder in found if (folder / "initdb").exists()), None)
    if programs is None or (os.geteuid() == 0 and not shutil.which("runuser")):
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    return Server(programs)
