#!/usr/bin/python3
"""A small SSTP server ([MS-SSTP]), for want of one in Debian: sstp_server.py CERTIFICATE KEY PPPD_OPTIONS USER=SECRET…

TLS and the protocol's own messages are done here, PPP by one pppd per caller on a pseudo-terminal. The crypto
binding is checked: certificate hash, nonce and compound MAC, keyed by what MS-CHAPv2 agreed (RFC 3079). A call
whose binding is wrong is aborted, so that data proves that the TLS stream came through from end to end.
"""
import binascii
import hashlib
import hmac
import os
import pty
import re
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import tty

CALL_REQUEST, CALL_ACK, CONNECTED, ABORT, DISCONNECT, DISCONNECT_ACK, ECHO, ECHO_REPLY = 1, 2, 4, 5, 6, 7, 8, 9
PROTOCOL_ID, BINDING, BINDING_REQUEST = 1, 3, 4
CHAP = b"\xc2\x23"
REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def md4(data):
    """RFC 1320; the OpenSSL of today leaves it out."""
    def turn(value, by):
        value &= 0xFFFFFFFF
        return (value << by | value >> (32 - by)) & 0xFFFFFFFF
    rounds = (
        (lambda x, y, z: x & y | ~x & z, 0, list(range(16)), (3, 7, 11, 19)),
        (lambda x, y, z: x & y | x & z | y & z, 0x5A827999, [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
         (3, 5, 9, 13)),
        (lambda x, y, z: x ^ y ^ z, 0x6ED9EBA1, [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
         (3, 9, 11, 15)))
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", 8 * len(data))
    for start in range(0, len(padded), 64):
        words = struct.unpack("<16I", padded[start:start + 64])
        a, b, c, d = state
        for mix, constant, order, turns in rounds:
            for step, word in enumerate(order):
                a, b, c, d = d, turn(a + mix(b, c, d) + words[word] + constant, turns[step % 4]), b, c
        state = [(old + new) & 0xFFFFFFFF for old, new in zip(state, (a, b, c, d))]
    return struct.pack("<4I", *state)


def binding_key(secret, response):
    """The client's master send key and master receive key (RFC 3079 §3.3), which the binding is keyed with."""
    twice = md4(md4(secret.encode("utf-16-le")))
    master = hashlib.sha1(twice + response + b"This is the MPPE Master Key").digest()[:16]

    def direction(words):
        return hashlib.sha1(master + bytes(40) + words + b"\xf2" * 40).digest()[:16]
    return (direction(b"On the client side, this is the send key; on the server side, it is the receive key.")
            + direction(b"On the client side, this is the receive key; on the server side, it is the send key."))


def framed(packet):
    """A PPP packet as an asynchronous line carries it (RFC 1662), every control octet escaped."""
    check = binascii.crc_hqx(packet.translate(REVERSED), 0xFFFF)
    octets = packet + bytes((REVERSED[check >> 8] ^ 0xFF, REVERSED[check & 0xFF] ^ 0xFF))
    return b"~" + re.sub(rb"[\x00-\x1f}~]", lambda found: bytes((0x7D, found[0][0] ^ 0x20)), octets) + b"~"


def unframed(frame):
    return re.sub(rb"}(.)", lambda found: bytes((found[1][0] ^ 0x20,)), frame, flags=re.S)[:-2]


def control(kind, *attributes):
    body = b"".join(struct.pack("!BBH", 0, number, 4 + len(value)) + value for number, value in attributes)
    return struct.pack("!BBHHH", 0x10, 1, 8 + len(body), kind, len(attributes)) + body


class Call:
    def __init__(self, stream, certificate, options, users):
        self.stream = stream
        self.certificate = certificate
        self.options = options
        self.users = users
        self.nonce = os.urandom(32)
        self.key = bytes(32)
        self.bound = False
        self.line = None
        self.ppp = None

    def run(self):
        asked = b""
        while b"\r\n\r\n" not in asked:
            part = self.stream.recv(4096)
            if not part:
                return
            asked += part
        head, rest = asked.split(b"\r\n\r\n", 1)
        if not head.startswith(b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1"):
            self.stream.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n"
                            b"Server: Microsoft-HTTPAPI/2.0\r\n\r\n")
        self.relay(rest)

    def relay(self, came):
        sent = b""
        while True:
            while len(came) >= 4:
                length = struct.unpack("!H", came[2:4])[0] & 0xFFF
                if length < 4 or came[0] != 0x10:
                    raise ValueError("not SSTP")
                if len(came) < length:
                    break
                packet, came = came[:length], came[length:]
                if packet[1] & 1:
                    if not self.control(packet):
                        return
                elif self.line is not None:
                    self.watch(packet[4:])
                    os.write(self.line, framed(packet[4:]))
            sources = [self.stream] + ([self.line] if self.line is not None else [])
            ready = sources[:1] if self.stream.pending() else select.select(sources, [], [])[0]
            if self.stream in ready:
                part = self.stream.recv(65536)
                if not part:
                    return
                came += part
            if self.line in ready:
                *frames, sent = (sent + os.read(self.line, 65536)).split(b"~")
                self.stream.sendall(b"".join(
                    struct.pack("!BBH", 0x10, 0, 4 + len(packet)) + packet
                    for packet in map(unframed, filter(None, frames))))

    def watch(self, packet):
        """Keeps the key that follows from the caller's MS-CHAPv2 response."""
        packet = packet[2:] if packet[:2] == b"\xff\x03" else packet
        if packet[:2] == CHAP and packet[2:3] == b"\x02" and len(packet) > 7 + 49:
            user = packet[56:].decode(errors="replace")
            self.key = binding_key(self.users.get(user, ""), packet[7 + 24:7 + 48])

    def control(self, packet):
        kind = struct.unpack("!H", packet[4:6])[0]
        if kind == CALL_REQUEST:
            # Offers SHA-1 and SHA-256.
            self.stream.sendall(control(CALL_ACK, (BINDING_REQUEST, b"\0\0\0\x03" + self.nonce)))
            self.line, other = pty.openpty()
            tty.setraw(other)
            self.ppp = subprocess.Popen(["pppd", os.ttyname(other), "local", "nodetach", "file", self.options],
                                        stdin=subprocess.DEVNULL)
        elif kind == CONNECTED:
            problem = self.binding_problem(packet)
            print("sstp: the binding " + (problem or "is right"), flush=True)
            if problem:
                self.stream.sendall(control(ABORT))
                return False
            self.bound = True
        elif kind == ECHO:
            self.stream.sendall(control(ECHO_REPLY))
        elif kind == DISCONNECT:
            self.stream.sendall(control(DISCONNECT_ACK))
            return False
        return kind != ABORT

    def binding_problem(self, packet):
        if len(packet) != 112 or packet[9] != BINDING or packet[15] != 2:
            return "is not a SHA-256 one"
        nonce, print_of_certificate, mac = packet[16:48], packet[48:80], packet[80:112]
        if nonce != self.nonce:
            return "has another nonce"
        if print_of_certificate != self.certificate:
            return "names another certificate"
        key = hmac.digest(self.key, b"SSTP inner method derived CMK" + b"\x20\x00\x01", "sha256")
        if mac != hmac.digest(key, packet[:80] + bytes(32), "sha256"):
            return "has a wrong MAC"
        return None

    def close(self):
        self.stream.close()
        if self.ppp:
            self.ppp.terminate()
            self.ppp.wait()
        if self.line is not None:
            os.close(self.line)


def main():
    certificate, key, options, *users = sys.argv[1:]
    users = dict(user.split("=", 1) for user in users)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with open(certificate, encoding="ascii") as file:
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).digest()
    listener = socket.create_server(("0.0.0.0", 443))

    def serve(connection):
        try:
            call = Call(context.wrap_socket(connection, server_side=True), digest, options, users)
        except (OSError, ssl.SSLError) as problem:
            print(f"sstp: {problem}", flush=True)
            return
        try:
            call.run()
        except (OSError, ValueError) as problem:
            print(f"sstp: {problem}", flush=True)
        finally:
            call.close()
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
