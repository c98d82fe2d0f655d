"""How the threads of a task behave while other tasks run on the same machine."""

PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""For @environment: threads that spin while they wait make a step many times slower as soon as another task wants
their core."""
