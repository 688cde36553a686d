"""Errors, by who is at fault.

    ServiceError
    ├── InputError       the record, so its producer: dead-letter it with the reason and go on
    ├── ConfigError      the operator: exit 2 before any I/O
    └── TransportError   broker, disk or network: retry to the limit, then exit 75

Our own faults have no class and are caught nowhere: the process dies without a checkpoint, and
the log still has the record. Each message names the field or setting, its value and the way out.
"""

from __future__ import annotations

EXIT_CONFIG = 2
EXIT_TRANSPORT = 75


class ServiceError(Exception):
    """Base of the three; never raised itself."""


class InputError(ServiceError):
    """A record cannot be taken as it is; whoever produced it has to change it."""


class ConfigError(ServiceError):
    """A setting cannot work; whoever runs the process has to change it."""


class TransportError(ServiceError):
    """Broker, disk or network failed; the same call may succeed later."""


def exit_code(error: ServiceError) -> int:
    """The process exit status that tells a supervisor whether starting again can help."""
    return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_TRANSPORT
