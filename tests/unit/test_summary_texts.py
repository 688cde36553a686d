"""summary_texts: what lays summaries out by itself has the events' own fields, in their order."""

from __future__ import annotations

import msgspec
import pytest

from streamops.core import summary_texts
from streamops.events import PaneSummarized
from streamops.values import Performance


@pytest.mark.parametrize(
    ("mine", "theirs", "beside"),
    [
        (summary_texts._Summary, PaneSummarized, {"stamp", "evidence"}),
        (summary_texts._Performance, Performance, set()),
    ],
)
def test_it_has_the_fields_of_the_definition(mine, theirs, beside):
    """A field that is added to the event, and not here, would be left out of many summaries."""
    wanted = [field for field in msgspec.structs.fields(theirs) if field.name not in beside]
    assert [f.encode_name for f in msgspec.structs.fields(mine)] == [f.encode_name for f in wanted]
