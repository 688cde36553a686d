"""What `simulate` refuses before anything starts."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from streamops.cli import EXIT_INTERRUPTED, main
from streamops.errors import EXIT_CONFIG, EXIT_TRANSPORT, ConfigError, InputError
from streamops.operate.first_version import namespace_for, train_first
from streamops.operate.folder import Folder, ServiceSettings
from streamops.operate.simulate import MARK, SimulateOptions, clear_home, make_plan
from streamops.operate.summary import COUNTED, Retrains, Summary, Verified
from streamops.operate.table import Columns
from streamops.operate.tally import Score
from streamops.settings import Settings
from streamops.topics import load_topics, topic_name
from streamops.training.batch import Trainer
from streamops.views.log import NOT_LOG


def test_a_folder_that_no_simulation_made_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    with pytest.raises(ConfigError, match="no simulation made"):
        clear_home(tmp_path)
    assert precious.read_text() == "years of work"


@pytest.mark.parametrize("name", ["settings.json", "stack.json", "lock"])
def test_a_file_of_an_everyday_name_makes_no_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"editor.tabSize": 4}')
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="no simulation made"):
        clear_home(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def recorded(folder: Path, *, driven: bool) -> None:
    """What a stack leaves in its folder."""
    settings = Settings(bootstrap="b:1", namespace="n", data=folder, partitions=1, driven=driven)
    Folder(folder).write_settings(ServiceSettings(settings=settings))


def test_the_folder_of_a_stopped_stack_is_left_alone(tmp_path: Path) -> None:
    recorded(tmp_path, driven=False)
    (tmp_path / "archive").mkdir()
    with pytest.raises(ConfigError, match="no simulation made"):
        clear_home(tmp_path)
    assert (tmp_path / "archive").exists()


def test_an_earlier_run_is_cleared(tmp_path: Path) -> None:
    recorded(tmp_path, driven=True)
    (tmp_path / "views.duckdb").write_text("")
    for _ in range(2):
        clear_home(tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == [MARK]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    clear_home(tmp_path)
    (tmp_path / "archive").mkdir()
    with folder.lock(), pytest.raises(ConfigError, match=r"in use: .* another folder with --home"):
        clear_home(tmp_path)
    assert (tmp_path / "archive").exists()
    clear_home(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [MARK]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    clear_home(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_views_are_compared_on_every_topic_of_the_log() -> None:
    assert set(COUNTED) == set(load_topics()) - NOT_LOG


def a_table(folder: Path) -> str:
    """A file of 200 labelled rows."""
    file = folder / "table.csv"
    file.write_text("x,y\n" + "".join(f"{n},{n % 2}\n" for n in range(200)))
    return str(file)


def test_sigterm_ends_a_run_as_ctrl_c_does(tmp_path, monkeypatch) -> None:
    def ended(*_) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the run went on")

    monkeypatch.setattr("streamops.operate.simulate.simulate", ended)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["simulate", a_table(tmp_path), "--target", "y"]) == EXIT_INTERRUPTED
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("name", ["Äpfel", "日本", "x" * 80, "²", "my table (1)", "-"])
def test_a_file_of_any_name_has_a_namespace(name: str, unique: bool) -> None:
    found = namespace_for(Path(f"{name}.csv"), unique=unique)
    assert topic_name(found, "alerts").startswith("sim-")


def test_a_first_tenth_without_a_label_is_refused_before_anything_starts(tmp_path, capsys) -> None:
    file = tmp_path / "table.csv"
    file.write_text("x,y\n" + "".join(f"{n},{n % 2 if n > 19 else ''}\n" for n in range(200)))
    home = tmp_path / "run"
    assert main(["simulate", str(file), "--target", "y", "--home", str(home)]) == EXIT_CONFIG
    assert "--target is 'y', which has no value in the first 20 rows" in capsys.readouterr().err
    assert not home.exists()


def failed_run(folder: Path) -> Summary:
    """A result that isn't proven, and the logs of its run."""
    logs = Folder(folder)
    for log in (logs.log("meter"), logs.log("broker")):
        log.parent.mkdir(parents=True)
        log.touch()
    return Summary(
        rows=1, predictions=1, labels=1, outcomes=1, panes=1, refused=0, alerts=(),
        retrains=Retrains(requested=0, run=0, failed=0, refused=0, promoted=0),
        score=Score(metric="accuracy", first_model=1, operated=1, previous_label=1),
        verified=Verified(alerts=1, ok=False), views_match_topics=True, seconds=1, peak_pss_mb=1,
    )  # fmt: skip


def test_a_run_that_fails_names_its_logs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("streamops.kafka.admin.TIMEOUT_S", 0.3)
    home = tmp_path / "run"
    command = ["simulate", a_table(tmp_path), "--target", "y", "--home", str(home)]
    assert main([*command, "--bootstrap", "127.0.0.1:1"]) == EXIT_TRANSPORT
    assert f"The services' logs are in {home / 'logs'}\n" in capsys.readouterr().err


def test_a_run_that_fails_by_its_verdict_names_its_logs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("streamops.operate.simulate.simulate", lambda *_: failed_run(tmp_path))
    assert main(["simulate", a_table(tmp_path), "--target", "y", "--home", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"The services' logs are in {tmp_path / 'logs'}, " in said
    assert f"the broker's is {tmp_path / 'broker' / 'broker.log'}" in said


def test_a_flag_that_cannot_be_names_no_logs(tmp_path, capsys) -> None:
    home = tmp_path / "run"
    assert main(["simulate", a_table(tmp_path), "--target", "z", "--home", str(home)]) == 2
    assert "logs" not in capsys.readouterr().err
    assert not home.exists()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nope:nope", "No module named 'nope'"),
        ("nope", "No module named 'nope'"),
        ("", "can't be loaded"),
        ("own_of_simulate:absent", "has no attribute 'absent'"),
        ("own_of_simulate:number", "is not a function"),
        ("broken_of_simulate:fit", "SyntaxError"),
        ("ending_of_simulate:fit", "SystemExit: 3"),
    ],
)
def test_a_model_that_is_nothing_is_refused_before_anything_starts(
    tmp_path, monkeypatch, capsys, model, said
):
    monkeypatch.chdir(tmp_path)
    Path("own_of_simulate.py").write_text("number = 5\n")
    Path("broken_of_simulate.py").write_text("def fit(:\n")
    Path("ending_of_simulate.py").write_text("import sys\nsys.exit(3)\n")
    home = tmp_path / "run"
    command = ["simulate", a_table(tmp_path), "--target", "y", "--home", str(home)]
    assert main([*command, "--model", model]) == EXIT_CONFIG
    assert said in capsys.readouterr().err
    assert not home.exists()


def test_a_model_is_found_where_the_training_child_finds_it(tmp_path, monkeypatch, capsys):
    """A console script has its own folder on the path, not the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", ".")])
    Path("found_by_simulate.py").write_text("print('loaded')\ndef fit(x, y): ...\n")
    options = SimulateOptions(
        file=Path(a_table(tmp_path)), columns=Columns(target="y"), trainer="found_by_simulate:fit"
    )
    assert make_plan(options).config.retrain.trainer == "found_by_simulate:fit"
    assert str(tmp_path) not in sys.path
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("trainer", "kind"), [("own:fit", ConfigError), ("hist_gradient_boosting", InputError)]
)
def test_who_is_at_fault_for_a_first_version_that_fails(tmp_path, monkeypatch, trainer, kind):
    def fails(*_):
        raise InputError("training failed: ValueError: no luck")

    monkeypatch.setattr(Trainer, "train", fails)
    with pytest.raises(kind, match="training failed: ValueError: no luck"):
        train_first([], Trainer(tmp_path), "binary", trainer)
