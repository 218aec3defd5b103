"""Every command, killed at random moments: nothing half-written, no process, no temporary file."""

import pathlib
import runpy
import subprocess
import sys

import pytest

from edge.cli import main as cli

ROOT = pathlib.Path(__file__).parents[3]
KILLS = pathlib.Path(__file__).parent / "kills.py"


def kill(folder, model, *options):
    command = [sys.executable, KILLS, folder / "kills", model, *map(str, options)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_command_is_forgotten():
    jobs = runpy.run_path(str(KILLS))["JOBS"]
    commands = {
        command.callback.__name__.replace("_", "-") for command in cli.app.registered_commands
    }
    # What waits for a board never ends undisturbed, and writes nothing.
    assert {job.split()[0] for job in jobs} == commands - {"monitor"}
    assert all(arguments[0] == job.split()[0] for job, arguments in jobs.items())


@pytest.mark.slow
def test_quick_commands_killed_at_random_moments(vww, tmp_path):
    said = kill(tmp_path, vww, "--count", 12, "--jobs", "export,flash,plan,stream")
    assert said.count('"was_alive": true') == 12


@pytest.mark.exhaustive
@pytest.mark.slow
def test_every_command_killed_at_random_moments(arm_compiler, qemu, vww, tmp_path):
    said = kill(tmp_path, vww, "--count", 100)
    assert said.count('"was_alive": true') == 100
