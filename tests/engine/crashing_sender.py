"""`python -m tests.engine.crashing_sender HOME POINT`: a sender that kills itself at one point of its first send.

POINT: `claimed` (the attempt is on record, nothing was sent), `sent` (the receiver has it, the answer is not recorded).
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from data.config import Config
from data.store import connect
from engine.channels import Receipt
from engine.channels.http import HttpSender
from engine.delivery import Sender
from engine.inbox import Hub, Wires
from engine.secrets import SecretBox


class Crashing(Wires):
    point = ""

    async def post(self, url: str, **options: Any) -> Receipt:
        if self.point == "claimed":
            os.kill(os.getpid(), signal.SIGKILL)
        receipt = await super().post(url, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        return receipt


async def main(home: Path, point: str) -> None:
    config = Config(home=home)
    store = connect(config)
    async with HttpSender() as http:
        wires = Crashing(store, http, Hub())
        wires.point = point
        await Sender(store, SecretBox(home), wires).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
