#!/usr/bin/python3
"""Data through a tunnel: echo.py serve | echo.py ADDRESS OCTETS. A random stream there and back, compared by its
SHA-256; exit status 0 and the word "same" when it is."""
import hashlib
import os
import socket
import sys
import threading

PORT = 7788


def serve():
    listener = socket.create_server(("0.0.0.0", PORT), backlog=16)
    while True:
        threading.Thread(target=send_back, args=(listener.accept()[0],), daemon=True).start()


def send_back(connection):
    left = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
    data = bytearray()
    while left:
        part = connection.recv(min(left, 65536))
        if not part:
            return
        data += part
        left -= len(part)
    connection.sendall(data)
    connection.close()


def verdict(address, octets):
    """One word, or the reason why nothing came back."""
    data = os.urandom(octets)
    back = bytearray()
    try:
        connection = socket.create_connection((address, PORT), 60)
        connection.settimeout(60)
        threading.Thread(target=push, args=(connection, octets.to_bytes(8, "big") + data), daemon=True).start()
        while len(back) < octets:
            part = connection.recv(65536)
            if not part:
                break
            back += part
    except OSError as problem:
        return f"{len(back)} octets, then {problem}"
    return "same" if hashlib.sha256(back).digest() == hashlib.sha256(data).digest() else "different"


def push(connection, data):
    try:
        connection.sendall(data)
    except OSError:
        pass  # the reader tells


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        WORD = verdict(sys.argv[1], int(sys.argv[2]))
        print(WORD)
        sys.exit(WORD != "same")
