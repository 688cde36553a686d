"""`streamops simulate`: play any labelled table as a live application would, and prove the result.

It starts its own stack in its own driven namespace (or uses --bootstrap), trains version 1 on the
first tenth, streams the rest pane by pane in lock-step, archives, verifies every alert, sums up.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from streamops.audit.seal_line import line_of
from streamops.audit.verify import verify
from streamops.config import ModelConfig, check_config
from streamops.core.times import SECOND_US, moment
from streamops.errors import ConfigError
from streamops.operate.application import Application, Due, rounds
from streamops.operate.compare import views_counts
from streamops.operate.defaults import config_for, pane_seconds, training_rows
from streamops.operate.first_version import (
    first_trainer,
    namespace_for,
    promote_first,
    register_first,
    task_of_rows,
    train_first,
)
from streamops.operate.folder import Folder
from streamops.operate.lockstep import Lockstep
from streamops.operate.rows import Row
from streamops.operate.script import own_command
from streamops.operate.stack import Stack
from streamops.operate.summary import COUNTED, Facts, Summary, Verified, read_facts
from streamops.operate.table import Columns, Table, read_table
from streamops.settings import Settings
from streamops.training.batch import Trained, Trainer
from streamops.training.fitting import check_model
from streamops.views.archiver import seal_until_end

SERVICES = (
    "meter", "detect", "control", "broadcaster", "trainer", "materializer", "archiver",
)  # fmt: skip
ROWS_MIN = 100
MEMORY_EVERY_S = 5.0
# An epoch is a pane or an answer here: a table of 90 panes has about fourteen seals.
SEAL_EVERY = 8
# Stands in the folder of a run from its first moment on.
MARK = "simulate.json"


class SimulateOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to play and how.

    rows       play only the first so many rows of the table; 0: all
    wait       lock-step: go on only when an epoch is concluded and answered
    trainer    hist_gradient_boosting, or module:function
    home       folder of this run; what stood there is removed
    keep       leave stack and page up until interrupted
    """

    file: Path
    columns: Columns = Columns()
    rows: int = 0
    pane_s: int = 0
    trainer: str = "hist_gradient_boosting"
    partitions: int = 4
    wait: bool = True
    home: Path = Path(".streamops/simulate")
    keep: bool = False
    bootstrap: str = ""
    kafka: dict[str, str] = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A table made ready: model name, task, configuration, and the rows to train on and stream."""

    table: Table
    model: str
    task: str
    config: ModelConfig
    training: list[Row]
    streamed: Sequence[Row]


def make_plan(options: SimulateOptions) -> Plan:
    """Read the table and decide the configuration; raises ConfigError before anything starts."""
    check_model(options.trainer)
    table = read_table(options.file, options.columns)
    rows = table.rows[: options.rows or None]
    if len(rows) < ROWS_MIN:
        raise ConfigError(f"{options.file} has {len(rows)} rows; give at least {ROWS_MIN}")
    first = training_rows(table)
    if len(rows) <= first:
        raise ConfigError(f"--rows is {options.rows}; the first {first} rows only train; give more")
    training = list(rows[:first])
    if all(row.label is None for row in training):
        raise ConfigError(
            f"--target is {table.target!r}, which has no value in the first {first} rows of "
            f"{options.file.name}: they train version 1; name another column, or leave out those "
            "rows"
        )
    task = task_of_rows(training)
    pane_s = options.pane_s or pane_seconds(table.rows[first:])
    model = options.file.stem
    config = config_for(table, model, task, pane_s=pane_s, trainer=options.trainer)
    return Plan(
        table=table,
        model=model,
        task=task,
        config=check_config(config),
        training=training,
        streamed=rows[first:],
    )


OnRound = Callable[[int, Stack], None]


def simulate(
    options: SimulateOptions,
    console: Console | None = None,
    on_round: OnRound = lambda number, stack: None,
) -> Summary:
    """Run the whole loop over a table; progress goes to `console` (standard error).

    `on_round` is called before each round with its number, from 0, and the running stack.
    """
    console = console or Console(file=sys.stderr)
    started = time.monotonic()
    # Arrow's own pool keeps what was freed.
    pa.set_memory_pool(pa.system_memory_pool())
    plan = make_plan(options)
    clear_home(options.home)
    settings = Settings(
        bootstrap=options.bootstrap,
        namespace=namespace_for(options.file, unique=bool(options.bootstrap)),
        data=options.home.resolve(),
        kafka=options.kafka,
        partitions=options.partitions,
        driven=True,
        seal_every=SEAL_EVERY,
    )
    stack = Stack(settings, SERVICES)
    with first_trainer(settings) as training, _running(stack, console):
        run = _Run(options, plan, stack, console, training)
        run.play(on_round)
        facts, matches, seal = run.settle()
        verified = _verify(options.home / "archive", console)
        summary = run.summary(facts, matches, verified, seal, time.monotonic() - started)
        (options.home / "summary.json").write_bytes(msgspec.json.encode(summary))
        if options.keep:
            run.keep(summary)
    return summary


@contextmanager
def _running(stack: Stack, console: Console) -> Iterator[None]:
    try:
        with console.status("starting broker and services"):
            stack.start()
            _load_libraries()
            stack.wait_ready()
        console.print(f"While it runs, the page is at {stack.page}", soft_wrap=True)
        yield
    except BaseException:
        console.print(logs_of(stack.settings.data), soft_wrap=True, highlight=False)
        raise
    finally:
        stack.stop()


def _load_libraries() -> None:
    """Load what scores predictions, some seconds, while the services start."""
    import skops.io  # noqa: F401


def logs_of(home: Path) -> str:
    """Where a run's logs are, in a sentence; an existing Kafka's are not here."""
    folder = Folder(home)
    broker = folder.log("broker")
    own = f", the broker's is {broker}" if broker.exists() else ""
    return f"The services' logs are in {folder.logs}{own}"


def clear_home(home: Path) -> None:
    """Empty the folder of an earlier run; ConfigError for one that is in use or no run made."""
    Folder(home).refuse_if_held("--home")
    if home.exists() and any(home.iterdir()) and not is_of_a_run(home):
        raise ConfigError(
            f"--home is {home}, which holds files that no simulation made; name an empty folder"
        )
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / MARK).write_bytes(b"{}")


def is_of_a_run(home: Path) -> bool:
    """Whether a simulation made the folder; a live stack's, or a stranger's, is not for it."""
    if (home / MARK).exists():
        return True
    try:
        found = Folder(home).read_settings()
    except ConfigError:
        return False
    return found is not None and found.settings.driven


class Gauge:
    """Looks after the stack while the driver waits: failed services, and memory once a while."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.peak_mb = 0.0
        self._due = 0.0

    def look(self) -> None:
        """Raise where a service gave up; measure memory every MEMORY_EVERY_S."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + MEMORY_EVERY_S
            self.stack.check()
            self.peak_mb = max(self.peak_mb, self.stack.pss_mb())


class _Run:
    """One simulation under way."""

    def __init__(
        self,
        options: SimulateOptions,
        plan: Plan,
        stack: Stack,
        console: Console,
        training: Trainer,
    ) -> None:
        self.options, self.plan, self.stack, self.console = options, plan, stack, console
        self.training = training
        self.settings = stack.settings
        self.memory = Gauge(stack)
        self.driver = Lockstep(self.settings, self.memory.look)
        self.application = Application(self.settings, plan.table, plan.model, plan.task)

    def play(self, on_round: OnRound) -> None:
        """Train and promote version 1, then stream every round."""
        plan, config = self.plan, self.plan.config
        pane_us = config.pane_s * SECOND_US
        start_us = plan.streamed[0].time_us // pane_us * pane_us
        with self.console.status("training version 1"):
            trained = train_first(plan.training, self.training, plan.task, self.options.trainer)
        self._open(trained, start_us)
        labels = [row.label for row in plan.training if row.label is not None]
        self.application.use_first(trained.artifact, labels[-1])
        tail_us = [config.maturity_s * SECOND_US, (config.horizon_s + config.pane_s) * SECOND_US]
        with _progress(self.console, len(plan.streamed)) as show:
            for number, due in enumerate(rounds(plan.streamed, pane_us, tail_us)):
                on_round(number, self.stack)
                self._round(due)
                show(len(due.rows), self._state())
        if not self.options.wait:
            self.driver.wait_concluded(self.driver.epoch - 1)

    def settle(self) -> tuple[Facts, bool, str]:
        """Stop what writes, archive and seal; returns facts, if views match, and the line."""
        self.driver.close()
        self.application.close()
        with self.console.status("archiving and sealing, comparing views with topics"):
            self.stack.stop_services()
            sealed = seal_until_end(self.settings)
            facts = read_facts(self.settings)
            matches = views_counts(self.settings, COUNTED) == facts.counts
        return facts, matches, str(line_of(sealed))

    def summary(
        self, facts: Facts, matches: bool, verified: Verified, seal: str, seconds: float
    ) -> Summary:
        """Put the result together."""
        return Summary(
            rows=len(self.plan.streamed),
            predictions=facts.counts.get("predictions/PredictionMade", 0),
            labels=facts.counts.get("labels/LabelArrived", 0),
            outcomes=facts.outcomes,
            panes=facts.panes,
            refused=facts.refused,
            alerts=facts.alerts,
            retrains=facts.retrains,
            score=self.application.tally.score(),
            verified=verified,
            views_match_topics=matches,
            seal=seal,
            seconds=round(seconds, 1),
            peak_pss_mb=round(self.memory.peak_mb),
        )

    def keep(self, summary: Summary) -> None:
        """Start the page again and wait to be interrupted."""
        from streamops.operate.summary import print_summary

        self.stack.start_services(("materializer",))
        print_summary(
            summary,
            self.console,
            where=str(self.options.home),
            page=self.stack.page,
            command=own_command(),
        )
        self.console.print("Kept up; press Ctrl-C to stop.")
        try:
            while True:
                self.stack.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            return

    def _open(self, trained: Trained, start_us: int) -> None:
        client, model = self.application.client, self.plan.model
        self.driver.found(moment(start_us))
        wanted = register_first(client, model, self.plan.config, trained, start_us)
        self.application.flush()
        self.driver.wait_delivered(wanted)
        promote_first(client, model, start_us)
        self.application.flush()
        self.driver.step(moment(start_us))
        self._follow_deployment()

    def _round(self, due: Due) -> None:
        self.application.serve(due.rows)
        self.application.learn(due.labels)
        self.application.flush()
        if self.options.wait:
            self.driver.step(moment(due.tick_us))
            self._follow_deployment()
        else:
            self.driver.tick(moment(due.tick_us))
            self.application.scorer.poll()
        self.memory.look()

    def _follow_deployment(self) -> None:
        revision = self.driver.revisions().get(self.plan.model)
        if revision:
            self.application.scorer.wait_for(self.plan.model, revision)

    def _state(self) -> str:
        serving = self.application.scorer.serving(self.plan.model)
        version = "" if serving is None else serving.target.version
        score = self.application.tally.score()
        return f"{score.metric} {score.operated:.3f} · serving {version}"


@contextmanager
def _progress(console: Console, rows: int) -> Iterator[Callable[[int, str], None]]:
    columns = (
        TextColumn("streaming"), BarColumn(), TextColumn("{task.completed:,}/{task.total:,} rows"),
        TextColumn("{task.fields[state]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task: TaskID = progress.add_task("rows", total=rows, state="")
        yield lambda done, state: progress.update(task, advance=done, state=state)


def _verify(archive: Path, console: Console) -> Verified:
    with console.status("verifying every alert from the archive"):
        result = verify(archive)
    return Verified(alerts=len(result.alerts), ok=result.ok)
