#!/usr/bin/env python3
"""The questions of RFC 5780, asked with TCP connections:

    tcp_behaviour.py serve A B      answers at two addresses, two ports each
    tcp_behaviour.py mapping A B    which external endpoints one local port gets towards them
    tcp_behaviour.py filtering A B  who can connect to the external endpoint that a connection to A opened

Prints endpoint-independent, address-dependent, address-and-port-dependent, or what it found instead.
"""
import socket
import sys
import threading

PORT, OTHER_PORT = 3500, 3501
# Shorter than the six seconds in which a NAT leaves an unexpected SYN unanswered (RFC 5382 REQ-4).
PATIENCE = 4


def bound(address, port):
    # Both options: one port connects several times and listens as well.
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.settimeout(PATIENCE)
    s.bind((address, port))
    return s


def connect(s, target):
    s.connect(target)
    return s


def line(connection):
    text = b""
    while not text.endswith(b"\n"):
        part = connection.recv(256)
        if not part:
            raise ConnectionError("the other side closed")
        text += part
    return text.decode().strip()


def answer(connection, peer):
    """Says whom it sees, then connects there from wherever it is told to."""
    with connection:
        connection.settimeout(60)
        connection.sendall(f"{peer[0]} {peer[1]}\n".encode())
        try:
            while True:
                address, port = line(connection).split()
                with bound(address, int(port)) as s:
                    try:
                        connect(s, peer)
                        s.sendall(b"hello\n")
                        told = "connected"
                    except OSError as problem:
                        told = f"refused: {problem}"
                connection.sendall((told + "\n").encode())
        except OSError:
            pass


def listen(address, port):
    s = bound(address, port)
    s.settimeout(None)
    s.listen(16)
    while True:
        threading.Thread(target=answer, args=s.accept(), daemon=True).start()


def serve(a, b):
    threads = [threading.Thread(target=listen, args=(address, port)) for address in (a, b)
               for port in (PORT, OTHER_PORT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def mapping(a, b):
    seen, connections, local = {}, [], 0
    for target in ((a, PORT), (a, OTHER_PORT), (b, PORT)):
        connections.append(connect(bound("", local), target))
        local = connections[-1].getsockname()[1]
        seen[target] = line(connections[-1])
    first = seen[(a, PORT)]
    if seen[(b, PORT)] == first and seen[(a, OTHER_PORT)] == first:
        return "endpoint-independent"
    if seen[(b, PORT)] == first:
        return f"no known kind: {seen}"
    return "address-dependent" if seen[(a, OTHER_PORT)] == first else "address-and-port-dependent"


def filtering(a, b):
    out = connect(bound("", 0), (a, PORT))
    line(out)
    inbound = bound("", out.getsockname()[1])
    inbound.listen(4)
    out.settimeout(PATIENCE * 3)

    def comes_in(address, port):
        out.sendall(f"{address} {port}\n".encode())
        if line(out) != "connected":
            return False
        connection, peer = inbound.accept()
        with connection:
            # It has to be the one that was asked for, with its address as it is, and carry data.
            return peer == (address, port) and line(connection) == "hello"
    # Free ports of the server: PORT at A is where the connection already goes.
    other_address, other_port = comes_in(b, 3600), comes_in(a, 3601)
    if other_address and other_port:
        return "endpoint-independent"
    if other_address:
        return "no known kind: another address comes in, another port does not"
    return "address-dependent" if other_port else "address-and-port-dependent"


if __name__ == "__main__":
    verb = {"serve": serve, "mapping": mapping, "filtering": filtering}[sys.argv[1]]
    print(verb(sys.argv[2], sys.argv[3]))
