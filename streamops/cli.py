"""The command line: names, help and exit statuses. What commands do is in `streamops.commands`.

Nothing but this module is loaded until a command is known: `streamops run meter` never pays for
the others.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamops.errors import EXIT_CONFIG, ServiceError, exit_code
from streamops.system_errors import of_system

if TYPE_CHECKING:
    from cyclopts import App

EXIT_INTERRUPTED = 130
DEBUG = "--debug"
# The base install has what a producer of events needs.
EXTRAS = (
    "pip install 'streamops[audit]' brings what verify, explain, replay and whatif need, "
    "all commands need pip install 'streamops[server]'"
)
ABOUT = """\
Monitors models in production, retrains them, and proves every alert from the log.

Start with `streamops doctor`, then `streamops up`. Every command has --help with an example;
--debug shows where an error came from.
Exit status: 0 well, 2 a setting is wrong, 75 broker, disk or network failed
or stored data is damaged.
"""

# Group -> command -> where it is.
COMMANDS: dict[str, dict[str, str]] = {
    "Stack": {
        "up": "stack:up",
        "down": "stack:down",
        "status": "stack:status",
        "logs": "stack:logs",
        "run": "stack:run",
        "meter": "meter:meter",
        "top": "top:top",
        "doctor": "doctor:doctor",
    },
    "Models": {
        "init": "models:init",
        "apply": "models:apply",
        "promote": "models:promote",
        "approve": "models:approve",
        "rollback": "models:rollback",
        "pause": "models:pause",
        "silence": "silences:silence",
        "snooze": "silences:snooze",
        "maintenance": "silences:maintenance",
        "unsilence": "silences:unsilence",
        "silences": "silences:silences",
        "ack": "models:ack",
        "forget": "forget:forget",
    },
    "Answers": {
        "alerts": "answers:alerts",
        "sql": "sql:sql",
        "verify": "answers:verify",
        "replay": "answers:replay",
        "explain": "answers:explain",
        "retrains": "retrains:retrains",
        "whatif": "whatif:whatif",
        "report": "report:report",
        "seal": "seal:seal",
        "verify-chain": "seal:verify_chain",
        "incident": "incident:APP",
        "simulate": "simulate:simulate",
        "drift": "drift:drift",
        "bench": "bench:APP",
        "detector": "detector:APP",
    },
    "Cluster": {
        "topics": "topics:APP",
        "grow": "grow:grow",
        "version": "version:version",
    },
}


def make_app(only: str = "") -> App:
    """The application; with `only`, other commands' modules are not loaded."""
    from cyclopts import App, Group

    from streamops import __version__

    app = App(
        name="streamops",
        help=ABOUT,
        version=__version__,
        help_format="markdown",
        error_formatter=lambda error: f"streamops: {error} See `streamops --help`.",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for order, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=order)
        for name, place in commands.items():
            path = f"streamops.commands.{place}"
            loaded = None if only else load(path)
            if isinstance(loaded, App):
                loaded.group = (group,)
                app.command(loaded)
            else:
                app.command(loaded or path, name=name, group=group)
    return app


def load(path: str) -> Any:
    """What `module:name` stands for."""
    module, name = path.split(":")
    return getattr(import_module(module), name)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    tokens = [token for token in given if token != DEBUG]
    try:
        named = [token for token in tokens if not token.startswith("-")]
        result = make_app(only=named[0] if named else "")(tokens)
    except ServiceError as error:
        if DEBUG in given:
            raise
        print(f"streamops: {error}", file=sys.stderr)
        return exit_code(error)
    except ImportError as error:
        missing = _missing(error)
        if DEBUG in given or not missing:
            raise
        print(f"streamops: the module {missing} is not installed: {EXTRAS}", file=sys.stderr)
        return EXIT_CONFIG
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        refused = of_system(error)
        if DEBUG in given or refused is None:
            raise
        print(f"streamops: {refused}", file=sys.stderr)
        return exit_code(refused)
    return result if isinstance(result, int) else 0


def _missing(error: BaseException | None) -> str:
    """The package behind an import that failed; empty where it is none but ours."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            package = error.name.partition(".")[0]
            return "" if package == "streamops" else package
        error = error.__cause__
    return ""


if __name__ == "__main__":
    sys.exit(main())
