"""`python -m disteval doctor`: says what would run on this machine, and what is in the way.

In: the machine. Out: facts and traps, as text or JSON, and an exit status.

- `report.py`: the command; survives whatever cannot be imported. `traps.py`: what is in the way.
- `selftest.py`: runs in processes of its own, since it imports TensorFlow and Horovod.
- `gpus.py`: the GPUs that the driver has, whatever TensorFlow sees of them.
"""
