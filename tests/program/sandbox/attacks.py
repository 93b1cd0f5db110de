"""Attempts to get out of the sandbox, as source texts. Each prints what it finds and swallows what it is refused.

The names in capitals are put before the source by the test: CANARY, SSH, OUT (a folder), PARENT (a process), ADDRESS
(of a secret in its memory), TCP, UDP (ports), UNIX, DGRAM (socket paths), TTY (a terminal of the parent).
`ALONE` are those that also do harm outside a sandbox, which shows that the test would see it; `KERNEL` are refused by
kernel layers only.
"""

ALONE = {
    "read a file outside": "print(open(CANARY).read())",
    "read the password file": "print(open('/etc/passwd').read())",
    "read a private key": "import os; print(open(os.path.expanduser(SSH)).read())",
    "read by a path that climbs": "print(open('../' * 30 + CANARY[1:]).read())",
    "read through /proc/self/root": "print(open('/proc/self/root' + CANARY).read())",
    "read through an opened folder": """
        import os
        root = os.open("/", os.O_RDONLY)
        print(os.read(os.open(CANARY[1:], os.O_RDONLY, dir_fd=root), 1000))""",
    "read through a folder's path that climbs": """
        import os
        os.makedirs("a/b/c"); top = os.open(".", os.O_RDONLY); os.chdir("a/b/c")
        print(os.read(os.open("../" * 30 + CANARY[1:], os.O_RDONLY, dir_fd=top), 1000))""",
    "read by memory mapping": """
        import mmap, os
        print(mmap.mmap(os.open(CANARY, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:])""",
    "list a folder outside": "import os; print(os.listdir(OUT))",
    "read through a symbolic link": "import os; os.symlink(CANARY, 'link'); print(open('link').read())",
    "read through a hard link": "import os; os.chdir(OUT); os.link(CANARY, OUT + '/link')",
    "write through a linked folder": "import os; os.symlink(OUT, 'folder'); open('folder/new', 'w').write('x')",
    "write a file outside": "open(OUT + '/new', 'w').write('x')",
    "append to a file outside": "open(CANARY, 'a').write('x')",
    "replace a file outside": "import os; open(CANARY + 'x', 'w'); os.replace(CANARY + 'x', CANARY)",
    "move a file out": "import shutil; open('mine', 'w').write('x'); shutil.move('mine', CANARY)",
    "remove a file outside": "import os; os.remove(CANARY)",
    "cut a file outside": "import os; os.truncate(CANARY, 0)",
    "change rights outside": "import os; os.chmod(CANARY, 0o777)",
    "change times outside": "import os; os.utime(CANARY, (1, 1))",
    "make a folder outside": "import os; os.mkdir(OUT + '/new')",
    "make a pipe outside": "import os; os.mkfifo(OUT + '/new')",
    "go there first": "import os; os.chdir(OUT); open('new', 'w').write('x')",
    "read the parent's environment": "print(open(f'/proc/{PARENT}/environ').read())",
    "read the parent's memory": """
        memory = open(f"/proc/{PARENT}/mem", "rb", 0); memory.seek(ADDRESS); print(memory.read(64))""",
    "read the parent's memory by a system call": """
        import ctypes
        class Part(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
        room = ctypes.create_string_buffer(64)
        here, there = Part(ctypes.addressof(room), 64), Part(ADDRESS, 64)
        ctypes.CDLL(None).process_vm_readv(PARENT, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        print(room.raw)""",
    "trace the parent": """
        import ctypes
        libc = ctypes.CDLL(None); libc.ptrace.argtypes = [ctypes.c_long] * 4
        if libc.ptrace(0x4206, PARENT, 0, 0) == 0: print("LOOT")""",
    "signal the parent": "import os, signal; os.kill(PARENT, signal.SIGUSR1)",
    "signal the parent by a handle": """
        import os, signal
        signal.pidfd_send_signal(os.pidfd_open(PARENT), signal.SIGUSR1)""",
    "signal the parent by a pipe it owns": """
        import fcntl, os, signal
        read, write = os.pipe()
        fcntl.fcntl(read, fcntl.F_SETOWN, PARENT); fcntl.fcntl(read, 10, signal.SIGUSR1)
        fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK); os.write(write, b"x")""",
    "signal everybody": "import os, signal; os.kill(-1, signal.SIGCONT)",
    "slow the parent down": "import os; os.setpriority(os.PRIO_PROCESS, PARENT, 3)",
    "connect by TCP": "import socket; socket.create_connection(('127.0.0.1', TCP), 1).send(b'x')",
    "connect by the C library": """
        import ctypes, struct
        libc = ctypes.CDLL(None); s = libc.socket(2, 1, 0)
        libc.connect(s, struct.pack("=HHI8x", 2, TCP >> 8 | (TCP & 255) << 8, 0x0100007F), 16)""",
    "send by UDP": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', UDP))",
    "connect to a unix socket": "import socket; socket.socket(socket.AF_UNIX).connect(UNIX)",
    "send to a unix socket": "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', DGRAM)",
    "send from a socket pair": """
        import socket
        socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", DGRAM)""",
    "listen": "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print('LOOT')",
    "ask a shell": "import os; os.system(f'cat {CANARY}; touch {OUT}/new')",
    "start a program": "import subprocess; print(subprocess.run(['/bin/cat', CANARY], capture_output=True))",
    "become a program": "import os; os.execv('/bin/sh', ['sh', '-c', f'cat {CANARY}; touch {OUT}/new'])",
    "spawn a program": "import os, time; os.posix_spawn('/bin/touch', ['touch', OUT + '/new'], {}); time.sleep(0.1)",
    "start a program by the inner module": """
        import os, _posixsubprocess, time
        read, write = os.pipe()
        _posixsubprocess.fork_exec([b"/bin/touch", (OUT + "/new").encode()], [b"/bin/touch"], True, (), None, None, -1,
            -1, -1, -1, -1, -1, read, write, False, False, -1, None, None, None, -1, None, False)
        time.sleep(0.1)""",
    "reach the shell through classes": """
        for cls in object.__subclasses__():
            if cls.__name__ == "_wrap_close":
                cls.__init__.__globals__["system"](f"cat {CANARY}; touch {OUT}/new")""",
    "leave a daemon": """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.close(0); os.close(1); os.close(2)
                time.sleep(5)
            os._exit(0)
        os.wait()""",
    "read the environment": "import os; print(os.environ, open('/proc/self/environ').read())",
    "use descriptors of the parent": """
        import os
        for fd in range(3, 100):
            try: print(os.pread(fd, 1000, 0))
            except OSError: pass
            try: os.write(fd, b"x")
            except OSError: pass""",
    "write to the parent's terminal": "open(TTY, 'w').write('LOOT')",
    "write shared memory": "import os; open('/dev/shm/' + os.path.basename(OUT), 'w').write('x')",
    "import a package that was not named": "import sys; sys.path.append(SITE); import pytest; print('LOOT')",
    "rebind what a hook might use": """
        import builtins, os, posixpath
        os.getcwd = lambda: OUT
        builtins.isinstance = lambda *a: True
        builtins.str = builtins.len = lambda *a: 0
        posixpath.realpath = os.path.normpath = lambda p, **k: "x"
        print(open(CANARY).read())""",
    "read with a path that changes its mind": """
        class Path(str):
            def startswith(self, *a): return True
            def split(self, *a): return []
            def __eq__(self, other): return True
            __hash__ = str.__hash__
        print(open(Path(CANARY)).read())""",
    "unhook through the collector": """
        import gc
        for thing in gc.get_objects():
            if getattr(thing, "__name__", "") == "hook" and getattr(thing, "__closure__", None):
                thing.__code__ = (lambda event, args: None).__code__
        print(open(CANARY).read())""",
}
KERNEL = {
    "mount": """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        import os; os.mkdir("m")
        if libc.mount(b"none", b"m", b"tmpfs", 0, None) == 0: print("LOOT")
        if libc.mount(b"none", b"m", b"proc", 0, None) == 0: print("LOOT")""",
    "new namespaces": "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000) == 0: print('LOOT')",
    "change root and climb out": """
        import os
        os.mkdir("r"); os.chroot("r"); os.chdir("../" * 30); os.chroot("."); print(open(CANARY).read())""",
    "a raw socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print('LOOT')",
    "a packet socket": "import socket; socket.socket(17, socket.SOCK_RAW, 3); print('LOOT')",
    "a netlink socket": "import socket; socket.socket(16, socket.SOCK_RAW, 0); print('LOOT')",
    "ask a name server": "import socket; socket.getaddrinfo('example.com', 80); print('LOOT')",
    "raise the limits": """
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2); print("LOOT")""",
    "raise the parent's limits": """
        import resource
        resource.prlimit(PARENT, resource.RLIMIT_NOFILE, (5, 5)); print("LOOT")""",
    "become root": "import os; os.setuid(0); os.setgroups([0]); print('LOOT')",
    "enter the parent's namespaces": """
        import ctypes, os
        fd = os.open(f"/proc/{PARENT}/ns/mnt", os.O_RDONLY)
        if ctypes.CDLL(None).setns(fd, 0) == 0: print("LOOT")""",
    "outlive the parent": "import ctypes\nif ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0: print('LOOT')",
    "a file by its handle": """
        import ctypes
        if ctypes.CDLL(None).open_by_handle_at(-100, bytes(64), 0) >= 0: print("LOOT")""",
    "system calls by number": """
        import ctypes, platform
        known = {"x86_64": (425, 321, 298, 323, 250, 248, 319, 29, 300, 254, 175, 246, 169, 154, 135, 447, 57, 58),
                 "aarch64": (425, 280, 241, 282, 219, 217, 279, 194, 262, 27, 105, 104, 142, 92, 447)}
        calls = known[platform.machine()]
        libc = ctypes.CDLL(None, use_errno=True)
        for number in calls:
            ctypes.set_errno(0)
            result = libc.syscall(number, 0, 0, 0, 0, 0, 0)
            if result == 0 and number in (57, 58): libc._exit(0)
            if ctypes.get_errno() not in (1, 38): print("LOOT", number, result, ctypes.get_errno())""",
    "system calls of the other architecture": """
        import ctypes, mmap
        code = bytes.fromhex("53b814000000cd805bc3")  # push rbx; mov eax, 20; int 0x80 (getpid); pop rbx; ret
        room = mmap.mmap(-1, 4096, prot=7); room.write(code)
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(room)))
        import platform
        if platform.machine() == "x86_64": call(); print("LOOT")""",
    "read it by a system call": """
        import ctypes, os, platform
        number = {"x86_64": 257, "aarch64": 56}[platform.machine()]
        fd = ctypes.CDLL(None).syscall(number, -100, CANARY.encode(), 0, 0)
        print(os.read(fd, 1000))""",
}
