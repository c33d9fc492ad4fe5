"""The gathers of accelerate, torchmetrics and mmengine, if they are installed."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

PORT = "29871"


def peers(own: Sequence[np.ndarray]) -> dict[str, Callable[[], Any]]:
    """Returns contenders that gather the arrays of this Horovod rank, by name; none without torch.

    They run in the same processes as Horovod.
    """
    if importlib.util.find_spec("torch") is None:
        sys.stderr.write("torch is not installed; its gathers are left out\n")
        return {}
    import torch
    import torch.distributed as dist

    if not dist.is_initialized():
        environ = os.environ
        environ |= {name: environ[f"HOROVOD_{name}"] for name in ("RANK", "LOCAL_RANK")}
        environ |= {"WORLD_SIZE": environ["HOROVOD_SIZE"], "MASTER_ADDR": "127.0.0.1"}
        environ["MASTER_PORT"] = PORT
        dist.init_process_group("gloo")
    tensors = [torch.from_numpy(array) for array in own]
    chief = dist.get_rank() == 0
    dense = len(own) == 1

    def gather() -> None:
        for tensor in tensors:
            parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
            dist.gather(tensor, parts if chief else None)
            if chief:
                torch.cat(parts)

    # accelerate and torch gather only arrays of equal shape on each rank.
    contenders: dict[str, Callable[[], Any]] = {"torch gather": gather} if dense else {}
    if dense and importlib.util.find_spec("accelerate"):
        from accelerate import PartialState
        from accelerate.utils import gather as gather_all

        PartialState(cpu=True)
        contenders["accelerate"] = lambda: gather_all(tensors[0])
    if importlib.util.find_spec("torchmetrics"):
        from torchmetrics.utilities.distributed import gather_all_tensors

        def torchmetrics() -> None:
            for tensor in tensors:
                torch.cat(gather_all_tensors(tensor))

        contenders["torchmetrics"] = torchmetrics
    if importlib.util.find_spec("mmengine"):
        from mmengine.dist import collect_results

        rows = list(own[0]) if dense else np.split(own[1], np.cumsum(own[0])[:-1])
        total = len(rows) * dist.get_world_size()
        contenders["mmengine"] = lambda: collect_results(rows, total, device="cpu")
    return contenders
