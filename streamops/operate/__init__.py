"""Operating streamops on one machine: the stack of processes, its folder, pre-flight, simulate."""
