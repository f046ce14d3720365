#!/usr/bin/env python3
"""Hostile packets at a live router: checks.py BIN_FOLDER [--router underpass|kernel|both] [--quick] [N…]

Twenty-seven checks, the same packets at underpassd and at the kernel's own masquerade with the filter that home
routers have. Every check has a control of its own where silence would also pass: a genuine packet that must
arrive. Exit status 0 when underpassd passes all that were asked for, 77 when this machine cannot run them.
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))
# pylint: disable=wrong-import-position
from wires import (ESP, GRE, ICMP, TCP, UDP, Wire, esp, gre, icmp, ip, socket_in, tcp, udp, udp_body)
from world import GATEWAY, LAN, ROUTER_WAN, SERVER, Failed, Kernel, Underpass, World, until

C1, C2 = LAN + "11", LAN + "12"
THIRD = "198.51.100.66"
RST, SYN, PSH_ACK = 0x04, 0x02, 0x18
SESSIONS = 8192
# How long what must come is waited for, on a machine that has much else to do; it usually comes at once.
PATIENCE = 10


class SmallUnderpass(Underpass):
    """A table as small as in the floods of the reference."""

    def up(self, node, _folder):
        self.process = node.start("underpassd", f"{self.bin}/underpassd --internal lan0 --external wan0 --state "
                                  "/run/underpass-state --control /run/underpass-control --no-dhcp --no-dns "
                                  f"--sessions {SESSIONS}")
        end = time.monotonic() + 20
        while "ready" not in node.log("underpassd"):
            if time.monotonic() > end:
                raise Failed("underpassd did not become ready")
            time.sleep(0.2)


def received(end, size):
    """So many octets, or fewer if there are no more. With a time-out of its own, MSG_WAITALL does not wait for all."""
    data = b""
    while len(data) < size and (part := end.recv(size - len(data))):
        data += part
    return data


class Pace:
    """Of a flood: many times what anybody sends who means well, and no measure of how fast this machine is. What is
    lost because the router had no processor says nothing about what it does with what it hears."""
    PER_SECOND = 10_000

    def __init__(self):
        self.sent, self.next = 0, time.monotonic()

    def wait(self):
        self.sent += 1
        if self.sent % 50 == 0:
            self.next = max(self.next, time.monotonic() - 0.05) + 50 / self.PER_SECOND
            time.sleep(max(0.0, self.next - time.monotonic()))


def expect(truth, words):
    if not truth:
        raise Failed(words)


class Bed:
    """The world with its wires: c1 and c2 inside, s outside; the attacker of the Internet sends from s too,
    with any source address."""

    def __init__(self, world, quick):
        self.world, self.quick = world, quick
        rt = world.nodes["rt"]
        lan_mac, wan_mac = (rt.sh(f"ip -br link show {card}").split()[2] for card in ("lan0", "wan0"))
        self.nodes = {"c1": world.nodes["c1"], "c2": world.nodes["c2"], "s": world.nodes["s1"]}
        self.c1, self.c2 = (Wire(self.nodes[name], "eth0", lan_mac) for name in ("c1", "c2"))
        self.s = Wire(self.nodes["s"], "eth0", wan_mac)
        self.port = 20000
        self.identification = 40000
        for node in self.nodes.values():
            # The nodes' own kernels must not answer what only this program speaks.
            node.sh("""nft -f - <<'RULES'
table ip mute {
  chain input { type filter hook input priority filter; ip protocol { 47, 50 } drop; }
  chain output { type filter hook output priority filter; icmp type destination-unreachable drop; }
}
RULES""")
            node.sh("ping -c1 -W2 " + (ROUTER_WAN if node is self.nodes["s"] else LAN + "1"), check=False)
        self.clear()

    def clear(self):
        for wire in (self.c1, self.c2, self.s):
            wire.clear()

    def close(self):
        for wire in (self.c1, self.c2, self.s):
            wire.close()

    def fresh_port(self):
        self.port += 1
        return self.port

    def fresh_identification(self):
        """Of an IP packet: what is left of one datagram must not meet another one."""
        self.identification += 1
        return self.identification

    def connection(self, port=None):
        return Connection(self, port or self.fresh_port())

    def leaks(self):
        """Frames outside that still have an address of the inside."""
        return len(self.s.arrived(lambda packet: packet.source.startswith("192.168.")))

    def mapping(self, sport, dport):
        """A UDP session of c1 that the server answered; its external port."""
        self.c1.send(udp(C1, SERVER, sport, dport, b"open"))
        seen = self.s.arrived(lambda p: p.protocol == UDP and p.ports()[1] == dport, PATIENCE, 1)
        expect(seen, "control: the session of c1 did not reach the server")
        outside = seen[0].ports()[0]
        self.s.send(udp(SERVER, ROUTER_WAN, dport, outside, b"answer"))
        expect(self.c1.arrived(lambda p: p.protocol == UDP and b"answer" in p.body, PATIENCE, 1),
               "control: the server's answer did not reach c1")
        return outside


class Connection:
    """TCP from c1 to the server, by the systems' own stacks."""

    def __init__(self, bed, port):
        self.bed, self.port = bed, port
        listener = socket_in(bed.nodes["s"], socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SERVER, port))
        listener.listen(4)
        self.client = socket_in(bed.nodes["c1"], socket.AF_INET, socket.SOCK_STREAM)
        for end in (self.client, listener):
            end.settimeout(PATIENCE)
        self.client.connect((SERVER, port))
        self.server, self.outer = listener.accept()
        self.server.settimeout(PATIENCE)
        listener.close()
        self.inner_port = self.client.getsockname()[1]
        self.outer_port = self.outer[1]
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        expect(self.alive(), "control: a fresh connection carries no data")
        self.sent = self.numbers()

    def alive(self):
        try:
            for one, other in ((self.client, self.server), (self.server, self.client)):
                word = os.urandom(16)
                one.sendall(word)
                if received(other, 16) != word:
                    return False
            return True
        except OSError:
            return False

    def numbers(self):
        """Next sequence number of the client and of the server, as their wire shows it."""
        self.bed.s.clear()
        expect(self.alive(), "control: the connection carries no data")
        last = self.bed.s.arrived(lambda p: p.protocol == TCP and p.ports() == (self.outer_port, self.port), 0.4)[-1]
        sequence, ack, size = last.tcp()
        return sequence + size, ack

    def close(self):
        self.client.close()
        self.server.close()


# --- TCP ---------------------------------------------------------------------------------------------------

def attack_connection(bed, count, packet, alive_word="closed"):
    connection = bed.connection()
    try:
        client, server = connection.sent
        for index in range(count):
            bed.s.send(packet(connection, client, server, index))
        time.sleep(0.5)
        expect(connection.alive(), alive_word)
        return "alive"
    finally:
        connection.close()


def check_1(bed):
    return attack_connection(bed, 1000, lambda c, client, server, i: tcp(
        SERVER, ROUTER_WAN, c.port, c.outer_port, server + 0x10000000 + random.randrange(0x60000000), 0, RST))


def check_2(bed):
    return attack_connection(bed, 50, lambda c, client, server, i: tcp(
        SERVER, ROUTER_WAN, c.port, c.outer_port, server + 1 + i * 97, client, RST))


def check_3(bed):
    return attack_connection(bed, 50, lambda c, client, server, i: tcp(
        SERVER, ROUTER_WAN, c.port, c.outer_port, random.getrandbits(32), 0, SYN))


def spoof_inside(bed, count, flags, data):
    connection = bed.connection()
    try:
        bed.s.clear()
        for _ in range(count):
            bed.c2.send(tcp(C1, SERVER, connection.inner_port, connection.port, random.getrandbits(32),
                            random.getrandbits(32), flags, data))
        leaks = bed.leaks()
        expect(connection.alive(), "closed")
        expect(leaks == 0, f"{leaks} leaks")
        return "alive, 0 leaks"
    finally:
        connection.close()


def check_4(bed):
    return spoof_inside(bed, 1000, RST, b"")


def check_5(bed):
    return spoof_inside(bed, 200, PSH_ACK, b"forged")


# --- ICMP --------------------------------------------------------------------------------------------------

def errors(bed, kind, code, rest, control=True):
    connection = bed.connection()
    try:
        def error(sequence):
            # Quotes a full segment: an MTU below 1,300 cannot be the answer to less.
            inner = tcp(ROUTER_WAN, SERVER, connection.outer_port, connection.port, sequence, 0, 0x10, b"q" * 1400,
                        flags=2)[:28]
            return icmp(GATEWAY, ROUTER_WAN, kind, code, rest, inner)

        def is_error(packet):
            return packet.protocol == ICMP and packet.body[0] == kind
        client = connection.sent[0]
        bed.c1.clear()
        for _ in range(100):
            bed.s.send(error(client + 0x20000000 + random.randrange(0x40000000)))
            time.sleep(0.002)
        delivered = len(bed.c1.arrived(is_error))
        if control:
            # About a segment that is under way: the server stays deaf to it from here on.
            bed.nodes["s"].sh(f"nft add rule ip mute input tcp dport {connection.port} drop")
            bed.s.clear()
            connection.client.sendall(b"w" * 1400)
            expect(bed.s.arrived(lambda p: p.protocol == TCP and p.ports() == (connection.outer_port, connection.port)
                                 and p.tcp()[0] == client, PATIENCE, 1), "control: the segment did not leave")
            bed.s.send(error(client))
            expect(bed.c1.arrived(is_error, PATIENCE, 1), "control: a genuine error was not delivered")
        expect(delivered == 0, f"{delivered} forged delivered")
        return "0 forged delivered" + (", the genuine one is" if control else "")
    finally:
        connection.close()


def check_6(bed):
    return errors(bed, 3, 4, 1300)


def check_7(bed):
    return errors(bed, 3, 3, 0)


def check_8(bed):
    return errors(bed, 5, 1, struct.unpack("!I", socket.inet_aton(THIRD))[0], control=False)


def ping_answer(bed, octets):
    """What comes back for a ping of so many octets of IP: "silent", "whole" or "in pieces"."""
    ident = bed.fresh_identification()
    bed.s.clear()
    bed.s.send(icmp(SERVER, ROUTER_WAN, 8, 0, ident << 16, b"p" * (octets - 28)))
    heard = bed.s.arrived(lambda p: p.protocol == ICMP and p.source == ROUTER_WAN and
                          not int.from_bytes(p.data[6:8], "big") & 0x1fff and
                          p.body[:1] + p.body[4:6] == struct.pack("!BH", 0, ident), 2, 1)
    if not heard:
        return "silent"
    return "in pieces" if heard[0].data[6] & 0x20 else "whole"


def path_mtu_probe(bed):
    """The first step of ReDAN: the address as a host shows its path MTU in answers to pings, and who lowers that
    without lowering the segments of connections has found the devices behind it."""
    before = ping_answer(bed, 1400)
    quote = icmp(ROUTER_WAN, SERVER, 0, 0, 9 << 16, b"p" * 1372)[:28 + 8]
    for _ in range(3):
        bed.s.send(icmp(GATEWAY, ROUTER_WAN, 3, 4, 552, quote))
        time.sleep(0.05)
    return before, ping_answer(bed, 1400)


def check_26(bed):
    expect(ping_answer(bed, 84) == "whole", "control: an everyday ping is not answered")
    before, after = path_mtu_probe(bed)
    expect(before == after, f"the address shows its path MTU: answers {before}, then {after}")
    expect(ping_answer(bed, 84) == ping_answer(bed, 552) == "whole", "everyday pings are not answered afterwards")
    words = f"answers to large pings: {before}"
    router = bed.world.router
    if isinstance(router, Underpass):
        def answers(size, wanted):
            """The host's guard follows the setting."""
            end = time.monotonic() + PATIENCE
            while (answer := ping_answer(bed, size)) != wanted and time.monotonic() < end:
                pass
            return answer
        router.ctl(bed.world.nodes["rt"], "rules", "nat", "pings", "all")
        answers(1400, "whole")
        seen = path_mtu_probe(bed)
        router.ctl(bed.world.nodes["rt"], "rules", "nat", "pings", "none")
        none = answers(84, "silent")
        router.ctl(bed.world.nodes["rt"], "rules", "nat", "pings", "small")
        expect(seen == ("whole", "in pieces"), f"control: with all pings answered the probe sees {seen}")
        expect(none == "silent", "control: pings none still answers")
    return words


# --- addresses ---------------------------------------------------------------------------------------------

def check_9(bed):
    bed.c1.clear()
    for _ in range(50):
        bed.s.send(udp(SERVER, C1, 5000, 5001, b"direct"))
    through = len(bed.c1.arrived(lambda p: b"direct" in p.body))
    expect(through == 0, f"{through} of 50 arrived inside")
    return "0 of 50 arrived"


def check_10(bed):
    outside = bed.mapping(bed.fresh_port(), 7000)
    bed.c1.clear()
    for source in ("127.0.0.1", "0.0.0.0", "240.0.0.1", "224.0.0.1", "255.255.255.255", C2, ROUTER_WAN):
        for _ in range(20):
            bed.s.send(udp(source, ROUTER_WAN, 7000, outside, b"martian"))
    through = len(bed.c1.arrived(lambda p: b"martian" in p.body))
    expect(through == 0, f"{through} arrived inside")
    return "0 of 140 arrived"


def check_11(bed):
    bed.s.clear()
    for _ in range(20):
        bed.c1.send(udp("10.77.0.5", SERVER, 5000, 5002, b"foreign"))
    left = len(bed.s.arrived(lambda p: b"foreign" in p.body))
    expect(left == 0, f"{left} of 20 left")
    return "0 of 20 left"


# --- fragments ---------------------------------------------------------------------------------------------

def pieces(bed, *wanted, seconds=1, enough=None):
    """Sends fragments of one datagram of c1; (offset, more, octets), the first carries the UDP header."""
    ident, bad, good = bed.fresh_identification(), 0, 0
    bed.s.clear()
    for offset, more, data in wanted:
        bed.c1.send(ip(C1, SERVER, UDP, data, ident, 1 if more else 0, offset))
    for packet in bed.s.arrived(lambda p: p.protocol == UDP or b"EVIL" in p.data, seconds, enough):
        bad += b"EVIL" in packet.body
        good += b"GOOD" in packet.body
    return good, bad


def fragment_control(bed):
    whole = udp_body(C1, SERVER, bed.fresh_port(), 7100, b"GOOD" * 30)
    good, _ = pieces(bed, (0, True, whole[:64]), (64, False, whole[64:]), seconds=PATIENCE, enough=2)
    expect(good, "control: a datagram in two fragments did not pass")


def check_12(bed):
    fragment_control(bed)
    whole = udp_body(C1, SERVER, bed.fresh_port(), 7101, b"GOOD" * 14)
    _, bad = pieces(bed, (0, True, whole[:32]), (16, True, b"EVIL" * 8), (48, False, whole[48:]))
    expect(bad == 0, "overlapping data left")
    return "dropped"


def check_13(bed):
    fragment_control(bed)
    whole = udp_body(C1, SERVER, bed.fresh_port(), 7102, b"GOOD" * 14)
    good, bad = pieces(bed, (0, True, whole[:32]), (0, True, whole[:8] + b"EVIL" * 6), (32, False, whole[32:]))
    expect(bad == 0, "the second copy left")
    return "first copy kept" if good else "dropped"


def check_14(bed):
    good, bad = pieces(bed, (64, False, b"EVIL" * 16))
    expect(good + bad == 0, "left")
    return "dropped"


def check_15(bed):
    bed.s.clear()
    for _ in range(20):
        pieces_of = udp_body(C1, SERVER, bed.fresh_port(), 7103, b"x" * 1000)
        bed.c1.send(ip(C1, SERVER, UDP, pieces_of[:800], 77, 1, 0))
        bed.c1.send(ip(C1, SERVER, UDP, b"EVIL" * 200, 77, 0, 8189 * 8))
    left = len(bed.s.arrived(lambda p: b"EVIL" in p.body))
    expect(left == 0, "left")
    fragment_control(bed)
    return "alive"


def datagram_in_pieces(bed, index):
    whole = udp_body(C1, SERVER, 30000 + index, 7200, f"legit{index:02}".encode() * 300)
    bed.c1.send(ip(C1, SERVER, UDP, whole[:1400], 1000 + index, 1, 0))
    bed.c1.send(ip(C1, SERVER, UDP, whole[1400:], 1000 + index, 0, 1400))


def whole_datagrams(bed, count):
    # The last fragment of each ends with the index, and goes only when the first one is there.
    return len({packet.body[-7:] for packet in bed.s.arrived(lambda p: p.body[-7:-2] == b"legit", PATIENCE, count)})


def check_16(bed):
    count = 20_000 if bed.quick else 100_000
    data = b"o" * 1200
    bed.s.clear()
    for index in range(count):
        # Sources of the Internet: in other networks than the router's own.
        bed.s.send(ip(f"198.51.{100 + index % 3}.{1 + index // 3 % 250}", ROUTER_WAN, UDP, data, index % 65536, 1,
                      0 if index % 2 else 1480))
        if index % (count // 40) == 0:
            datagram_in_pieces(bed, 20 + index // (count // 40))
    during = whole_datagrams(bed, 40)
    bed.s.clear()
    for index in range(20):
        datagram_in_pieces(bed, index)
    after = whole_datagrams(bed, 20)
    words = f"{during} of 40 arrived during {count}, {after} of 20 after"
    expect(during >= 38 and after == 20, words)
    return words


# --- one device takes everything -----------------------------------------------------------------------------

def newcomers(bed, count=100):
    """How many new sessions of c1 get through."""
    bed.s.clear()
    for index in range(count):
        bed.c1.send(udp(C1, SERVER, 40000 + index, 7300, b"new"))
        time.sleep(0.003)
    return len({p.ports()[0] for p in bed.s.arrived(
        lambda p: p.protocol == UDP and p.body[8:11] == b"new", PATIENCE, count)})


def room(bed):
    """How many sessions the kernel's table holds on this machine: namespaces cannot set it."""
    if isinstance(bed.world.router, Underpass):
        return SESSIONS
    with open("/proc/sys/net/netfilter/nf_conntrack_max") as limit:
        return int(limit.read())


class NotComparable(Exception):
    """The attack did not reach its state here: no verdict."""


def expect_full(bed):
    """The kernel counts what it holds; a table with room left says nothing about a full one."""
    if isinstance(bed.world.router, Underpass):
        return
    held = int(bed.world.nodes["rt"].sh("cat /proc/sys/net/netfilter/nf_conntrack_count"))
    if held < room(bed) * 0.98:
        raise NotComparable(f"only {held} of {room(bed)} places taken")


def keep_entries(bed):
    """The kernel's table is the host's, and filling it takes longer than its entries live. A setting of this
    namespace alone."""
    bed.world.nodes["rt"].sh("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600 "
                             "net.netfilter.nf_conntrack_udp_timeout_stream=600")


def check_17(bed):
    connection = bed.connection()
    if not isinstance(bed.world.router, Underpass):
        keep_entries(bed)
    running, sent = threading.Event(), [0]
    try:

        def flood():
            number, pace = 0, Pace()
            while not running.is_set():
                number += 1
                pace.wait()
                bed.c2.send(udp(C2, SERVER, 1024 + number % 60000, 9000 + number // 60000 % 5000, b"flood"))
                sent[0] = number
        thread = threading.Thread(target=flood)
        thread.start()
        start = time.monotonic()
        while sent[0] < room(bed) * 1.1 and time.monotonic() - start < 150 or time.monotonic() - start < 2:
            time.sleep(0.1)
        filled = sent[0]
        if filled < room(bed):
            raise NotComparable(f"only {filled} packets for {room(bed)} places")
        expect_full(bed)
        new = newcomers(bed)
        alive = connection.alive()
        rate = sent[0] / (time.monotonic() - start)
        running.set()
        thread.join()
        words = f"new flows {new} %, established {'lives' if alive else 'lost'}, {rate / 1000:.0f} k pps, {room(bed)} places"
        expect(new >= 99 and alive, words)
        return words
    finally:
        running.set()
        connection.close()


def check_18(bed):
    count = room(bed) - 1
    running, answered = threading.Event(), [0]

    def answer():
        while not running.is_set():
            for packet in bed.s.arrived(lambda p: p.protocol == UDP and b"take" in p.body, 0.2, 64):
                source, target = packet.ports()
                bed.s.send(udp(SERVER, ROUTER_WAN, target, source, b"answer"))
                answered[0] += 1
    rounds = 1
    if not isinstance(bed.world.router, Underpass):
        # It makes room among entries that were not answered twice, two seconds apart.
        rounds = 2
        keep_entries(bed)
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        for turn in range(rounds):
            for index in range(count):
                bed.c2.send(udp(C2, SERVER, 1024 + index % 60000, 9000 + index // 60000, b"take"))
                if index % 50 == 0:
                    time.sleep(0.002)
                    # Not faster than the answers, nor for ever if some were lost.
                    end = time.monotonic() + 0.2
                    while rounds > 1 and turn * count + index > answered[0] + 3000 and time.monotonic() < end:
                        time.sleep(0.005)
            time.sleep(3)
    finally:
        running.set()
        thread.join()
    expect_full(bed)
    new = newcomers(bed)
    words = f"others {new} of 100, {count} asked, {answered[0]} answers"
    expect(new >= 99, words)
    return words


# --- PPTP --------------------------------------------------------------------------------------------------

def control_message(kind, body):
    return struct.pack("!HHIHH", 12 + len(body), 1, 0x1a2b3c4d, kind, 0) + body


def start_message(kind):
    return control_message(kind, struct.pack("!HBBIIHH64s64s", 0x100, 1 if kind == 2 else 0, 0, 3, 3, 1 if kind == 2 else 0,
                                             1, b"host", b"vendor"))


def call_request(call):
    return control_message(7, struct.pack("!HHIIIIHHHH64s64s", call, call, 2400, 10_000_000, 3, 3, 64, 0, 0, 0, b"", b""))


def call_reply(call, peer):
    return control_message(8, struct.pack("!HHBBHIHHI", call, peer, 1, 0, 0, 10_000_000, 64, 0, 0))


class Pptp:
    """One control connection of c1 and its calls; both ends are ours, so every Call ID is known."""

    def __init__(self, bed, halves=False):
        self.bed, self.halves = bed, halves
        # No two calls with one Call ID.
        self.fresh_ids = list(zip(random.sample(range(1, 65536), 4), random.sample(range(1, 65536), 4)))
        listener = socket_in(bed.nodes["s"], socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SERVER, 1723))
        listener.listen(4)
        listener.settimeout(PATIENCE)
        self.client = socket_in(bed.nodes["c1"], socket.AF_INET, socket.SOCK_STREAM)
        self.client.settimeout(PATIENCE)
        self.client.connect((SERVER, 1723))
        self.server, _ = listener.accept()
        self.server.settimeout(PATIENCE)
        listener.close()
        for end in (self.client, self.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.say(self.client, self.server, start_message(1))
        self.say(self.server, self.client, start_message(2))
        self.calls = []

    def say(self, sender, receiver, message):
        parts = [message[:10], message[10:14], message[14:]] if self.halves else [message]
        for part in parts:
            sender.sendall(part)
            if self.halves:
                time.sleep(0.05)
        heard = received(receiver, len(message))
        expect(len(heard) == len(message), "control: a message of the control connection was lost")
        return heard

    def call(self):
        """(client's Call ID inside, the same outside, server's Call ID)"""
        inside, server = self.fresh_ids[len(self.calls)]
        outside = struct.unpack("!H", self.say(self.client, self.server, call_request(inside))[12:14])[0]
        heard = self.say(self.server, self.client, call_reply(server, outside))
        server_inside = struct.unpack("!H", heard[12:14])[0]
        self.calls.append((inside, outside, server_inside))
        return inside, outside, server_inside, server

    def carries(self, call, count=3):
        """How many rounds of GRE both ends see."""
        inside, outside, server_inside, server = call
        up = 0
        for sequence in range(count):
            word = os.urandom(24)
            self.bed.c1.send(gre(C1, SERVER, server_inside, sequence, word))
            there = self.bed.s.arrived(lambda p: p.protocol == GRE and p.body[6:8] == struct.pack("!H", server)
                                       and word in p.body, PATIENCE, 1)
            word = os.urandom(24)
            self.bed.s.send(gre(SERVER, ROUTER_WAN, outside, sequence, word))
            back = self.bed.c1.arrived(lambda p: p.protocol == GRE and p.body[6:8] == struct.pack("!H", inside)
                                       and word in p.body, PATIENCE, 1)
            up += bool(there and back)
        return up

    def close(self):
        self.client.close()
        self.server.close()
        time.sleep(0.3)


def pptp_sweep(bed, source):
    pptp = Pptp(bed)
    try:
        calls = [pptp.call()]
        up = pptp.carries(calls[0])
        expect(up == 3, f"control: GRE of the tunnel {up}/3")
        bed.c1.clear()
        for call in range(65536):
            # A blind sender knows neither the Call ID nor where the sequence numbers are.
            bed.s.send(gre(source, ROUTER_WAN, call, random.getrandbits(32), b"swept"))
            if call % 256 == 0:
                time.sleep(0.002)
        injected = len(bed.c1.arrived(lambda p: b"swept" in p.body, 1.5))
        expect(injected == 0, f"{injected} injected")
        return "0 injected"
    finally:
        pptp.close()


def check_19(bed):
    return pptp_sweep(bed, SERVER)


def check_20(bed):
    return pptp_sweep(bed, THIRD)


def check_21(bed):
    pptp = Pptp(bed)
    try:
        call = pptp.call()
        up = pptp.carries(call)
        expect(up == 3, f"control: GRE of the tunnel {up}/3")
        bed.c1.clear()
        for sequence in (0x7fffffff, 0x80000000, 0xf0000000):
            bed.s.send(gre(SERVER, ROUTER_WAN, call[1], sequence, b"absurd"))
        passed = len(bed.c1.arrived(lambda p: b"absurd" in p.body))
        expect(passed == 0, f"{passed}/3 pass")
        return "0/3 pass"
    finally:
        pptp.close()


def check_22(bed):
    pptp = Pptp(bed, halves=True)
    try:
        up = pptp.carries(pptp.call())
        expect(up == 3, f"GRE {up}/3")
        return "GRE 3/3"
    finally:
        pptp.close()


def check_23(bed):
    pptp = Pptp(bed)
    try:
        first = pptp.carries(pptp.call())
        second = pptp.carries(pptp.call())
        expect(first == 3 and second == 3, f"first call {first}/3, second {second}/3")
        return "first and second call 3/3"
    finally:
        pptp.close()


# --- ESP ---------------------------------------------------------------------------------------------------

def esp_pair(bed, wire, address, count=3):
    """A client's security associations with the server: (rounds out, rounds back, SPI of the answers)."""
    out_spi, in_spi = random.getrandbits(31) + 256, random.getrandbits(31) + 256
    out = back = 0
    for sequence in range(1, count + 1):
        wire.send(esp(address, SERVER, out_spi, sequence))
        out += bool(bed.s.arrived(lambda p: p.protocol == ESP and p.body[:4] == struct.pack("!I", out_spi),
                                  PATIENCE, 1))
        bed.s.send(esp(SERVER, ROUTER_WAN, in_spi, sequence))
        back += bool(wire.arrived(lambda p: p.protocol == ESP and p.body[:4] == struct.pack("!I", in_spi), PATIENCE, 1))
    return out, back


def check_24(bed):
    first = esp_pair(bed, bed.c1, C1)
    expect(first == (3, 3), f"control: the first client {first[0]}/3 out, {first[1]}/3 back")
    second = esp_pair(bed, bed.c2, C2)
    expect(second == (3, 3), f"second client {second[0]}/3 out, {second[1]}/3 back")
    return "second client 3/3 out, 3/3 back"


def check_25(bed):
    first = esp_pair(bed, bed.c1, C1)
    expect(first == (3, 3), f"control: the client {first[0]}/3 out, {first[1]}/3 back")
    bed.c1.clear()
    for _ in range(1000):
        bed.s.send(esp(SERVER, ROUTER_WAN, random.getrandbits(31) + 256, random.getrandbits(16), b"random spi"))
        time.sleep(0.001)
    delivered = len(bed.c1.arrived(lambda p: b"random spi" in p.body))
    expect(delivered == 0, f"{delivered} of 1000 delivered")
    return "0 of 1000 delivered"


# --- a server inside ---------------------------------------------------------------------------------------

WEB = """
import hashlib, http.server, socketserver, sys
blob = open(sys.argv[1], "rb").read()
class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.reply(blob)
    def do_PUT(self):
        self.reply(hashlib.sha256(self.rfile.read(int(self.headers["Content-Length"]))).hexdigest().encode())
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    request_queue_size = 64
    daemon_threads = True
Server(("0.0.0.0", 8443), Handler).serve_forever()
"""


def forward_to_c1(bed):
    """Port 8443 outside is c1's."""
    rt, router = bed.world.nodes["rt"], bed.world.router
    if isinstance(router, Underpass):
        router.ctl(rt, "rules", "forwards", "add", "tcp", "--port", "8443", "--to", C1, "--on-live", "drop")
    else:
        rt.sh(f"""nft -f - <<'RULES'
table ip forwards {{
  chain arrive {{ type nat hook prerouting priority dstnat; iifname "wan0" tcp dport 8443 dnat to {C1}; }}
}}
RULES
nft insert rule ip router pass ct status dnat accept""")


def check_27(bed):
    count = 40_000 if bed.quick else 300_000
    c1, s = bed.nodes["c1"], bed.nodes["s"]
    blob = bed.world.folder / "blob"
    blob.write_bytes(random.randbytes(3 << 20))
    right = hashlib.sha256(blob.read_bytes()).hexdigest()
    script = bed.world.folder / "web.py"
    script.write_text(WEB)
    # A server without a defence of its own; one that has it spends a share of the link on it instead.
    c1.sh("sysctl -qw net.ipv4.tcp_syncookies=0")
    c1.sh("nft 'add table ip count; add counter ip count syns; add chain ip count input { type filter hook "
          "prerouting priority raw; }; add rule ip count input tcp dport 8443 tcp flags & (syn | ack) == syn counter "
          "name syns'")
    c1.start("web", f"{sys.executable} {script} {blob}")
    until(20, "control: the server does not listen", lambda: ":8443" in c1.sh("ss -ltn"))
    forward_to_c1(bed)
    url = f"http://{ROUTER_WAN}:8443/"

    def guest():
        """One file there, one back; whether both arrived as they were."""
        def curl(*words):
            done = subprocess.run(s.inside(["curl", "-sS", "--max-time", "30", *words, url]), capture_output=True,
                                  check=False)
            return done.stdout
        back = hashlib.sha256(curl()).hexdigest() == right
        return back and curl("-T", str(blob)).decode(errors="replace") == right

    def syns():
        said = json.loads(c1.sh("nft -j list counter ip count syns"))
        return said["nftables"][-1]["counter"]["packets"]

    def held():
        """Sessions in the router's table."""
        if isinstance(bed.world.router, Underpass):
            status = bed.world.router.ctl(bed.world.nodes["rt"], "--json", "status")
            return int(json.loads(status)["sessions"])
        return int(bed.world.nodes["rt"].sh("cat /proc/sys/net/netfilter/nf_conntrack_count"))
    expect(guest(), "control: without a flood a guest is not served")
    at_first, before = syns(), held()
    sent, ended = [0], threading.Event()

    def flood():
        pace = Pace()
        while sent[0] < count or not ended.is_set():
            pace.wait()
            source = f"11.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
            bed.s.send(tcp(source, ROUTER_WAN, random.randrange(1024, 65536), 8443, random.getrandbits(32), 0, SYN))
            sent[0] += 1
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        end = time.monotonic() + 30
        while sent[0] < count // 4 and time.monotonic() < end:
            time.sleep(0.05)
        guests = sum(guest() for _ in range(10))
    finally:
        ended.set()
        thread.join()
    time.sleep(1)
    reached = syns() - at_first
    grown = held() - before
    words = f"guests {guests} of 10, server saw {reached} of {sent[0]} SYNs, {grown} sessions more"
    # Each guest has two connections.
    expect(guests == 10 and reached - 20 <= sent[0] // 100 and grown <= 200, words)
    return words


# --- the table ---------------------------------------------------------------------------------------------

CHECKS = {
    1: ("1,000 blind resets out of window", check_1),
    2: ("50 resets in the window, not exact", check_2),
    3: ("50 forged SYNs on the connection", check_3),
    4: ("1,000 resets with a neighbour's address", check_4),
    5: ("200 data segments with a neighbour's address", check_5),
    6: ("100 forged fragmentation-needed", check_6),
    7: ("100 forged port-unreachable", check_7),
    8: ("100 redirects", check_8),
    9: ("outside to inside by direct route", check_9),
    10: ("7 martian sources", check_10),
    11: ("foreign source from inside", check_11),
    12: ("overlapping fragments", check_12),
    13: ("duplicate fragment with other data", check_13),
    14: ("lone later fragment", check_14),
    15: ("fragment beyond 65,535 octets", check_15),
    16: ("orphan fragments, 60 genuine datagrams", check_16),
    17: ("flood of unanswered sessions", check_17),
    18: ("one device takes the table, answered", check_18),
    19: ("Call ID sweep with the server's address", check_19),
    20: ("Call ID sweep with a third address", check_20),
    21: ("absurd GRE sequence numbers", check_21),
    22: ("PPTP messages in pieces", check_22),
    23: ("second call on one control connection", check_23),
    24: ("second ESP client of one gateway", check_24),
    25: ("1,000 random SPIs from the gateway", check_25),
    26: ("path MTU of the address by pings", check_26),
    27: ("SYN flood at a port forward, guests meanwhile", check_27),
}
# What leaves no state behind for others shares a world; the rest has one of its own.
GROUPS = [list(range(1, 16)) + [26], [16], [17], [18], [19, 20, 21, 22, 23], [24], [25], [27]]


WORDS = {True: "pass", False: "FAIL", None: "----"}


def run(make, wanted, quick, show):
    verdicts = {}
    for group in GROUPS:
        numbers = [number for number in group if number in wanted]
        if not numbers:
            continue
        try:
            with World(make(group)) as world:
                bed = Bed(world, quick)
                for number in numbers:
                    start = time.monotonic()
                    bed.clear()
                    try:
                        verdicts[number] = (True, CHECKS[number][1](bed))
                    except NotComparable as why:
                        verdicts[number] = (None, str(why))
                    except (Failed, OSError, subprocess.SubprocessError) as problem:
                        verdicts[number] = (False, str(problem).replace("\n", " ")[:140])
                    show(world.router.name, number, *verdicts[number], time.monotonic() - start)
                bed.close()
        except Failed as problem:
            for number in numbers:
                verdicts.setdefault(number, (False, f"no router: {problem}"[:250]))
    return verdicts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--router", default="underpass", choices=["underpass", "kernel", "both"])
    parser.add_argument("--quick", action="store_true", help="fewer orphan fragments in check 16")
    parser.add_argument("numbers", nargs="*", type=int)
    asked = parser.parse_intermixed_args()
    missing = [program for program in ("ip", "nsenter", "unshare", "nft", "ethtool", "ping", "curl") if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        print("skipped: needs root and these programs: " + " ".join(missing))
        return 77
    wanted = set(asked.numbers or CHECKS)
    makers = {"underpass": lambda group: (SmallUnderpass if group in ([17], [18]) else Underpass)(asked.bin),
              "kernel": lambda group: Kernel()}
    columns = {}

    def show(router, number, passed, words, seconds):
        print(f"  {router:10} {number:2} {WORDS[passed]}  {words} ({seconds:.1f} s)", flush=True)
    for router, make in makers.items():
        if asked.router in (router, "both"):
            columns[router] = run(make, wanted, asked.quick, show)
    print(f"{'':51}" + "".join(f"{router:45}" for router in columns))
    for number in sorted(wanted):
        cells = "".join(f"{WORDS[column[number][0]] + ' ' + column[number][1]:44.44} "
                        for column in columns.values())
        print(f"{number:2} {CHECKS[number][0]:47} {cells}".rstrip())
    for router, column in columns.items():
        print(f"{router}: {sum(bool(passed) for passed, _ in column.values())} of {len(column)}"
              f"{''.join(f', {number} without a verdict' for number in column if column[number][0] is None)}")
    return 0 if all(passed for passed, _ in columns.get("underpass", {}).values()) else 1


if __name__ == "__main__":
    sys.exit(main())
