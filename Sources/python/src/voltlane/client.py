"""A client of a relay."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from types import TracebackType

from .connection import Connection, connect
from .endpoint import Endpoint
from .errors import (
    ClientError,
    ClosedDuringHandshakeError,
    ClosedError,
    ConnectionLostError,
    ConnectTimeoutError,
    GaveUpError,
    InvalidChallengeError,
    RefusedError,
    RelayPacketTooLargeError,
    SessionOverError,
    SessionSharedError,
    SessionStoreError,
    UnreachableError,
    WrongRelayKeyError,
)
from .handshake import Handshake
from .keys import PublicKey, SecretKey
from .limits import SETTLED, SHARED_FIRST_DELAY, SHARED_LAST_DELAY, TAKEOVERS
from .options import ClientOptions, Retry
from .outbox import Outbox
from .queues import Inbox
from .session import Session, SessionStore
from .states import ClientOver, ClientReconnected, ClientReconnecting, ClientState, States
from .wire import Buffer, packet_bytes

_logger = logging.getLogger("voltlane.client")

_NO_RETRY = Retry(first_delay=0.1, last_delay=1.0)


class Backoff:
    """Delays before attempts: each is drawn between nothing and a length that doubles."""

    def __init__(self, policy: Retry) -> None:
        self._policy = policy
        self._longest = policy.first_delay

    def next(self) -> float:
        """The next delay."""
        longest = self._longest
        self._longest = min(longest * 2, self._policy.last_delay)
        return random.uniform(0, longest)

    def start_over(self) -> None:
        """Starts with the first again."""
        self._longest = self._policy.first_delay


class Takeovers:
    """Notices that another process uses the same session.

    The relay gives a session to the latest connection and closes the one before in an orderly way. A client whose
    connection ends like that and whose session is still alive was replaced, or a proxy restarted. If it keeps happening
    soon after each return, it was replaced.
    """

    #: A connection that lived longer than this was not taken by a client that is coming back all the time.
    _brief = 60.0

    def __init__(self) -> None:
        self.count = 0

    @property
    def is_shared(self) -> bool:
        """Whether another process seems to use the session."""
        return self.count >= TAKEOVERS

    def ended(self, lived: float) -> None:
        """A connection has ended, whatever way."""
        # Once both back off, each is left alone for as long as the other one waits.
        if lived >= (2 * SHARED_LAST_DELAY if self.is_shared else self._brief):
            self.count = 0

    def replaced(self) -> None:
        """The client found its session alive after an orderly close."""
        self.count += 1

    def delay(self) -> float:
        """How long to leave the session to the other one."""
        longest = min(SHARED_FIRST_DELAY * 2.0 ** min(self.count - TAKEOVERS, 16), SHARED_LAST_DELAY)
        # Half of it is not random, or two that both back off would still collide often.
        return random.uniform(longest / 2, longest)


class Client:
    """A client of a relay: packets of bytes go to the relay's backend, and packets come back, in order.

    ::

        async with await Client.connect("127.0.0.1:42000") as client:
            await client.send(b"hello")
            async for packet in client:
                print(packet)

    Any number of tasks may send, and any number may take packets. Data is not encrypted.

    **Reconnecting.** A client stands for a session at the relay, which outlives the connection. When the connection is
    lost, the client reconnects by itself, proves its identity and carries on: with the packets that the relay kept
    meanwhile, and with what :meth:`send` had queued. :meth:`states` reports it, and ``ClientOptions.reconnection``
    controls it. It ends when the relay says twice that the session is over, when a relay with another key answers, or
    after ``give_up_after``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        options: ClientOptions,
        key: SecretKey,
        relay_key: PublicKey | None,
        client_id: int | None,
    ) -> None:
        """Not for users: see :meth:`connect`, :meth:`resume` and :meth:`open`."""
        self._endpoint = endpoint
        self._options = options
        self._key = key
        self._relay_key = relay_key
        self._client_id = client_id
        self._inbox: Inbox[bytes] = Inbox(options.receive_limit)
        self._outbox = Outbox(options.send_limit)
        self._states = States()
        self._connection: Connection | None = None
        self._remote: Endpoint | None = None
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._store: SessionStore | None = None
        self._is_resumed = client_id is not None

    # --- Beginning

    @classmethod
    async def connect(cls, endpoint: str | Endpoint, options: ClientOptions | None = None) -> Client:
        """Connects as a new client, with a new key. Makes one attempt.

        Raises :class:`UnreachableError`, :class:`ConnectTimeoutError`, :class:`ClosedDuringHandshakeError`,
        :class:`WrongRelayKeyError` or, if something other than a relay answers, :class:`HandshakeError`.
        """
        options = options or ClientOptions()
        client = cls(Endpoint.parse(endpoint), options, SecretKey.generate(), _pinned(options), None)
        client._begin(await client._attempt(options.connect_timeout))
        return client

    @classmethod
    async def resume(cls, session: Session, endpoint: str | Endpoint, options: ClientOptions | None = None) -> Client:
        """Resumes a saved :attr:`session`, for example after a restart of the program.

        The relay must show the key that is part of the session. Makes one attempt, and a second one after a short delay
        if the relay says that the session is over.

        Raises :class:`SessionOverError` if the relay no longer has the session, :class:`RefusedError`,
        :class:`InvalidChallengeError`, :class:`InvalidKeyError` if the session's keys are invalid, and whatever
        :meth:`connect` raises.
        """
        options = options or ClientOptions()
        client = cls._of_session(session, Endpoint.parse(endpoint), options)
        try:
            connection = await client._attempt(options.connect_timeout)
        except SessionOverError:
            # The first time it may have been a proxy that closed, or that turned a reset into a FIN.
            await asyncio.sleep(Backoff(options.reconnection or _NO_RETRY).next())
            connection = await client._attempt(options.connect_timeout)
        client._begin(connection)
        return client

    @classmethod
    async def open(
        cls,
        endpoint: str | Endpoint,
        store: SessionStore,
        options: ClientOptions | None = None,
        retry: Retry | None = Retry(),  # noqa: B008 - it is frozen.
    ) -> Client:
        """Resumes the session in ``store``, or begins a new one and saves it there.

        If the relay cannot be reached or says "not now", it tries again as ``retry`` says (None: it does not). If the
        relay says twice that the session is over, it begins a new one and saves that: see :attr:`is_resumed`. If the
        relay shows another key it raises :class:`WrongRelayKeyError` and keeps the saved session; remove that to accept
        the new key.

        The store belongs to this client until the client is closed; :class:`SessionInUseError` means that another
        client has it. When the session ends, the store is cleared.

        Raises also :class:`GaveUpError`, :class:`HandshakeError`, :class:`InvalidChallengeError` and
        :class:`SessionStoreError`.
        """
        options = options or ClientOptions()
        where = Endpoint.parse(endpoint)
        store.acquire()
        client = None
        try:
            saved = store.load()
            client = cls._of_session(saved, where, options) if saved else cls._new(where, options)
            try:
                connection = await client._retrying(retry)
            except SessionOverError:
                _logger.info("the saved session is over; a new one begins")
                store.clear()
                client = cls._new(where, options)
                connection = await client._retrying(retry)
            client._begin(connection)
            if not client.is_resumed:
                store.save(client.session)
        except BaseException:
            if client is not None:
                await client.close()
            store.release()
            raise
        client._store = store
        if isinstance(client.state, ClientOver):
            client._forget()
        return client

    # --- Who it is

    @property
    def client_id(self) -> int:
        """The 64-bit id that the relay gave this client. Reconnecting does not change it.

        :func:`voltlane.client_id_text` writes it in 16 hexadecimal digits, as the relay's log does.
        """
        assert self._client_id is not None
        return self._client_id

    @property
    def relay_key(self) -> bytes:
        """The relay's public key: 33 bytes, SEC1 compressed. Nothing signs it.

        Comparing it with the key of an earlier connection reveals a relay that has changed, but not a man in the middle
        of the first connection.
        """
        assert self._relay_key is not None
        return self._relay_key.compressed

    @property
    def session(self) -> Session:
        """What it takes to resume this client, even in another process. It is **secret**.

        Only one client at a time can use it: the relay gives the session to the latest and closes the one before.
        """
        return Session(self.client_id, self._key.to_bytes(), self.relay_key)

    @property
    def is_resumed(self) -> bool:
        """Whether it began with a saved session. False: the backend does not know this client yet."""
        return self._is_resumed

    @property
    def remote(self) -> Endpoint | None:
        """The relay's address on the latest connection; None for a unix socket."""
        return self._remote

    def __repr__(self) -> str:
        return f"<voltlane.Client {self._client_id or 0:016x} at {self._endpoint}: {self.state}>"

    # --- How it stands

    @property
    def state(self) -> ClientState:
        """The state of the connection."""
        return self._states.state

    def states(self) -> AsyncIterator[ClientState]:
        """The current state, then every change, until :class:`ClientOver`.

        Every call returns an independent iterator. One that falls 64 changes behind misses the oldest.
        """
        return self._states.observe()

    @property
    def unsent_bytes(self) -> int:
        """The size of the packets that the kernel has not accepted yet; each counts its data and 128 bytes."""
        return self._outbox.cost

    @property
    def waiting_packets(self) -> int:
        """How many packets have arrived and wait to be taken."""
        return self._inbox.count

    # --- Packets

    async def recv(self) -> bytes:
        """The next packet, which may be empty.

        Raises :class:`ClosedError` if the session ended normally, or the :class:`ClientError` that ended it.
        Reconnecting does not show here: the packets that the relay kept meanwhile come first, in order.

        While packets of ``receive_limit`` wait to be taken, the connection is not read. TCP then slows the relay down,
        which in the end gives up on a client that is too slow.
        """
        packet = await self._inbox.take()
        if packet is None:
            raise ClosedError
        return packet

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Packets, until the session ends: normally, or with a :class:`ClientError`."""
        return self

    async def __anext__(self) -> bytes:
        packet = await self._inbox.take()
        if packet is None:
            raise StopAsyncIteration
        return packet

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """The same packets in lists, as many as arrived together: the fast way to take many."""
        while True:
            batch = await self._inbox.take_batch()
            if batch is None:
                return
            yield batch

    async def send(self, packet: Buffer) -> None:
        """Queues one packet, which may be empty, and returns once it is queued, not once it is sent.

        Waits while packets of ``send_limit`` wait to be sent. A task's packets keep their order. While the client
        reconnects, packets are queued up to the limit, and leave once it is back. A packet that was queued can be lost
        if the connection breaks; it is never delivered in part, and never twice.

        Raises :class:`PacketTooLargeError`, after which the client carries on, or :class:`ClosedError`.
        """
        data = packet_bytes(packet, self._options.max_packet_size)
        if not self._outbox.try_put(data):
            await self._outbox.put(data)
        if self._connection is not None:
            self._connection.pump()

    def try_send(self, packet: Buffer) -> bool:
        """Queues one packet without waiting. False: the queue is full."""
        queued = self._outbox.try_put(packet_bytes(packet, self._options.max_packet_size))
        if queued and self._connection is not None:
            self._connection.pump()
        return queued

    async def finish(self) -> None:
        """Sends what is queued, then shuts the sending side (a half close).

        Returns once the kernel has accepted everything; if the client is reconnecting, that is after it is back.
        Packets still arrive for the relay's ``--half-close-timeout`` (5 s), then the relay ends the connection. A
        client that has finished does not reconnect.

        Raises :class:`ClosedError` if the client ended before everything was sent.
        """
        if self._outbox.finishing is None:
            if self._outbox.is_closed:
                raise ClosedError
            self._outbox.finishing = asyncio.get_running_loop().create_future()
            if self._connection is not None:
                self._connection.pump()
        await asyncio.shield(self._outbox.finishing)

    # --- Ending and coming back

    def reconnect_now(self) -> None:
        """Reconnects at once, for an application that knows that its network has changed.

        Drops a connection even if it looks alive, cuts a delay short, and restarts an attempt that is under way.
        """
        self._hurry.set()
        connection = self._connection
        if connection is not None:
            connection.drop(ConnectionLostError("reconnect_now was called"))

    async def close(self) -> None:
        """Closes the client at once. Packets that are still queued are dropped.

        If that matters, call :meth:`finish` first and take packets to the end. Packets that had arrived can still be
        taken. The protocol has no packet that ends a session: the relay keeps it for its ``--stale-timeout``, and
        :attr:`session` stays valid that long.
        """
        self._end(None)
        if self._connection is not None:
            self._connection.drop(None)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # ---

    @classmethod
    def _new(cls, endpoint: Endpoint, options: ClientOptions) -> Client:
        return cls(endpoint, options, SecretKey.generate(), _pinned(options), None)

    @classmethod
    def _of_session(cls, session: Session, endpoint: Endpoint, options: ClientOptions) -> Client:
        relay_key = PublicKey(session.relay_key, "relay_key of the saved session")
        pinned = _pinned(options)
        if pinned is not None and pinned != relay_key:
            raise WrongRelayKeyError(pinned.compressed, relay_key.compressed)
        key = SecretKey(session.secret_key, "secret_key of the saved session")
        return cls(endpoint, options, key, relay_key, session.client_id)

    async def _attempt(self, timeout: float) -> Connection:
        handshake = Handshake(self._key, self._relay_key, self._client_id)
        connection = await connect(self._endpoint, handshake, self._inbox, self._outbox, self._options, timeout)
        self._client_id = handshake.client_id
        self._relay_key = handshake.relay_key
        self._remote = connection.remote
        return connection

    async def _retrying(self, policy: Retry | None) -> Connection:
        """Attempts before there was a connection."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        backoff = Backoff(policy or _NO_RETRY)
        has_heard_that_it_is_over = False
        last: ClientError | None = None
        while True:
            try:
                return await self._attempt(_left(policy, begin, last, self._options.connect_timeout))
            except SessionOverError as error:
                if has_heard_that_it_is_over:
                    raise
                has_heard_that_it_is_over = True
                last = error
            except (UnreachableError, ConnectTimeoutError, ClosedDuringHandshakeError, RefusedError) as error:
                if policy is None:
                    raise
                if isinstance(error, RefusedError):
                    has_heard_that_it_is_over = False
                last = error
                _logger.info("%s; trying again", error)
            await asyncio.sleep(min(backoff.next(), _left(policy, begin, last)))

    def _begin(self, connection: Connection) -> None:
        self._connection = connection
        self._task = asyncio.get_running_loop().create_task(self._run(connection))

    async def _run(self, connection: Connection) -> None:
        """Keeps the session on a connection: waits for the end of one, and then makes the next one or gives up."""
        try:
            await self._keep(connection)
        except asyncio.CancelledError:
            self._end(None)
        except ClientError as error:
            self._end(error)
        except Exception as error:
            _logger.exception("the client failed")
            self._end(ConnectionLostError(f"an error of this library: {error!r}"))

    async def _keep(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        policy = self._options.reconnection
        backoff = Backoff(policy or _NO_RETRY)
        takeovers = Takeovers()
        while True:
            begin = loop.time()
            loss = await connection.ended
            self._connection = None
            # A relay that sends too much would only do so again.
            if policy is None or self._outbox.is_finishing or isinstance(loss, RelayPacketTooLargeError):
                return self._end(loss)
            lived = loop.time() - begin
            takeovers.ended(lived)
            if lived >= SETTLED:
                backoff.start_over()
            connection = await self._come_back(loss, policy, backoff, takeovers)
            if loss is None:
                takeovers.replaced()
                if takeovers.count == TAKEOVERS:
                    _logger.warning(
                        "client %016x: %s; from now on it waits before it comes back", self.client_id,
                        SessionSharedError(takeovers.count),
                    )  # fmt: skip
            self._connection = connection
            if not self._states.change(ClientReconnected()):
                return connection.drop(None)
            # What was queued while the attempt was made.
            connection.pump()

    async def _come_back(
        self, loss: ClientError | None, policy: Retry, backoff: Backoff, takeovers: Takeovers
    ) -> Connection:
        """Tries until the relay takes the client back.

        Two answers are final: another key, and "session over", once it was heard twice. The first time it may have been
        a proxy that closed, or that turned a reset into a FIN. Everything else may pass: a relay that has not started,
        a relay that is full, or another program at its address.
        """
        loop = asyncio.get_running_loop()
        begin = loop.time()
        cause = loss or ConnectionLostError("the relay closed it")
        attempt = 0
        has_heard_that_it_is_over = False
        delay = backoff.next()
        if loss is None and takeovers.is_shared:
            cause = SessionSharedError(takeovers.count)
            delay = takeovers.delay()
        while True:
            attempt += 1
            if not self._states.change(ClientReconnecting(attempt, cause)):
                raise ClosedError
            await self._sleep(min(delay, _left(policy, begin, cause)))
            try:
                return await self._hurried(_left(policy, begin, cause, self._options.connect_timeout))
            except (WrongRelayKeyError, GaveUpError, ClosedError):
                raise
            except SessionOverError as error:
                if has_heard_that_it_is_over:
                    raise
                has_heard_that_it_is_over = True
                cause = error
            except ClientError as error:
                # It challenges nobody whose session is over, and says "later" to nobody.
                if isinstance(error, (RefusedError, InvalidChallengeError)):
                    has_heard_that_it_is_over = False
                cause = error
            delay = backoff.next()

    async def _sleep(self, delay: float) -> None:
        """Waits, unless there is a hurry."""
        try:
            await asyncio.wait_for(self._hurry.wait(), delay)
        except asyncio.TimeoutError:
            pass
        self._hurry.clear()

    async def _hurried(self, timeout: float) -> Connection:
        """An attempt, which a hurry cancels: it may be under way on the old network."""
        loop = asyncio.get_running_loop()
        attempt = loop.create_task(self._attempt(timeout))
        hurry = loop.create_task(self._hurry.wait())
        try:
            await asyncio.wait((attempt, hurry), return_when=asyncio.FIRST_COMPLETED)
            if attempt.done():
                return attempt.result()
            raise ConnectionLostError("reconnect_now was called")
        except BaseException:
            # If it succeeded after all, nobody uses its connection.
            attempt.cancel()
            await asyncio.wait((attempt,))
            if not attempt.cancelled() and attempt.exception() is None:
                attempt.result().drop(None)
            raise
        finally:
            hurry.cancel()

    def _end(self, error: ClientError | None) -> None:
        """For good. Only the first end counts."""
        if not self._states.change(ClientOver(error)):
            return
        self._outbox.close()
        self._inbox.finish(error)
        self._forget()

    def _forget(self) -> None:
        store, self._store = self._store, None
        if store is None:
            return
        state = self._states.state
        try:
            if isinstance(state, ClientOver) and isinstance(state.error, SessionOverError):
                store.clear()
        except SessionStoreError as error:
            _logger.warning("%s", error)
        finally:
            store.release()


def _left(policy: Retry | None, begin: float, last: ClientError | None, at_most: float = float("inf")) -> float:
    """The time until it gives up; raises when that is now."""
    if policy is None or policy.give_up_after is None:
        return at_most
    left = policy.give_up_after - (asyncio.get_running_loop().time() - begin)
    if left <= 0:
        raise GaveUpError(policy.give_up_after, last)
    return min(left, at_most)


def _pinned(options: ClientOptions) -> PublicKey | None:
    return None if options.relay_key is None else PublicKey(options.relay_key, "relay_key")
