"""`python -m disteval doctor`: says what would run on this machine, and what is in the way.

In: the machine. Out: facts and traps, as text or JSON, and an exit status.

- `report.py`: the command; survives whatever cannot be imported.
- `selftest.py`: runs in processes of its own, since it imports TensorFlow and Horovod.
"""
