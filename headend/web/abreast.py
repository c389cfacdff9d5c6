"""Questions of one page asked side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def abreast(*questions: Coroutine[Any, Any, Any]) -> list[Any]:
    """Their answers, in order. When one fails the others are given up before its error leaves."""
    asked = [asyncio.ensure_future(question) for question in questions]
    try:
        return await asyncio.gather(*asked)
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
