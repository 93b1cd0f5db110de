"""A language server that misbehaves as its first argument says; a real process for the tests of the client.

`good` answers completions with the words of the document; `silent` answers `initialize` alone, `dead-silent` not even
that; `dies` ends at the first completion; `garbage` writes noise and then ends its headers with no JSON; `chatty`
writes lines of log before each message; `deaf` reads nothing after `initialize`; `asks` asks the client before it
answers. `child` starts a process of its own and then hangs; its id is written to the second argument.
"""

import json
import subprocess
import sys
import time

mode = sys.argv[1]
inp, out = sys.stdin.buffer, sys.stdout.buffer


def receive():
    length = 0
    while line := inp.readline():
        if line == b"\r\n":
            return json.loads(inp.read(length))
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    sys.exit(0)


def send(message):
    if mode == "chatty":
        out.write(b"INFO: about to write: a message\n")
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    kind = b"Content-Type: application/vscode-jsonrpc; charset=utf-8"
    out.write(b"Content-Length: %d\r\n%b\r\n\r\n%b" % (len(body), kind, body))
    out.flush()


def sleep_for_ever():
    while True:
        time.sleep(60)


document = ""
if mode == "dead-silent":
    sleep_for_ever()
while True:
    message = receive()
    method, number = message.get("method"), message.get("id")
    if method == "initialize":
        send({"id": number, "result": {"capabilities": {}}})
        if mode == "deaf":
            sleep_for_ever()
        if mode == "child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            with open(sys.argv[2], "w") as file:
                file.write(str(child.pid))
            sleep_for_ever()
    elif method == "exit":
        sys.exit(0)
    elif method == "shutdown":
        send({"id": number, "result": None})
    elif method == "textDocument/didOpen":
        document = message["params"]["textDocument"]["text"]
    elif method == "textDocument/didChange":
        document = message["params"]["contentChanges"][0]["text"]
        parameters = {"uri": message["params"]["textDocument"]["uri"], "diagnostics": []}
        send({"method": "textDocument/publishDiagnostics", "params": parameters})
    elif method == "textDocument/completion":
        if mode == "silent":
            continue
        if mode == "dies":
            print("cannot go on", file=sys.stderr)
            sys.exit(3)
        if mode == "garbage":
            out.write(b"\x00\xff nonsense\nContent-Length: 9\r\n\r\nnot json!")
            out.flush()
            sleep_for_ever()
        if mode == "asks":
            send({"id": "q", "method": "workspace/configuration", "params": {"items": [{}, {}]}})
            assert receive() == {"jsonrpc": "2.0", "id": "q", "result": [None, None]}
            send({"id": "r", "method": "window/unheard_of", "params": {}})
            assert receive()["error"]["code"] == -32601
        place = message["params"]["position"]
        words = [*document.split(), f"at_{place['line']}_{place['character']}"]
        send({"id": number, "result": {"items": [{"label": word, "kind": 5} for word in words]}})
    elif number is not None and mode != "silent":
        send({"id": number, "error": {"code": -32601, "message": "what?"}})
