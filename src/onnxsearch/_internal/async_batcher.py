"""Dynamic batching: requests that wait at the same time are answered by one call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from onnxsearch._internal.async_pool import AsyncPool

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class AsyncBatcher(Generic[Request, Answer]):
    """Answers requests in groups, each with what waits when its turn comes.

    Nothing waits for a group to fill: while the machine is idle each request is a group of its
    own, and the more requests wait, the larger the groups are. A request that is cancelled
    before its group begins is not part of it. When all of a group are cancelled, its slot is
    free.

    Args:
        pool: Runs the groups.
        answer: Returns an answer, or an error, for each of several requests.
        most: Requests in a group, at most.
        groups: Groups at once, at most.
    """

    def __init__(
        self,
        pool: AsyncPool,
        answer: Callable[[Sequence[Request]], Sequence[Answer | Exception]],
        *,
        most: int,
        groups: int,
    ) -> None:
        self.batches = 0
        """Groups that were answered."""
        self.batched = 0
        """Requests in them."""
        self._pool = pool
        self._answer = answer
        self._most = most
        self._most_groups = groups
        self._waiting: deque[_Asked[Request, Answer]] = deque()
        self._groups: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Requests that are not part of a group yet."""
        return sum(not asked.answer.done() for asked in self._waiting)

    async def ask(self, request: Request) -> Answer:
        """Return the answer to a request.

        Raises:
            Exception: What `answer` returned as the error of this request.
        """
        asked = _Asked[Request, Answer](request, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._begin()
        try:
            return await asked.answer
        except asyncio.CancelledError:
            asked.leave()
            raise

    def _begin(self) -> None:
        """Begin a group, of what waits when it has a slot: all that arrives in one go."""
        if self._waiting and len(self._groups) < self._most_groups:
            group = asyncio.ensure_future(self._run())
            self._groups.add(group)
            group.add_done_callback(self._end)

    def _end(self, group: asyncio.Task[None]) -> None:
        self._groups.discard(group)
        self._begin()

    async def _run(self) -> None:
        members: list[_Asked[Request, Answer]] = []
        try:
            async with self._pool.slot():
                members += self._taken()
                requests = [asked.request for asked in members]
                answers = await self._pool.call(partial(self._answer, requests)) if members else ()
        except Exception as error:  # noqa: BLE001, raised by all whom it concerns
            for asked in members or self._taken():
                asked.settle(error)
        else:
            for asked, answer in zip(members, answers, strict=True):
                asked.settle(answer)
            self.batches += bool(members)
            self.batched += len(members)

    def _taken(self) -> list[_Asked[Request, Answer]]:
        """Take what waits, without what was cancelled."""
        group = asyncio.current_task()
        members: list[_Asked[Request, Answer]] = []
        while self._waiting and len(members) < self._most:
            asked = self._waiting.popleft()
            if not asked.answer.done():
                asked.group, asked.members = group, members
                members.append(asked)
        return members


@dataclass(slots=True, eq=False)
class _Asked(Generic[Request, Answer]):
    """A request, and who waits for its answer."""

    request: Request
    answer: asyncio.Future[Answer]
    group: asyncio.Task[Any] | None = None
    """The task that answers it."""
    members: Sequence[_Asked[Request, Answer]] = ()
    """What is answered with it."""

    def settle(self, answer: Answer | Exception) -> None:
        """Give the answer to whoever still waits for it."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)

    def leave(self) -> None:
        """End the group if nobody waits for it any more."""
        if self.group is not None and all(asked.answer.done() for asked in self.members):
            self.group.cancel()
