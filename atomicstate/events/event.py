"""The envelope: who, when, where, and the place in the log."""

# Annotations are not postponed: msgspec reads them when a decoder is made, and of strings that
# takes thrice the time.

from msgspec import Raw, Struct

from atomicstate.events.bodies import AnyBody


class Actor(Struct, frozen=True, array_like=True, gc=False):
    """Who asked: never arguments, never the environment.

    `login_uid` is the user who logged in (before sudo), -1 where the kernel knows none.
    """

    uid: int
    user: str
    login_uid: int
    verb: str
    options: tuple[str, ...] = ()


class BootInstance(Struct, frozen=True, array_like=True, gc=False):
    """One run of the system: a soft reboot keeps the boot id and counts up `soft_reboots`.

    `checksum` and `serial` are the booted deployment's.
    """

    boot_id: str
    soft_reboots: int = 0
    checksum: str = ""
    serial: int = 0


class Draft(Struct, frozen=True, kw_only=True):
    """An event before it has its place: what the engine hands to the store.

    `transaction` and `request` are UUIDs as text (empty: none), `cause` the number of the event
    that led to this one (0: none).
    """

    body: AnyBody
    transaction: str = ""
    actor: Actor
    boot: BootInstance | None = None
    cause: int = 0
    request: str = ""


class Event(Struct, frozen=True, array_like=True, gc=False):
    """An immutable fact in the log.

    `seq` counts from 1 without a gap and is the order; `time` is UTC in nanoseconds since 1970,
    `boottime` CLOCK_BOOTTIME in nanoseconds; `log_id` 16 bytes, the same in all of one log.
    """

    seq: int
    body: AnyBody
    transaction: str
    time: int
    boottime: int
    actor: Actor
    boot: BootInstance | None
    cause: int
    request: str
    log_id: bytes


class UnknownEvent(Struct, frozen=True, array_like=True, gc=False):
    """An event of a kind that a newer version wrote: all but the body can be read."""

    seq: int
    body: Raw
    transaction: str
    time: int
    boottime: int
    actor: Actor
    boot: BootInstance | None
    cause: int
    request: str
    log_id: bytes

    @property
    def kind(self) -> str:
        """The wire name that it bears."""
        return wire_name(bytes(self.body))


def wire_name(body: bytes) -> str:
    """The tag of an encoded body: the first item of a MessagePack array."""
    import msgspec

    return str(msgspec.msgpack.decode(body, type=list)[0])
