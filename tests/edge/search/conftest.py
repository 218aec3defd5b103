"""A database of its own for tests of workers that share nothing else."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import pytest

BINARIES = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
USER = "postgres"


@pytest.fixture(scope="module")
def postgresql():
    """The URL of an empty database, on a server that ends with the tests."""
    if not BINARIES or (os.geteuid() == 0 and shutil.which("runuser") is None):
        if os.environ.get("CI"):
            pytest.fail("postgresql is missing, and CI must have it")
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-pg-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        # The server refuses root.
        command = []
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
            command = ["runuser", "-u", USER, "--"]

        def run(program, *arguments):
            path = str(BINARIES[-1] / program)
            subprocess.run([*command, path, *arguments], check=True, capture_output=True, cwd="/")

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = str(folder / "data")
        run("initdb", "-D", data, "-U", USER, "-A", "trust", "-N")
        options = f"-F -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://{USER}:any@127.0.0.1:{port}/{USER}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
