"""doctor: pre-flight."""

from __future__ import annotations

from streamops.commands.output import print_json, print_table
from streamops.commands.place import HERE, Json, Place
from streamops.commands.stack import Partitions
from streamops.operate.folder import Folder

LACKING = 1


def doctor(*, place: Place = HERE, partitions: Partitions = None, json: Json = False) -> int:
    """Say what this machine, its data folder and its broker lack, and how to mend it.

    Exit status 1 when something is lacking.

    Example: streamops doctor
    """
    from streamops.operate.doctor import examine

    is_up = Folder(place.data).is_running()
    settings = place.settings(partitions) if is_up else place.template(partitions)
    found = examine(settings)
    if json:
        print_json(found)
    else:
        rows = [["ok" if f.ok else "LACKING", f.check, f.detail, f.mend] for f in found]
        print_table(["", "check", "found", "to mend"], rows)
    return 0 if all(finding.ok for finding in found) else LACKING
