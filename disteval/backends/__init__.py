"""Engines: who this rank is, how all ranks agree, and how bytes reach rank 0.

In: steps to agree on, and buffers to send. Out: what each rank reported, and the buffers of all.

- `choice.py`: which engine runs; `base.py`: the interface of an engine.
- `local.py`: one process. `horovod.py`, `multiworker.py`: several, on what `peers.py` shares.
- `agreement.py`: what ranks tell each other, so that all go on or all raise.
- `prefetch.py`: reads items ahead on a thread; `stream.py`: arrays as one stream of bytes.
"""
