"""What the operating system refuses, told as one of our own errors."""

from __future__ import annotations

import errno

from streamops.errors import ConfigError, ServiceError, TransportError

DISK_FAILED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def of_system(error: OSError) -> ServiceError | None:
    """What the system refuses about a file, as one of the three; None where no file is named."""
    if error.errno in DISK_FAILED:
        where = "" if error.filename is None else f"{error.filename}: "
        return TransportError(
            f"{where}{error.strerror}; make room or mend the disk, then try again"
        )
    if error.filename is None:
        return None
    return ConfigError(
        f"{error.filename} can't be used: {error.strerror}; name another path, or mend its rights"
    )
