"""The views against the topics: both must count the same events."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing

from streamops.settings import Settings
from streamops.views.materializer import Materializer


def views_counts(settings: Settings, topics: Collection[str]) -> dict[str, int]:
    """Bring the views to the topics' ends; return their distinct events by `topic/type`.

    The caller's process must be the only one with the DuckDB file.
    """
    with closing(Materializer(settings)) as materializer:
        materializer.run_to_end()
        with closing(materializer.cursor()) as cursor:
            rows = cursor.execute("SELECT topic, type, events FROM topic_counts").fetchall()
    return {f"{topic}/{kind}": n for topic, kind, n in sorted(rows) if topic in topics and n}
