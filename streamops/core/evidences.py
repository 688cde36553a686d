"""Evidence of many panes at once.

Rule 1: `panes.note_evidence`, record by record, is the definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamops.core.columns import Groups
from streamops.core.panes import Pane, add_span, chains_after, note_evidences


def note_all(
    panes: Sequence[Pane],
    topic: str,
    groups: Groups,
    offsets: Sequence[int],
    values: Sequence[bytes],
) -> None:
    """Add raw records to the panes' spans and chains.

    groups  rows of each pane, at least one, ascending
    """
    if len(panes) == 1:
        note_evidences(panes[0], topic, groups.pick(offsets), groups.pick(values))
        return
    some = np.array(offsets, dtype=np.int64)[groups.rows]
    first = np.minimum.reduceat(some, groups.starts).tolist()
    last = np.maximum.reduceat(some, groups.starts).tolist()
    for pane, *span in zip(panes, first, last, groups.sizes(), strict=True):
        add_span(pane, topic, *span)
    # In log order, as they lie in memory, whatever their panes.
    order = groups.rows.argsort(kind="stable")
    chains = [pane.chain for pane in panes]
    in_order = map(values.__getitem__, groups.rows[order].tolist())
    chains_after(chains, groups.of_row[order].tolist(), in_order)
    for pane, chain in zip(panes, chains, strict=True):
        pane.chain = chain
