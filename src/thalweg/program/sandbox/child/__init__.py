"""What runs inside the sandbox: put up the layers, then run the code, serve calls, or judge.

These files never run from here. The parent compiles them and sends them down a pipe to a bare interpreter, so that the
sandbox needs no file of this library and the start costs no parsing. They import one another by full name (`from` and
what they need), and from the standard library only as much as they must: every import is paid by every run.
"""
