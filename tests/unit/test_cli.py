"""The command line without a broker: help, exit statuses, where settings come from."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec
import pytest
from cyclopts import App

from streamops.cli import COMMANDS as COMMANDS_BY_GROUP
from streamops.cli import EXIT_INTERRUPTED, load, main
from streamops.commands import models, reference
from streamops.commands.answers import describe_alert
from streamops.commands.models import read_duration
from streamops.commands.place import SEAL_EVERY, Place, read_kafka_config
from streamops.commands.stack import NOT_RUNNING, tell_of_silence
from streamops.errors import EXIT_CONFIG, EXIT_TRANSPORT, ConfigError
from streamops.events import AlertRaised, AlertResolved, AlertSilenced, PromotionRequested
from streamops.operate.folder import Folder, ServiceSettings
from streamops.operate.init import TEMPLATE, read_config
from streamops.operate.services import SERVICES, check_services, default_services
from streamops.operate.simulate import SERVICES as SIMULATED
from streamops.quiet import Hold, Noise
from streamops.settings import Settings
from tests.sample_events import sample_of

NOBODY = "127.0.0.1:1"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEAVY = {"cyclopts", "rich", "numpy", "confluent_kafka", "sklearn", "duckdb", "faust", "msgspec"}
COMMANDS = list(reference.names())


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("DATA", "NAMESPACE", "BOOTSTRAP", "KAFKA_CONFIG", "PARTITIONS", "SEAL_EVERY"):
        monkeypatch.delenv(f"STREAMOPS_{name}", raising=False)


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has after a statement."""
    program = f"import sys; {statement}; print(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command):
    text = reference.help_of(command)
    assert text.startswith(f"Usage: streamops {' '.join(command)}")
    assert f"Example: streamops {command[0]}" in text or command == ("topics",)


def test_the_page_of_commands_is_fresh(root, monkeypatch):
    monkeypatch.chdir(root)
    assert reference.main(["--check"]) == 0


def test_a_stale_page_is_seen(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reference.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err


def test_the_command_line_loads_nothing_until_a_command_is_known():
    assert loaded_by("import streamops.cli") & HEAVY == set()


def test_a_service_process_loads_no_command_line():
    loaded = loaded_by("import streamops.operate.services")
    assert loaded & {"cyclopts", "rich", "sklearn", "duckdb", "faust", "pandas"} == set()


def test_the_meter_loads_no_learner_and_no_database():
    loaded = loaded_by(
        "from streamops.operate.services import SERVICES as s;"
        "from streamops.operate.folder import ServiceSettings as g;"
        "from streamops.settings import Settings; s['meter'](g(settings=Settings(bootstrap='')))"
    )
    assert "rocksdict" in loaded
    assert loaded & {"sklearn", "river", "duckdb", "faust", "pandas", "pyarrow"} == set()


@pytest.mark.parametrize("arguments", [["nope"], ["up", "--bad"], ["promote", "only-a-model"]])
def test_a_wrong_call_is_one_line_and_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == EXIT_CONFIG
    assert capsys.readouterr().err.startswith("streamops: ")


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("simulate t.csv", "--rows", "-4"),
        ("simulate t.csv", "--pane", "-5"),
        ("simulate t.csv", "--partitions", "0"),
        ("up", "--partitions", "0"),
        ("simulate t.csv", "--partitions", "9999999999"),
        ("up", "--partitions", "9999999999"),
        ("up", "--seal-every", "99999999999999999999"),
        ("up", "--disk-floor-mb", "99999999999999999999"),
        ("up", "--seal-every", "-1"),
        ("up", "--disk-floor-mb", "-1"),
        ("topics apply", "--partitions", "-1"),
        ("run meter", "--worker", "-1"),
        ("alerts", "--limit", "-1"),
        ("seal", "--wait", "nan"),
    ],
)
def test_a_number_outside_its_range_is_one_line_and_status_2(command, option, value, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), option, value])
    assert ended.value.code == EXIT_CONFIG
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("streamops: Invalid value")
    assert f"for {option}. Must be" in said


@pytest.mark.parametrize("command", ["simulate t.csv --pane", "up --partitions"])
def test_a_fraction_is_no_count(command, capsys):
    """It used to be taken, rounded."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "1.5"])
    assert ended.value.code == EXIT_CONFIG
    assert "'1.5' is no whole number" in " ".join(capsys.readouterr().err.split())


# What these take is bounded by more than a number, and said by what they start.
CHECKED_LATER = {"init --pane-s", "meter --workers", "up --meter-workers", "top --every",
                 "drift --false-alarms", "sql --as-of-epoch"}  # fmt: skip


def is_unbounded(hint):
    if get_origin(hint) is not Annotated:
        return False
    kind, *parameters = get_args(hint)
    is_number = not {int, float}.isdisjoint({kind, *get_args(kind)})
    return is_number and not any(parameter.validator for parameter in parameters)


def test_every_number_that_an_option_takes_has_a_range():
    places = {name: at for commands in COMMANDS_BY_GROUP.values() for name, at in commands.items()}
    commands = {name: load(f"streamops.commands.{at}") for name, at in places.items()}
    unbounded = {
        f"{name} --{argument.replace('_', '-')}"
        for name, command in commands.items()
        if not isinstance(command, App)
        for argument, hint in get_type_hints(command, include_extras=True).items()
        if is_unbounded(hint)
    }
    assert unbounded == CHECKED_LATER


def test_a_wrong_setting_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["alerts", "--data", str(tmp_path)]) == EXIT_CONFIG
    [line] = capsys.readouterr().err.splitlines()
    assert "no broker is known" in line
    assert "streamops up" in line


def test_a_broker_that_does_not_answer_is_status_75(monkeypatch, capsys):
    monkeypatch.setattr("streamops.sdk.alerts.BROKER_TIMEOUT_S", 0.3)
    assert main(["alerts", "--bootstrap", NOBODY]) == EXIT_TRANSPORT
    assert NOBODY in capsys.readouterr().err


def test_debug_shows_where_an_error_came_from(tmp_path):
    with pytest.raises(ConfigError):
        main(["--debug", "alerts", "--data", str(tmp_path)])


def fail_with(monkeypatch, error):
    def read_state(_):
        raise error

    monkeypatch.setattr(Folder, "read_state", read_state)
    return ["down"]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (PermissionError(13, "Permission denied", "/x/y"), EXIT_CONFIG, "/x/y can't be used: Perm"),
        (FileNotFoundError(2, "No such file", "/x/y"), EXIT_CONFIG, "/x/y can't be used: No such"),
        (OSError(28, "No space left on device", "/x/y"), EXIT_TRANSPORT, "/x/y: No space left"),
        (OSError(28, "No space left on device"), EXIT_TRANSPORT, "No space left on device; make"),
        (OSError(5, "Input/output error"), EXIT_TRANSPORT, "Input/output error; make room or mend"),
    ],
)
def test_what_the_system_refuses_is_one_line(monkeypatch, capsys, error, status, said):
    command = fail_with(monkeypatch, error)
    assert main(command) == status
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"streamops: {said}")
    with pytest.raises(OSError, match=error.strerror):
        main([*command, "--debug"])


def test_an_error_of_the_system_that_names_no_file_is_a_fault_of_ours(monkeypatch):
    command = fail_with(monkeypatch, OSError(9, "Bad file descriptor"))
    with pytest.raises(OSError, match="Bad file"):
        main(command)


@pytest.mark.parametrize(
    "command", ["up", "up --detach", "meter --bootstrap 127.0.0.1:1 --partitions 1", "status"]
)
@pytest.mark.parametrize("folder", ["/proc/streamops-test", "FILE/below"])
def test_a_folder_that_can_not_be_used_is_one_line(tmp_path, capsys, command, folder):
    (tmp_path / "file").write_text("")
    place = folder.replace("FILE", str(tmp_path / "file"))
    status = main([*command.split(), "--data", place])
    [line] = capsys.readouterr().err.splitlines()
    assert status == (
        NOT_RUNNING if command == "status" and folder != "FILE/below" else EXIT_CONFIG
    )
    assert place in line


def test_a_file_of_client_settings_that_is_no_text_is_named(tmp_path):
    (tmp_path / "kafka.conf").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"kafka\.conf can't be read"):
        read_kafka_config(tmp_path / "kafka.conf")


def test_a_command_says_where_its_answer_and_its_refusal_stand(monkeypatch, capsys):
    monkeypatch.setattr(models, "_send", lambda place, commands: [sample_of(PromotionRequested)])
    assert main(["promote", "nope", "v1"]) == 0
    assert "a refusal on dlq: streamops sql" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(monkeypatch, tmp_path):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamops.operate.init.write_template", interrupted)
    assert main(["init", str(tmp_path / "a.toml")]) == EXIT_INTERRUPTED


def test_init_writes_what_apply_reads(tmp_path, capsys):
    file = tmp_path / "streamops.toml"
    assert main(["init", str(file), "--model", "demand", "--pane-s", "60"]) == 0
    [config] = read_config(file)
    assert (config.model, config.pane_s) == ("demand", 60)
    assert {rule.kind for rule in config.rules} >= {"data_drift", "performance", "quality"}
    assert main(["init", str(file)]) == EXIT_CONFIG
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "models"),
        ("models = []", r"no \[\[models\]\]"),
        ("models = 3", "Expected `array`"),
        ('[[models]]\nmodel = "a"\npane = 3', "unknown field `pane`"),
        ('[[models]]\nmodel = "a"\npane_s = 0', "pane_s is 0; use 1 second"),
        ('[[models]]\nmodel = "a"\n[[models]]\nmodel = "a"', "'a' twice"),
        ("[[models", r"a\.toml"),
    ],
)
def test_a_configuration_that_cannot_hold_is_refused(tmp_path, text, message):
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(file)


@pytest.mark.parametrize("model", ['a"b', "a\\b", "tab\there", "größe", "del\x7f", "{model}"])
def test_init_takes_any_name_of_a_model(tmp_path, model):
    file = tmp_path / "streamops.toml"
    assert main(["init", str(file), "--model", model]) == 0
    assert [config.model for config in read_config(file)] == [model]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--pane-s", "0", "pane_s is 0; use 1 second to"),
        ("--pane-s", "-5", "pane_s is -5; use 1 second to"),
        ("--model", "", "model is ''; give the model's name"),
        ("--model", "\udcff", "--model is '\\udcff', file"),
    ],
)
def test_init_writes_nothing_that_apply_would_refuse(tmp_path, capsys, option, value, said):
    file = tmp_path / "streamops.toml"
    assert main(["init", str(file), option, value]) == EXIT_CONFIG
    assert said in capsys.readouterr().err
    assert not file.exists()


def test_a_missing_configuration_says_how_to_get_one(tmp_path, capsys):
    assert main(["apply", str(tmp_path / "none.toml"), "--bootstrap", NOBODY]) == EXIT_CONFIG
    assert "streamops init" in capsys.readouterr().err


def test_every_setting_of_the_template_is_explained():
    head = TEMPLATE.split("# Alert rules")[0]
    settings = [line for line in head.splitlines() if " = " in line and line[0] != "#"]
    assert [line for line in settings if "#" not in line] == []


def test_options_come_before_environment_before_recorded(tmp_path, monkeypatch):
    recorded = Settings(bootstrap="recorded:1", namespace="recorded", partitions=7)
    Folder(tmp_path).write_settings(ServiceSettings(settings=recorded))
    assert Place(data=tmp_path).settings() == recorded
    assert Place(data=tmp_path, namespace="mine").settings().namespace == "mine"
    given = Place(data=tmp_path, bootstrap="given:1").settings()
    assert (given.bootstrap, given.namespace, given.partitions) == ("given:1", "recorded", 7)
    assert Place(data=tmp_path).settings(partitions=3).partitions == 3


def test_partitions_are_4_embedded_and_24_on_a_cluster(tmp_path):
    assert Place(data=tmp_path).template().partitions == 4
    assert Place(data=tmp_path, bootstrap="h:1").template().partitions == 24


def test_ticks_are_a_second_apart_embedded_and_five_on_a_cluster_unless_set(tmp_path):
    assert Place(data=tmp_path).template().interval_s == 1
    assert Place(data=tmp_path, bootstrap="kafka:9092").template().interval_s == 5
    assert Place(data=tmp_path).template(interval_s=0.5).interval_s == 0.5


def test_a_namespace_seals_as_it_did_from_its_beginning(tmp_path):
    assert Place(data=tmp_path).template().seal_every == SEAL_EVERY
    assert Place(data=tmp_path).template(seal_every=0).seal_every == 0
    recorded = Settings(bootstrap="127.0.0.1:9", namespace="recorded", data=tmp_path)
    Folder(tmp_path).write_settings(ServiceSettings(settings=recorded))
    assert Place(data=tmp_path).template().seal_every == 0
    assert Place(data=tmp_path, namespace="new").template().seal_every == SEAL_EVERY


def test_features_that_were_marked_personal_stay_so_where_a_start_forgets_to_say(tmp_path):
    given = Place(data=tmp_path).template(personal="age, income", personal_ids="customer")
    assert (given.personal, given.personal_ids) == (("age", "income"), ("customer",))
    Folder(tmp_path).write_settings(ServiceSettings(settings=given))
    again = Place(data=tmp_path).template()
    assert (again.personal, again.personal_ids) == (("age", "income"), ("customer",))
    assert Place(data=tmp_path, bootstrap="given:1").settings().personal == ("age", "income")
    assert Place(data=tmp_path).template(personal="").personal == ()


def test_the_environment_names_the_place(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STREAMOPS_DATA", str(tmp_path / "of-the-environment"))
    assert main(["alerts"]) == EXIT_CONFIG
    assert "of-the-environment" in capsys.readouterr().err


def test_a_namespace_that_kafka_cannot_take_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="namespace is 'A b'"):
        Place(data=tmp_path, namespace="A b").template()


def test_client_settings_are_read_line_by_line(tmp_path):
    file = tmp_path / "client.properties"
    file.write_text("# comment\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n")
    assert read_kafka_config(file) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    assert read_kafka_config(None) == {}
    file.write_text("security.protocol SASL_SSL")
    with pytest.raises(ConfigError, match="line 1 has no '='"):
        read_kafka_config(file)
    with pytest.raises(ConfigError, match="can't be read"):
        read_kafka_config(tmp_path / "none")
    file.write_text("security.protocol=SSL\nbootstrap.servers=prod:9092\n")
    with pytest.raises(ConfigError, match=r"line 2 has bootstrap\.servers: .* give --bootstrap"):
        read_kafka_config(file)


@pytest.mark.parametrize("command", ["up", "simulate t.csv --target y"])
def test_client_settings_are_of_a_kafka_that_is_named(command, tmp_path, monkeypatch, capsys):
    """Else a broker of one's own was started, and clients went elsewhere, or nowhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kafka.conf").write_text("security.protocol=SSL\n")
    assert main([*command.split(), "--kafka-config", "kafka.conf"]) == EXIT_CONFIG
    assert "no --bootstrap names the Kafka it is for" in capsys.readouterr().err


def test_json_stands_alone_on_stdout(tmp_path, capsys):
    assert main(["topics", "list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 14
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["streamops"] == "0.1.0"
    assert main(["status", "--json", "--data", str(tmp_path)]) == 3
    assert json.loads(capsys.readouterr().out)["running"] is False


def test_doctor_names_each_lack_and_the_way_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("streamops.operate.doctor.BROKER_TIMEOUT_S", 0.3)
    monkeypatch.setattr("streamops.operate.doctor.DISK_MIN_BYTES", 1 << 60)
    assert main(["doctor", "--json", "--bootstrap", NOBODY, "--data", str(tmp_path)]) == 1
    found = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert not found["disk"]["ok"]
    assert not found["broker"]["ok"]
    assert NOBODY in found["broker"]["detail"]
    assert [f["check"] for f in found.values() if f["ok"] == bool(f.get("mend"))] == []


def test_doctor_finds_the_embedded_brokers_needs_here(tmp_path, monkeypatch, capsys):
    # As `import faust` leaves it: an object in the module's place that has no spec.
    monkeypatch.setitem(sys.modules, "faust", ModuleType("faust"))
    main(["doctor", "--json", "--data", str(tmp_path)])
    found = {finding["check"]: finding["ok"] for finding in json.loads(capsys.readouterr().out)}
    assert {found[name] for name in ("python", "numbers", "ports", "java", "broker's jars")} == {
        True
    }


def test_a_log_that_is_not_there_is_named_with_those_that_are(tmp_path, capsys):
    folder = Folder(tmp_path)
    folder.logs.mkdir()
    folder.log("meter").write_text("one\ntwo\n")
    assert main(["logs", "meter", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    assert main(["logs", "mter", "--data", str(tmp_path)]) == EXIT_CONFIG
    assert "there are: meter" in capsys.readouterr().err


def test_down_without_a_stack_is_well(tmp_path, capsys):
    assert main(["down", "--data", str(tmp_path)]) == 0
    assert "no stack runs" in capsys.readouterr().err


def test_a_standby_runs_by_default_but_not_beside_a_driver():
    assert default_services(is_driven=False) == list(SERVICES)
    assert set(SERVICES) - set(default_services(is_driven=True)) == {"standby"}
    assert "standby" not in SIMULATED


def test_an_unknown_service_is_refused_with_those_there_are():
    assert check_services(["meter", "broadcaster"]) == ["broadcaster", "meter"]
    with pytest.raises(ConfigError, match="'metre'; use one of broadcaster"):
        check_services(["metre"])
    assert main(["run", "metre", "--bootstrap", NOBODY]) == EXIT_CONFIG


def test_a_service_says_that_no_broker_answers(capsys):
    tell_of_silence(Settings(bootstrap=NOBODY), "meter", timeout_s=0.2)
    said = capsys.readouterr().err
    assert "the cluster gives no answer" in said
    assert "meter waits for it" in said


def test_every_service_of_the_compose_file_is_one(root):
    import yaml

    compose = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    commands = [service.get("command", [None])[:2] for service in compose.values()]
    run = {command[1] for command in commands if command[0] == "run"}
    assert run == set(SERVICES)


def test_durations_have_a_unit():
    assert read_duration("30m") == timedelta(minutes=30)
    assert read_duration("12h") == timedelta(hours=12)
    assert read_duration("7d") == timedelta(days=7)
    for text in ("", "7", "d", "-1d", "1.5h", "1w", "\u00b2h", "999999d", "9" * 20 + "m"):
        with pytest.raises(ConfigError, match="--for"):
            read_duration(text)


def test_a_command_without_a_model_is_the_users_mistake(capsys):
    assert main(["promote", "", "v", "--bootstrap", NOBODY]) == EXIT_CONFIG
    assert "model of PromotionRequested is empty; name it" in capsys.readouterr().err


def test_verify_asks_for_all_and_for_an_archive(tmp_path, capsys):
    assert main(["verify", "--data", str(tmp_path)]) == EXIT_CONFIG
    assert "needs one of" in capsys.readouterr().err
    assert main(["verify", "--all", "--archive", str(tmp_path / "none")]) == EXIT_CONFIG
    assert "--archive DIR" in capsys.readouterr().err


def test_an_alert_is_one_line_for_a_person():
    raised = AlertRaised(
        id="a", time=NOON, fingerprint="f", revision=1, kind="data_drift", severity="major",
        model="demand", version="1", segment="all", feature="price", rule="r", metric="psi",
        value=0.51234, limit=0.25, pane_start=NOON, config_hash="c",
    )  # fmt: skip
    line = describe_alert(raised)
    assert "raised    major    demand 1: data_drift, psi of price is 0.5123, limit 0.25" in line
    resolved = AlertResolved(
        id="b", time=NOON, fingerprint="f", revision=2, alert_id="a", model="demand",
        reason="recovered",
    )  # fmt: skip
    assert describe_alert(resolved).endswith("demand: recovered  [f]")
    silenced = AlertSilenced(
        id="c", time=NOON, fingerprint="f", revision=3, model="demand", actor="eve", until=NOON
    )
    assert "silent until 2026-01-01 12:00:00, by eve" in describe_alert(silenced)
    for hold, words in (
        (Hold(how="snooze"), "snooze until 2026-01-01 12:00:00, by eve"),
        (
            Hold(how="maintenance", since=NOON),
            "maintenance from 2026-01-01 12:00:00 until 2026-01-01 12:00:00, by eve",
        ),
        (Hold(ended=True), "silence ended, by eve"),
    ):
        assert words in describe_alert(msgspec.structs.replace(silenced, hold=hold))
    for noise, words in (
        (None, "limit 0.25  [f]"),
        (Noise(group="a", members=("g", "h")), "limit 0.25 (and 2 more)"),
        (Noise(flapping=True), "limit 0.25 (flapping)"),
        (Noise(reason="group", by="a", group="a"), "limit 0.25 (group: a)"),
    ):
        hushed = msgspec.structs.replace(raised, noise=noise, silenced=bool(noise and noise.reason))
        assert words in describe_alert(hushed)
    assert "(silenced)" in describe_alert(msgspec.structs.replace(raised, silenced=True))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["silence", "m", "--for", "1d", "--until", "2026-01-01T00:00Z"], "give one of them"),
        (["snooze", "m", "--until", "noon"], "--until is 'noon', which is no time"),
        (["maintenance", "m", "--since", "2026-01-02T00:00Z", "--until", "2026-01-01T00:00Z"],
         "the later one last"),
    ],
)  # fmt: skip
def test_a_silence_that_can_not_hold_is_refused(tmp_path, capsys, given, why):
    assert main([*given, "--data", str(tmp_path), "--bootstrap", NOBODY]) == EXIT_CONFIG
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("command", ["report m", "incident save x", "whatif --config none.toml"])
def test_a_time_in_no_year_of_utc_is_refused_in_a_sentence(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), "--since", "0001-01-01T00:00+14:00"]) == EXIT_CONFIG
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("url", ["http://[::1", "http://", "http://h:x", "h:1", "http://h:99999"])
def test_an_endpoint_that_is_no_address_is_refused(url, capsys):
    assert main(["top", "--endpoint", f"a={url}"]) == EXIT_CONFIG
    assert "write name=http://host:port" in capsys.readouterr().err
