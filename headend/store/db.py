"""The head-end's only door to PostgreSQL: connections, transactions, and running plans.

Ingest and worker are synchronous; the API takes its connections from a pool and runs every
request in one transaction that begins with the tenant (`SET LOCAL`, so it ends with it).
Errors of the database leave here as `StoreError`; `Unavailable` is worth trying again.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

import psycopg
import psycopg_pool
from psycopg import sql
from psycopg.adapt import PyFormat, Transformer
from psycopg.rows import dict_row

from headend.store import message
from ohmesh.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from psycopg.abc import Transformer as Adapter
    from psycopg.pq.abc import PGresult

    from headend.store.plan import Plan, Row, Statement

_T = TypeVar("_T")
Connection: TypeAlias = "psycopg.Connection[Row]"
AsyncConnection: TypeAlias = "psycopg.AsyncConnection[Row]"
AsyncPool: TypeAlias = "psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[Row]]"
STATEMENT_TIMEOUT_MS: Final = 10_000
_SET_TENANT: Final = "select set_config('ohmesh.tenant', %s, true)"
_SET_TENANT_AND_PLAN: Final = (
    b"select set_config('ohmesh.tenant', $1, true), set_config('plan_cache_mode', $2, true)"
)
_TWO_TEXTS: Final = (25, 25)
_DONE: Final = frozenset({psycopg.pq.ExecStatus.TUPLES_OK, psycopg.pq.ExecStatus.COMMAND_OK})
_PREPARED: Final[WeakKeyDictionary[psycopg.AsyncConnection[Row], message.Prepared]] = (
    WeakKeyDictionary()
)
"""What each connection of a pool has prepared."""
_SET_GROUP: Final = (
    "select set_config('ohmesh.tenant', %s, true), set_config('lock_timeout', %s, true),"
    " set_config('plan_cache_mode', 'force_generic_plan', true)"
)
_BEGIN_AS: Final = b"begin; select set_config('ohmesh.tenant', '%d', true)"


class Unavailable(StoreError):  # noqa: N818 - as the other store errors
    """The database is away or gave up a transaction (restart, deadlock): try again."""


class KeyTaken(StoreError):  # noqa: N818 - as the other store errors
    """A row with this key is there already."""


_RETRY = (
    psycopg.OperationalError,
    psycopg.errors.SerializationFailure,
    psycopg.errors.AdminShutdown,
    psycopg.errors.ReadOnlySqlTransaction,  # a fail-over is under way
    psycopg.InterfaceError,
)
_IN_THE_WAY = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.SerializationFailure,
)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _RETRY as error:
        raise Unavailable(_line(error)) from error
    except psycopg.errors.UniqueViolation as error:
        raise KeyTaken(_line(error)) from error
    except psycopg.Error as error:
        raise StoreError(_line(error)) from error


@contextmanager
def _reached() -> Iterator[None]:
    """Whoever gives a command reads what to do."""
    try:
        yield
    except Unavailable as error:
        raise Unavailable(
            f"{error}; is it running, and are address and password right?"
        ) from error.__cause__


def in_the_way(error: Unavailable) -> bool:
    """Whether another transaction was in the way, and not that the database is away."""
    return isinstance(error.__cause__, _IN_THE_WAY)


def _line(error: psycopg.Error) -> str:
    """The first line: the others may quote values."""
    return f"database: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def connect(url: str, *, name: str, autocommit: bool = False) -> Connection:
    """A synchronous connection; `name` is shown in pg_stat_activity. Raises Unavailable."""
    with _reached(), _translated():
        return psycopg.connect(
            url,
            row_factory=dict_row,
            application_name=f"ohmesh {name}",
            connect_timeout=5,
            autocommit=autocommit,
            keepalives_idle=10,  # a peer that vanished without a word is noticed in half a minute
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """One transaction: committed at the end, rolled back by any error. Raises StoreError."""
    with _translated(), connection.transaction():
        yield


@contextmanager
def tenant(connection: Connection, tenant_id: int) -> Iterator[None]:
    """One transaction that sees one tenant. Raises StoreError."""
    with transaction(connection):
        connection.execute(_SET_TENANT, (str(tenant_id),))
        yield


def run(connection: Connection, plan: Plan[_T]) -> _T:
    """Run a plan to its end on a synchronous connection, inside the caller's transaction."""
    try:
        statement = next(plan)
        while True:
            cursor = connection.execute(statement.sql, statement.params)
            statement = plan.send(cursor.fetchall() if cursor.description else [])
    except StopIteration as stop:
        return cast("_T", stop.value)


async def run_async(connection: AsyncConnection, plan: Plan[_T]) -> _T:
    """Run a plan to its end on an asynchronous connection, inside the caller's transaction."""
    try:
        statement = next(plan)
        while True:
            # Binary results: a month of readings is decoded in a third of the time.
            cursor = await connection.execute(statement.sql, statement.params, binary=True)
            statement = plan.send(await cursor.fetchall() if cursor.description else [])
    except StopIteration as stop:
        return cast("_T", stop.value)


def rows(connection: Connection, statement: Statement) -> list[Row]:
    """The rows of one statement. Raises StoreError."""
    with _translated():
        cursor = connection.execute(statement.sql, statement.params)
        return cursor.fetchall() if cursor.description else []


def execute(connection: Connection, statement: Statement) -> int:
    """Run one statement; the number of rows that it changed. Raises StoreError."""
    with _translated():
        return connection.execute(statement.sql, statement.params).rowcount


def copy(connection: Connection, statement: LiteralString, stream: bytes) -> None:
    """Send a COPY stream. Raises StoreError, KeyTaken."""
    with _translated(), connection.cursor() as cursor, cursor.copy(statement) as target:
        target.write(stream)


def copy_out(connection: Connection, statement: Statement) -> bytes:
    """Receive a COPY stream; the parameters are merged into the text here. Raises StoreError."""
    with (
        _translated(),
        connection.cursor() as cursor,
        cursor.copy(statement.sql, statement.params) as source,
    ):
        return b"".join(source)


def listen(connection: Connection, channel: str) -> None:
    """Ask for notifications on a channel. Raises Unavailable."""
    execute_names(connection, "listen {channel}", names={"channel": channel})


def notified(connection: Connection) -> list[str]:
    """Payloads of notifications that have arrived; waits for none. Raises Unavailable."""
    with _translated():
        return [notify.payload for notify in connection.notifies(timeout=0)]


def wait_notified(connection: Connection, timeout_s: float) -> bool:
    """Wait for a notification; False when none came. Raises Unavailable."""
    with _translated():
        return any(True for _ in connection.notifies(timeout=timeout_s, stop_after=1))


@contextmanager
def lock(connection: Connection, name: str) -> Iterator[None]:
    """An advisory lock of the session: one holder in the database at a time."""
    with _translated():
        connection.execute("select pg_advisory_lock(hashtext(%s))", (name,))
        try:
            yield
        finally:
            connection.execute("select pg_advisory_unlock(hashtext(%s))", (name,))


def try_lock(connection: Connection, name: str) -> bool:
    """An advisory lock of the transaction, if nobody has it. Raises StoreError."""
    with _translated():
        found = connection.execute(
            "select pg_try_advisory_xact_lock(hashtext(%s)) as mine", (name,)
        )
        return bool(found.fetchall()[0]["mine"])


def make_pool(url: str, *, size_max: int = 8) -> AsyncPool:
    """The API's pool, not yet open: `await pool.open()`, later `await pool.close()`."""
    return psycopg_pool.AsyncConnectionPool(
        url,
        min_size=1,
        max_size=size_max,
        open=False,
        timeout=5,
        kwargs={
            "row_factory": dict_row,
            "autocommit": True,  # transactions begin with their tenant, in one message
            "application_name": "ohmesh api",
            "connect_timeout": 5,
            # Filters may be null and views carry barriers: a generic plan is several times slower.
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC"
            " -c plan_cache_mode=force_custom_plan",
        },
    )


@asynccontextmanager
async def tenant_transaction(pool: AsyncPool, tenant_id: int) -> AsyncIterator[AsyncConnection]:
    """One request: a pooled connection in one transaction that sees one tenant.

    Raises: Unavailable, StoreError.
    """
    with _translated():
        async with pool.connection() as connection:  # its end commits or rolls back
            await connection.execute(_BEGIN_AS % tenant_id, prepare=False)
            yield connection


async def run_together(
    pool: AsyncPool, tenant_id: int, plans: Sequence[Plan[Any]], *, patience_ms: int
) -> list[Any]:
    """Run plans in step in one transaction that sees one tenant; all or none is committed.

    What they ask in one step goes in one message, so that a step costs one round trip and the
    whole one commit. Their statements are planned once for all parameters.

    Args:
        pool: of the API's role.
        tenant_id: whose.
        plans: of which none may look at what another writes.
        patience_ms: for locks that others hold.

    Raises: Unavailable, StoreError, and what a plan raises.
    """
    with _translated():
        async with pool.connection() as connection, connection.pipeline() as pipeline:
            await connection.execute("begin")
            await connection.execute(_SET_GROUP, (str(tenant_id), f"{patience_ms}ms"))
            results = await _in_step(connection, pipeline, plans)
            await connection.execute("commit")
        return results


async def _in_step(
    connection: AsyncConnection, pipeline: psycopg.AsyncPipeline, plans: Sequence[Plan[Any]]
) -> list[Any]:
    results: list[Any] = [None] * len(plans)
    answers: dict[int, list[Row] | None] = dict.fromkeys(range(len(plans)))
    while answers:
        asked = {}
        for number, rows in answers.items():
            try:
                asked[number] = await _ask(connection, plans[number], rows)
            except _Ended as ended:
                results[number] = ended.result
        if asked:
            await pipeline.sync()
        answers = {n: await c.fetchall() if c.description else [] for n, c in asked.items()}
    return results


class _Ended(Exception):  # noqa: N818 - no error: a plan has come to its result
    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


async def _ask(
    connection: AsyncConnection, plan: Plan[Any], rows: list[Row] | None
) -> psycopg.AsyncCursor[Row]:
    """Send a plan's next question. Raises _Ended when it has none."""
    while True:
        try:
            statement = plan.send(cast("list[Row]", rows))  # None begins it
        except StopIteration as stop:
            raise _Ended(stop.value) from None
        cursor = await connection.execute(statement.sql, statement.params, binary=True)
        if not statement.silent:
            return cursor
        rows = []


@asynccontextmanager
async def part(connection: AsyncConnection) -> AsyncIterator[None]:
    """A part of a transaction: an error undoes it alone. Raises StoreError."""
    with _translated():
        async with connection.transaction():
            yield


async def read(pool: AsyncPool, tenant_id: int, statement: Statement) -> list[Row]:
    """The rows of one statement, in a transaction of its own that sees one tenant.

    Both go in one message (`headend.store.message`), so the tenant ends with it.

    Raises: Unavailable, StoreError.
    """
    with _translated():
        connection = await pool.getconn()
        try:
            return await _read(connection, tenant_id, statement)
        finally:
            await pool.putconn(connection)


async def _read(connection: AsyncConnection, tenant_id: int, statement: Statement) -> list[Row]:
    transformer = Transformer(connection)
    text, names = message.positional(statement.sql)
    values = transformer.dump_sequence(
        [statement.params[name] for name in names], [PyFormat.AUTO] * len(names)
    )
    plan = b"force_generic_plan" if statement.one_plan else b"force_custom_plan"
    tenant = message.Question(_SET_TENANT_AND_PLAN, (b"%d" % tenant_id, plan), _TWO_TEXTS)
    asked = message.Question(
        text, values, transformer.types or (), transformer.formats, statement.one_plan
    )
    try:
        return _rows_of(await _exchange(connection, tenant, asked), transformer)
    except psycopg.errors.InvalidSqlStatementName:  # psycopg lets all of them go at a rollback
        _PREPARED.pop(connection, None)
        return _rows_of(await _exchange(connection, tenant, asked), transformer)


async def _exchange(connection: AsyncConnection, *questions: message.Question) -> list[PGresult]:
    prepared = _PREPARED.setdefault(connection, message.Prepared())
    return await connection.wait(message.exchange(connection.pgconn, prepared, questions))


def _rows_of(found: list[PGresult], transformer: Adapter) -> list[Row]:
    """The last result's rows. Raises psycopg.Error."""
    if not found:
        raise psycopg.OperationalError("the connection was lost")
    result = found[-1]
    if result.status not in _DONE:
        raise psycopg.errors.error_from_result(result)
    transformer.set_pgresult(result, set_loaders=True, format=psycopg.pq.Format.BINARY)
    names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
    return transformer.load_rows(
        0, result.ntuples, lambda values: dict(zip(names, values, strict=True))
    )


OPERATOR_TENANT: Final = 1
"""The utility that runs this head-end; others are its guests."""


def see_tenant(connection: Connection, tenant_id: int) -> None:
    """Let the API's role see one tenant until the transaction ends. Raises StoreError."""
    with _translated():
        connection.execute(_SET_TENANT, (str(tenant_id),))


def execute_names(
    connection: Connection,
    text: LiteralString,
    *,
    names: Mapping[str, str] | None = None,
    literals: Mapping[str, str] | None = None,
) -> None:
    """Run a statement whose `{...}` are names and literals, quoted here. Raises StoreError."""
    values: dict[str, sql.Composable] = {k: sql.Identifier(v) for k, v in (names or {}).items()}
    values |= {k: sql.Literal(v) for k, v in (literals or {}).items()}
    with _translated():
        connection.execute(sql.SQL(text).format(**values))
