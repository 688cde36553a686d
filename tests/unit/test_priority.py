"""Where a service's process stands once it has stepped back, as the system sees it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from streamops.operate.priority import BEHIND, SESSION
from streamops.operate.services import SERVICES

CHILD = """
import os, sys
from streamops.operate.priority import SESSION, step_back
step_back(sys.argv[1])
print(os.nice(0), SESSION.read_text().split()[-1] if SESSION.exists() else "none")
"""
NICE_MAX = 19


def standing(service: str) -> tuple[int, str]:
    """Niceness of a process that leads a session, and of that session."""
    command = [sys.executable, "-c", CHILD, service]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, start_new_session=True)
    nice, session = said.stdout.decode().split()
    return int(nice), session


@pytest.mark.parametrize("service", ["materializer", "trainer"])
def test_who_no_alert_waits_for_steps_back(service):
    nice, session = standing(service)
    assert nice == min(NICE_MAX, os.nice(0) + BEHIND[service]) > os.nice(0)
    assert session in (str(nice), "none"), "Linux weighs the session first"
    assert SESSION.exists() or session == "none"


@pytest.mark.parametrize("service", ["meter", "detect", "control", "archiver", "broadcaster"])
def test_who_an_alert_waits_for_stays(service):
    nice, _ = standing(service)
    assert nice == os.nice(0)


def test_whoever_steps_back_is_a_service():
    assert BEHIND.keys() <= SERVICES.keys()
