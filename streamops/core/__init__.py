"""The core: every conclusion of streamops as a pure function of the log.

Rule 1: nothing here reads a clock, draws a random number, does I/O, logs or imports a host. Imports
        are the standard library's pure parts, msgspec, numpy, streamops' events, values, codec,
        configuration and errors, and the core itself.
Rule 2: time is an event; lateness depends on the log alone.
Rule 3: state is integers that merge exactly; floats appear when a closed pane is evaluated, through
        `numeric` alone.
Rule 4: a `step` never changes the state it got.
"""
