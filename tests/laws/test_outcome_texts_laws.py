"""Outcomes laid into a template are outcomes encoded one by one, whatever stands in them."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamops import codec
from streamops.core.columns import objects
from streamops.core.derived_inbox import close_hash
from streamops.core.join_rows import Matched, Pending
from streamops.core.outcome import joined_evidence, outcome
from streamops.core.outcome_texts import bodies, evidence_columns
from streamops.core.pending_block import GroupKey
from streamops.core.stamping import Sent

KEYS = {3: GroupKey("m", "v1", 0, "h", False), 7: GroupKey('a","b', "é\\", 60, "h", False)}
TEXTS = st.sampled_from(
    ['","', "\\", 'a\\"', "", '"', ",", "p1", "\x00", "\n", "é", "\U0001f600", "[]"]
)
VALUES = st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.floats(-1e9, 1e9) | TEXTS
TIMES_US = st.integers(0, 1 << 52)
ROWS = st.lists(
    st.tuples(
        TEXTS, TIMES_US, st.sampled_from(sorted(KEYS)), VALUES, st.floats(0, 1),
        st.sampled_from([b'{"a":1}', b'{ "b" : "}" }']), VALUES, TIMES_US, st.integers(0, 1 << 50),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
ODD = st.sampled_from(
    [{}, {"score": np.nan}, {"features": b"{}"}, {"segments": {"a": "b"}}, {"after_cohort": True}]
)


@settings(max_examples=25)
@given(ROWS, ODD)
def test_a_template_gives_what_encoding_gives(rows, odd):
    ids, times_us, codes, predictions, scores, features, labels, labels_us, offsets = zip(
        *rows, strict=True
    )
    size = len(rows)
    column = {
        "id": objects(ids), "time_us": np.array(times_us), "group": np.array(codes),
        "prediction": objects(predictions), "score": np.array(scores),
        "features": objects(features), "label": objects(labels), "label_us": np.array(labels_us),
        "segments": objects([None] * size), "after_cohort": np.zeros(size, dtype=np.bool_),
    }  # fmt: skip
    for name, value in odd.items():
        column[name][-1] = value
    found = bodies(column, KEYS)
    if odd:
        assert found is None
        return
    pairs = [
        (
            Pending(id_, us, 0, *KEYS[code][:2], made, score, text, {}, False, at, 0, ""),
            Matched("l", label, label_us, at + 1, "l", label, 0, False),
        )
        for id_, us, code, made, score, text, label, label_us, at in rows
    ]
    wanted = [codec.encode(outcome(*pair, after_cohort=False)) for pair in pairs]
    assert [body + b"}" for body in found] == wanted
    evidence = zip(*evidence_columns(np.array(offsets) + 1, np.array(offsets), 5), strict=True)
    assert list(map(b"".join, evidence)) == [joined_evidence(*pair, 5) for pair in pairs]
    late = {code: key._replace(late=True) for code, key in KEYS.items()}
    assert bodies(column, late) is None


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(), max_size=3), max_size=3))
def test_what_was_sent_hashes_as_who_reads_it_hashes(parts):
    sent, all_ = Sent(), list[bytes]()
    for at, part in enumerate(parts):
        conclusions = [msgspec.json.encode({"n": n}) for n in part]
        all_ += conclusions
        if at % 2:
            sent.add_all(conclusion[:-1] for conclusion in conclusions)
        else:
            for conclusion in conclusions:
                sent.add(conclusion)
    assert (sent.count, sent.hash) == (len(all_), close_hash(all_))
    assert Sent().hash == hashlib.sha256(b"").hexdigest()
