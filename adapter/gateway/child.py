"""Starting a process of a gateway: nothing around it decides what it runs, and it ends by stdin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

__all__ = ["start_child"]

# With -I neither the working folder nor a PYTHON* variable decides what `import json` means.
CHILD = """\
import json, sys
line = sys.stdin.buffer.readline()
if not line:
    sys.exit()  # the parent was interrupted
settings = json.loads(line)
sys.path[:] = settings["sys_path"]
from adapter.gateway.workers import run
run(settings)
"""


def start_child(
    settings: Mapping[str, Any], fds: Sequence[int], **options: Any
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process with ``settings``, which inherits ``fds``; ``options`` are ``Popen``'s.

    Return it and the descriptor by which it says that it is ready, a byte, or that it has ended.
    Its stdin stays open: it ends when that does.
    """
    said, ready = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", CHILD],
            bufsize=0,
            stdin=subprocess.PIPE,
            pass_fds=(*fds, ready),
            **options,
        )
    except BaseException:
        os.close(said)
        raise
    finally:
        os.close(ready)
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once, which whoever waits for it sees
        process.stdin.write(json.dumps({**settings, "ready": ready}).encode() + b"\n")
    return process, said
