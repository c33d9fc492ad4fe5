"""`python -m tests.wandb_backend --dir DIR`: prints its URL, then serves until it is ended."""

import argparse
from pathlib import Path

from .server import BackendServer

parser = argparse.ArgumentParser(prog="wandb_backend", description=__doc__)
parser.add_argument("--dir", type=Path, required=True, help="where uploads are kept")
parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 for a free one")
arguments = parser.parse_args()

server = BackendServer(arguments.dir, arguments.port)
print(server.url, flush=True)
server.serve_forever()
