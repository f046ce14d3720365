"""Sockets of other namespaces, and the packets that attackers write by hand."""
import ctypes
import os
import socket
import struct
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
UDP, TCP, ICMP, GRE, ESP = 17, 6, 1, 47, 50
OUTGOING = 4


def socket_in(node, *kind):
    """A socket keeps the namespace in which it was made, so only its making needs the visit."""
    made = []

    def visit():
        # setns moves the calling thread only: this one ends here.
        with open(f"/proc/{node.pid}/ns/net") as place:
            if LIBC.setns(place.fileno(), 0x40000000) != 0:
                made.append(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
                return
        made.append(socket.socket(*kind))
    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ip(source, target, protocol, body, ident=1, flags=0, offset=0):
    """flags: 1 more fragments, 2 don't fragment; offset in octets."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), ident, (flags << 13) | (offset // 8), 64, protocol,
                       0, socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def pseudo(source, target, protocol, body):
    return checksum(socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, protocol, len(body)) +
                    body)


def udp_body(source, target, sport, dport, data):
    body = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    return body[:6] + struct.pack("!H", pseudo(source, target, UDP, body) or 0xffff) + data


def udp(source, target, sport, dport, data):
    return ip(source, target, UDP, udp_body(source, target, sport, dport, data))


def tcp(source, target, sport, dport, sequence, ack, bits, data=b"", flags=0):
    body = struct.pack("!HHIIBBHHH", sport, dport, sequence & 0xffffffff, ack & 0xffffffff, 0x50, bits, 512, 0,
                       0) + data
    return ip(source, target, TCP, body[:16] + struct.pack("!H", pseudo(source, target, TCP, body)) + body[18:],
              flags=flags)


def icmp(source, target, kind, code, rest, inner):
    body = struct.pack("!BBHI", kind, code, 0, rest) + inner
    return ip(source, target, ICMP, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


def gre(source, target, call, sequence, data):
    """Version 1 of GRE, as PPTP has it: with a sequence number, without acknowledgment."""
    return ip(source, target, GRE, struct.pack("!HHHHI", 0x3001, 0x880b, len(data), call, sequence & 0xffffffff) + data)


def esp(source, target, spi, sequence, data=b"e" * 64):
    return ip(source, target, ESP, struct.pack("!II", spi, sequence) + data)


class Packet:
    def __init__(self, frame):
        data = frame[14:]
        self.data = data[:struct.unpack("!H", data[2:4])[0]]
        self.protocol = data[9]
        self.source, self.target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
        self.body = self.data[(data[0] & 15) * 4:]

    def ports(self):
        return struct.unpack("!HH", self.body[:4])

    def tcp(self):
        """sequence, acknowledgment, octets of data"""
        sequence, ack, size = struct.unpack("!IIB", self.body[4:13])
        return sequence, ack, len(self.body) - (size >> 4) * 4


class Wire:
    """A card of a node: what arrives on it, and frames to the router's card from it."""

    def __init__(self, node, card, router_mac):
        self.out = socket_in(node, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.out.bind((card, 0))
        self.out.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE; the sender never reads
        self.into = socket_in(node, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.into.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
        self.into.bind((card, 0x0800))
        self.mac = self.into.getsockname()[4]
        self.head = bytes.fromhex(router_mac.replace(":", "")) + self.mac + b"\x08\x00"

    def send(self, packet):
        while True:
            try:
                return self.out.send(self.head + packet)
            except OSError as problem:
                if problem.errno != 105:  # ENOBUFS: the queue of the card is full
                    raise
                time.sleep(0.001)

    def clear(self):
        self.into.setblocking(False)
        try:
            while True:
                self.into.recv(65535)
        except BlockingIOError:
            pass

    def arrived(self, wanted, seconds=0.7, enough=None):
        """The packets from others that `wanted` accepts, until `enough` or the time is over."""
        found = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and (enough is None or len(found) < enough):
            self.into.settimeout(left)
            try:
                frame, place = self.into.recvfrom(65535)
            except TimeoutError:
                break
            if place[2] == OUTGOING or len(frame) < 34:
                continue
            packet = Packet(frame)
            if wanted(packet):
                found.append(packet)
        return found

    def close(self):
        self.out.close()
        self.into.close()
