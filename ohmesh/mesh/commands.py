"""A root's commands: sent along a source route, sent again, or kept until the node shows life.

::

    submitted --route--> SENT --report DELIVERED--> accepted
    SENT --link failed or no report--> SENT by another route, COMMAND_TRIES times
    no route, or tries used up --> WAITING (the node's mailbox) --sign of life--> SENT
    lifetime over --> expired
"""

from dataclasses import dataclass

from ohmesh.mesh import constants as c
from ohmesh.mesh.codec import DOWN_ROOM_BYTES
from ohmesh.mesh.core import Core
from ohmesh.mesh.forwarding import Forwarder, Job, JobKind
from ohmesh.mesh.frames import Down, DownHead
from ohmesh.mesh.outputs import CommandReason, CommandResult
from ohmesh.mesh.routes import RouteTable
from ohmesh.mesh.timers import Timer

_PRIORITY = 2
_ID_BYTES = 4


@dataclass(slots=True, eq=False)
class Command:
    """One command under way; ``report_due_ms`` is -1 while it waits in the mailbox."""

    token: int
    node: int
    dseq: int
    payload: bytes
    deadline_ms: int
    tries: int = 0
    report_due_ms: int = -1


class CommandDesk:
    """Commands of one root, by their sequence; bounded by COMMANDS_MAX."""

    __slots__ = ("_commands", "_core", "_forwarder", "_next_dseq", "_routes")

    def __init__(self, core: Core, forwarder: Forwarder, routes: RouteTable) -> None:
        """Start empty; sequences go on from the boot time, so a root without disk repeats none."""
        self._core = core
        self._forwarder = forwarder
        self._routes = routes
        self._commands: dict[int, Command] = {}
        self._next_dseq = core.config.epoch

    def __len__(self) -> int:
        """Commands not yet ended."""
        return len(self._commands)

    def draw_dseq(self) -> int:
        """Return the next sequence of a downward frame."""
        self._next_dseq = (self._next_dseq + 1) & 0xFFFFFFFF
        return self._next_dseq

    def submit(self, now_ms: int, node: int, payload: bytes, token: int) -> None:
        """Take a command."""
        if self._routes.get(node) is None:
            self._core.emit(CommandResult(token, ok=False, reason=CommandReason.NO_ROUTE))
            return
        if len(self._commands) >= c.COMMANDS_MAX:
            self._core.emit(CommandResult(token, ok=False, reason=CommandReason.BUSY))
            return
        deadline_ms = now_ms + self._core.config.command_lifetime_ms
        command = Command(token, node, self.draw_dseq(), payload, deadline_ms)
        self._commands[command.dseq] = command
        self._core.timers.set_earlier(Timer.ROOT_COMMANDS, deadline_ms)
        self._send(now_ms, command)

    def delivered(self, dseq: int) -> None:
        """The destination reported that it has the command."""
        command = self._commands.get(dseq)
        if command is not None:
            self._end(command, CommandReason.ACCEPTED)

    def link_failed(self, now_ms: int, dseq: int) -> None:
        """A hop of the route failed and is banned now: try another way."""
        command = self._commands.get(dseq)
        if command is not None:
            self._send(now_ms, command)

    def life_sign(self, now_ms: int, node: int) -> None:
        """A node was heard: send what waits in its mailbox."""
        if not self._commands:
            return
        for command in list(self._commands.values()):
            if command.node == node and command.report_due_ms < 0:
                command.tries = 0
                self._send(now_ms, command)

    def due(self, now_ms: int) -> None:
        """Pass deadlines and missed reports."""
        for command in list(self._commands.values()):
            if command.deadline_ms <= now_ms:
                self._end(command, CommandReason.EXPIRED)
            elif 0 <= command.report_due_ms <= now_ms:
                self._send(now_ms, command)
        for command in self._commands.values():
            self._arm(command)

    def _send(self, now_ms: int, command: Command) -> None:
        path = self._routes.path(now_ms, command.node)
        if path is None or command.tries >= c.COMMAND_TRIES:
            self._core.trace("command.mailbox")
            command.report_due_ms = -1
            return
        if len(path) * _ID_BYTES + len(command.payload) > DOWN_ROOM_BYTES:
            self._end(command, CommandReason.TOO_LONG)
            return
        command.tries += 1
        wait_ms = c.COMMAND_REPORT_BASE_MS + c.COMMAND_REPORT_PER_HOP_MS * len(path)
        command.report_due_ms = now_ms + self._core.spread(wait_ms)
        self._arm(command)
        head = DownHead(self._core.config.node, command.dseq, c.HOP_LIMIT, 0, 0, path)
        job = Job(JobKind.DOWN, Down(head, command.payload), now_ms, dst=path[0])
        job.priority = _PRIORITY
        job.done = lambda at_ms, ok: self._first_hop_done(at_ms, command, path[0], ok=ok)
        self._forwarder.submit(job)

    def _first_hop_done(self, now_ms: int, command: Command, first: int, *, ok: bool) -> None:
        if ok:
            return
        until_ms = now_ms + self._core.scaled(c.DENY_MIN_MS)
        self._routes.ban(now_ms, near=self._core.config.node, far=first, until_ms=until_ms)
        if command.dseq in self._commands:
            self._send(now_ms, command)

    def _arm(self, command: Command) -> None:
        due_ms = command.deadline_ms
        if command.report_due_ms >= 0:
            due_ms = min(due_ms, command.report_due_ms)
        self._core.timers.set_earlier(Timer.ROOT_COMMANDS, due_ms)

    def _end(self, command: Command, reason: CommandReason) -> None:
        del self._commands[command.dseq]
        ok = reason is CommandReason.ACCEPTED
        self._core.emit(CommandResult(command.token, ok=ok, reason=reason))


class Inbox:
    """A meter's side of commands: each sequence is handed on once, and reported every time."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._seen: tuple[tuple[int, int], ...] = ()

    def is_new(self, head: DownHead) -> bool:
        """Return whether this command was not seen yet, and remember it."""
        key = (head.origin, head.dseq)
        if key in self._seen:
            return False
        self._seen = (*self._seen, key)[-c.RECEIVED_MAX :]
        return True


def next_index(head: DownHead, node: int) -> int | None:
    """Return the index of the next hop, len(path) if we are the end, None if not for us."""
    if head.path[head.index] != node:
        return None
    return head.index + 1
