"""Questions to the views: over HTTP while the materializer has the file, else on a copy of it.

Rule 1: the owner of the file writes its address beside it; who can't reach it asks the file.
Rule 2: a copy is made while the file is locked against a writer, with its write-ahead log.
"""

from __future__ import annotations

import http.client
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from streamops.errors import ConfigError, InputError, TransportError
from streamops.settings import Settings
from streamops.views.asof import AsOf
from streamops.views.copies import copy_store
from streamops.views.sandbox import LIMITS, Answer, Limits, run_query
from streamops.views.store import connect, travel_to

PATH = "/api/sql"
NOW = AsOf()


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /api/sql; the answer's body is an `Answer`, a failure's {"detail": why}.

    A field mistyped is refused: without its `at` the question would be answered as of now.
    """

    sql: str
    at: AsOf = NOW


class Failure(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    detail: str


def address_file(settings: Settings) -> Path:
    """Return the file that holds the web address of the file's owner, http://host:port."""
    return settings.data / "web.url"


def query(settings: Settings, sql: str, limits: Limits = LIMITS, at: AsOf = NOW) -> Answer:
    """Return the columns and rows of a SQL text over the views as of a point.

    Raises InputError for SQL that fails or takes too much and for a point without views,
    ConfigError where there are no views at all, TransportError where the process that has the file
    gives no answer.
    """
    question = Question(sql, at)
    try:
        address = address_file(settings).read_text().strip()
    except FileNotFoundError:
        return query_file(settings, question, limits)
    try:
        return query_owner(address, question, limits)
    except ConnectionRefusedError:
        return query_file(settings, question, limits)


def query_owner(address: str, question: Question, limits: Limits = LIMITS) -> Answer:
    """Ask the process that owns the file; ConnectionRefusedError if none listens there."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=limits.seconds + 10
    )
    try:
        body = msgspec.json.encode(question)
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        status, data = response.status, response.read()
    except ConnectionRefusedError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise TransportError(f"{address}{PATH} gives no answer ({error}); is it up?") from error
    finally:
        connection.close()
    return read_answer(f"{address}{PATH}", status, data)


def read_answer(where: str, status: int, data: bytes) -> Answer:
    """Return the answer in an HTTP response; InputError for a 4xx, TransportError for others."""
    try:
        if status < 300:
            return msgspec.json.decode(data, type=Answer)
        detail = msgspec.json.decode(data, type=Failure).detail
    except msgspec.MsgspecError:
        detail = f"unreadable answer of status {status}"
    if 400 <= status < 500:
        raise InputError(detail)
    raise TransportError(f"{where}: {detail}")


def query_file(settings: Settings, question: Question, limits: Limits = LIMITS) -> Answer:
    """Run the SQL on a copy of the file, while no process writes to it."""
    if not settings.views.exists():
        raise ConfigError(
            f"no views at {settings.views}; start the materializer (`streamops up`), or name the "
            "namespace's data folder"
        )
    with tempfile.TemporaryDirectory(prefix="streamops-sql-") as folder:
        return answer_question(copy(settings.views, Path(folder)), question, limits)


def answer_question(snapshot: Path, question: Question, limits: Limits = LIMITS) -> Answer:
    """Answer a question on a copy of the views."""
    travel = None if question.at == NOW else travel_to(question.at)
    return run_query(snapshot, question.sql, limits, travel)


def copy(views: Path, folder: Path) -> Path:
    """Copy a DuckDB file with its write-ahead log; TransportError while a process writes to it."""
    reader = connect(views, read_only=True)
    try:
        return copy_store(views, folder)
    finally:
        reader.close()
