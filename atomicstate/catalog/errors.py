"""libapt's messages, turned into the product's errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from atomicstate.errors import AptError, LockedError, NoSpaceError, NotPermittedError

if TYPE_CHECKING:
    from atomicstate.errors import AtomicstateError

_MARK = re.compile(r"(?:^|, )([EW]):")
_LOCKED = re.compile(r"(could not get lock|unable to (acquire|lock)|is another process using it)")
_READ_ONLY = re.compile(r"(read-only file system|are you root)")
_INTERRUPTED = "dpkg was interrupted"


def sentences(text: str) -> str:
    """libapt's `E:one, W:two` as sentences; warnings are left out where there are errors."""
    marked = _MARK.split(text)
    if len(marked) == 1:
        return text.strip()
    pairs = list(zip(marked[1::2], marked[2::2], strict=True))
    errors = [said.strip() for mark, said in pairs if mark == "E"]
    return "; ".join(errors or [said.strip() for _mark, said in pairs])


def apt_error(error: Exception, what: str) -> AtomicstateError:
    """The product's error for what libapt raised; `what` says what did not happen."""
    reason = sentences(str(error))
    message = f"{what}: {reason}" if reason else what
    small = reason.lower()
    if "no space left on device" in small or "enough free space" in small:
        return NoSpaceError(message)
    if _READ_ONLY.search(small):
        return NotPermittedError(
            message, hint="`atomicstate overlay enable` makes /usr writable until the next boot"
        )
    if _LOCKED.search(small):
        return LockedError(message)
    if _INTERRUPTED in small:
        return AptError(message, hint="`atomicstate resume` goes on with it")
    return AptError(message)
