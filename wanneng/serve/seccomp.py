"""A seccomp(2) filter under which `fchmod` does nothing, so that the umask holds for shared memory.

Triton's Python backend creates its segments with Boost.Interprocess, which opens them with the mode 0644 and then
sets that mode again with `fchmod`, past the umask. Other users could read texts in them.
"""

from __future__ import annotations

import ctypes
import platform
import struct

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
"""BPF_LD+BPF_W+BPF_ABS, BPF_JMP+BPF_JEQ+BPF_K and BPF_RET+BPF_K."""
NUMBER_OFFSET, ARCHITECTURE_OFFSET = 0, 4
"""In `struct seccomp_data`."""
ALLOW, RETURN_ZERO = 0x7FFF0000, 0x00050000
"""SECCOMP_RET_ALLOW, and SECCOMP_RET_ERRNO with no error."""
FCHMOD = {"x86_64": (0xC000003E, 91), "aarch64": (0xC00000B7, 52)}
"""Its AUDIT_ARCH and number by machine."""
_libc = ctypes.CDLL(None, use_errno=True)


def ignore_fchmod() -> None:
    """For this process and what it executes; nothing happens on a machine or kernel without such filters."""
    if platform.machine() not in FCHMOD:
        return
    architecture, number = FCHMOD[platform.machine()]
    instructions = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (LOAD, 0, 0, ARCHITECTURE_OFFSET),
            (JUMP_IF_EQUAL, 0, 3, architecture),
            (LOAD, 0, 0, NUMBER_OFFSET),
            (JUMP_IF_EQUAL, 0, 1, number),
            (RETURN, 0, 0, RETURN_ZERO),
            (RETURN, 0, 0, ALLOW),
        )
    )
    program = ctypes.create_string_buffer(instructions, len(instructions))
    # struct sock_fprog: the number of instructions, and where they are.
    filter_ = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(program))
    for option, first, second in ((PR_SET_NO_NEW_PRIVS, 1, None), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_)):
        _libc.prctl(option, ctypes.c_ulong(first), second, ctypes.c_ulong(0), ctypes.c_ulong(0))
