"""Strategies as users write them: those that work, and those that do not."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from activityctl.strategy import Context, Executable, Skip, StrategyError


class Greet:
    """Says what it sees."""

    async def execute(self, context: Context, request: Any) -> Any:
        print("printed by greet")
        context.log("greeting", who=request["who"])
        return {
            "text": f"hello {request['who']}",
            "subscription": context.subscription,
            "params": context.params,
            "count": context.state.get("count", 0) + 1,
            "attempt": context.attempt,
            "key": context.idempotency_key,
            "secret": context.secrets.get("token"),
            "event": context.event,
        }


class Blocks:
    """Blocks its thread."""

    async def execute(self, context: Context, request: Any) -> Any:
        for _ in range(int(request / 0.1)):
            time.sleep(0.1)  # noqa: ASYNC251 - that is what it is for
            context.heartbeat()
            if context.is_cancelled:
                raise StrategyError("saw that it has to stop")
        return "slept"


class Waits:
    """Waits, and tidies up when it is cancelled."""

    async def execute(self, context: Context, _request: Any) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            context.log("tidied up")
            raise


class Fails:
    """Fails as asked."""

    async def execute(  # noqa: C901, PLR0911 - one case for each failure
        self, context: Context, request: Any
    ) -> Any:
        match request:
            case "skip":
                raise Skip("nothing to do today")
            case "final":
                raise StrategyError("never again", retryable=False, code="limit")
            case "bug":
                return {}["missing"]
            case "exit":
                os._exit(3)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "system exit":
                raise SystemExit(4)
            case "not json":
                return {1, 2}
            case "nan":
                return float("nan")
            case "large":
                return "x" * 50_000_000
            case "thread":
                threading.Thread(target=time.sleep, args=(60,)).start()
                return "left a thread"
            case "chatty":
                for number in range(1_200):
                    context.log(f"line {number}")
                return "said it"
        return None


class Plain:
    """Has no coroutine."""

    def execute(self, _context: Context, _request: Any) -> Any:
        return 1


class Calls:
    """Notes that it ran, and wants a call done for the account, if asked to."""

    async def execute(self, context: Context, request: Any) -> Any:
        with Path(request["notes"]).open("a") as notes:  # noqa: ASYNC230 - a short line
            notes.write(f"{context.account and context.account['subAccountAddress']}\n")
        if reason := request.get("skip"):
            raise Skip(reason)
        if (call := request.get("call")) is None:
            return {"looked": True}
        data = bytes.fromhex(call.pop("bytes")) if "bytes" in call else "0x"
        return Executable(**{"data": data, **call})
