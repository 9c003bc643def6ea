"""Confines this process: no files, no network, no programs, bounded memory and time (Linux).

The interpreters give code no way to the outside. This is for the case that one of them has a
fault. Other systems have only the limits of the interpreters and of CPU time.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000
"""The call fails with the error number that is added."""
_EPERM: Final = 1
_ENOSYS: Final = 38
_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}
"""The number of the architecture in the filter, and that of the system call `seccomp`."""
_LEAST_FILES: Final = 64
_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16
_X32: Final = 0x40000000
_AF_UNIX: Final = 1
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_COMPUTING: Final = {
    # name: (x86_64, aarch64); what an interpreter needs that only computes
    "brk": (12, 214),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_wait": (232, None),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "poll": (7, None),
    "ppoll": (271, 73),
    "read": (0, 63),
    "recvfrom": (45, 207),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "sendto": (44, 206),
    "sigaltstack": (131, 132),
    "tgkill": (234, 131),
    "write": (1, 64),
    "writev": (20, 66),
}
_CLONE3: Final = {"x86_64": 435, "aarch64": 435}
_OUTSIDE: Final = {
    # what a process that starts an interpreter must not do
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "bpf": (321, 280),
    "chmod": (90, None),
    "chown": (92, None),
    "connect": (42, 203),
    "creat": (85, None),
    "fchmodat": (268, 53),
    "fchownat": (260, 54),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "link": (86, None),
    "linkat": (265, 37),
    "listen": (50, 201),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "rmdir": (84, None),
    "setns": (308, 268),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "truncate": (76, 45),
    "umount2": (166, 39),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}


def limit_time(cpu_seconds: float) -> None:
    """End this process by SIGPROF after so much CPU time, and what it starts by SIGXCPU."""
    whole = int(cpu_seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def limit_space(memory_bytes: int) -> None:
    """Allow so much more memory than there is now; no new files, no core dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_LEAST_FILES, _LEAST_FILES))
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  # it has no other imports
            pages = int(file.read().split()[5])
        most = pages * os.sysconf("SC_PAGE_SIZE") + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def only_compute() -> bool:
    """Let this process do nothing but compute and use the files that it has open.

    Return whether the system can do that.
    """
    index = list(_ARCHITECTURES).index(platform.machine()) if _is_known() else 0
    allowed = [number for row in _COMPUTING.values() if (number := row[index]) is not None]
    checks = [_step(_EQUAL, number, 0, 1) + _step(_RETURN, _ALLOW) for number in allowed]
    return _install([*checks, _step(_RETURN, _REFUSE + _EPERM)])


def only_read() -> bool:
    """Let this process, and what it starts, write no file and open no connection."""
    index = list(_ARCHITECTURES).index(platform.machine()) if _is_known() else 0
    refuse = _step(_RETURN, _REFUSE + _EPERM)
    refused = [number for row in _OUTSIDE.values() if (number := row[index]) is not None]
    checks = [_step(_EQUAL, number, 0, 1) + refuse for number in refused]
    for number, argument in (((2, None)[index], 1), ((257, 56)[index], 2)):  # open, openat
        if number is not None:
            checks.append(_if_call(number, argument, _step(_ANY_BIT, _WRITING, 0, 1) + refuse))
    socket = (41, 198)[index]
    checks.append(_if_call(socket, 0, _step(_EQUAL, _AF_UNIX, 1, 0) + refuse))
    return _install([*checks, _step(_RETURN, _ALLOW)])


def hide_memory() -> None:
    """Let no process of the same account read the memory of this one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _is_known() -> bool:
    return sys.platform == "linux" and platform.machine() in _ARCHITECTURES


def _step(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, jump_true, jump_false, value)


def _if_call(number: int, argument: int, then: bytes) -> bytes:
    """Return the steps that look at an argument if it is that call."""
    inner = _step(_LOAD, _ARGUMENTS + 8 * argument) + then + _step(_LOAD, _NUMBER)
    return _step(_EQUAL, number, 0, len(inner) // 8) + inner


def _install(checks: list[bytes]) -> bool:
    """Install a filter of system calls for all threads. It stays for the life of the process."""
    if not _is_known():
        return False
    architecture, seccomp = _ARCHITECTURES[platform.machine()]
    program = b"".join(
        (
            _step(_LOAD, _ARCHITECTURE),
            _step(_EQUAL, architecture, 1, 0),
            _step(_RETURN, _REFUSE + _EPERM),
            _step(_LOAD, _NUMBER),
            _step(_AT_LEAST, _X32, 0, 1),
            _step(_RETURN, _REFUSE + _EPERM),
            _step(_EQUAL, _CLONE3[platform.machine()], 0, 1),
            _step(_RETURN, _REFUSE + _ENOSYS),  # the library then uses `clone`
            *checks,
        )
    )
    steps = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps))
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    done = library.syscall(seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.c_char_p(header))
    return bool(done == 0)
