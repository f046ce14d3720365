#!/usr/bin/env python3
"""The user's rules at a live router, by underpassctl alone: rules_test.py UNDERPASSD

One line per check; exit status 1 if one failed, 77 if the machine cannot run it."""
import json
import pathlib
import subprocess
import sys
import time

from lab import LAN_HOST, TCP_ECHO, UDP_ECHO, WAN_HOST, WAN_ROUTER, Lab, need, stop, wait_for

failures = 0
OWN = "203.0.113.78"  # the external address that one device gets for itself

MIRROR = """
import socket, sys
socks = []
import selectors
sel = selectors.DefaultSelector()
for port in (9, 10):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], port)); sel.register(s, 1)
print('ready', flush=True)
while True:
    for key, _ in sel.select():
        _, peer = key.fileobj.recvfrom(65535)
        key.fileobj.sendto(('%s:%d' % peer).encode(), peer)
"""
# What the mirror sees of sockets bound to these ports: one line per answer, "-" for none after so many seconds.
SEEN = """
import socket, sys
for port in map(int, sys.argv[2].split(',')):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', port)); s.settimeout(float(sys.argv[4]))
    for to in map(int, sys.argv[3].split(',')):
        try:
            s.sendto(b'who', (sys.argv[1], to)); print(s.recvfrom(64)[0].decode())
        except OSError: print('-')
"""
# Who answers a call, or why nobody does, after so many seconds.
ASK = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])); s.sendall(b'hi')
    print(s.recv(9).decode(), s.getpeername()[0])
except OSError as problem: print(type(problem).__name__)
"""
# A connection that says its port, then a word each time it is asked to, and what came of it after so many seconds.
TALK = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
print(s.getsockname()[1], flush=True)
for line in sys.stdin:
    s.settimeout(float(line))
    try: s.sendall(b'word'); print('moves' if s.recv(9) == b'word' else 'closed', flush=True)
    except OSError as problem: print(type(problem).__name__, flush=True)
"""


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}", flush=True)


def main():
    program = sys.argv[1]
    ctl = str(pathlib.Path(program).parent / "underpassctl")
    need("ip", "nft", "tc")
    with Lab("uprules") as lab:
        def rules(*words):
            """(exit status, what it said)"""
            done = subprocess.run(lab.inside("rt", [ctl, "--control", str(lab.folder / "control"), *words]),
                                  text=True, capture_output=True, timeout=60)
            return done.returncode, (done.stdout + done.stderr).strip()

        def says(name, status, words, *command):
            got, text = rules(*command)
            check(name, got == status and words in text, text.splitlines()[-1:] or got)
            return text

        def kept():
            """What is kept from the host's own stack on the external card."""
            return [row["detail"] for row in json.loads(rules("host", "list", "--json")[1])["settings"]
                    if row["kind"] == "traffic" and row["interface"] == "ext0"][0]

        def run(role, code, *arguments):
            return lab.python(role, code, *arguments, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).communicate(timeout=120)[0].split("\n")[:-1]

        def asks(role, address, port, seconds=20):
            return run(role, ASK, address, port, seconds)[0]

        def nobody(role, address, port):
            """Two seconds of silence, or a refusal: more than a router takes, however busy, when it lets somebody in."""
            return not asks(role, address, port, 2).startswith("hi")

        def sees(address, ports, to, seconds=20):
            return run("lan", SEEN, address, ports, to, seconds)

        def one_mapping(port):
            seen = sees(WAN_HOST, port, "9,10")
            return len(seen) == 2 and len(set(seen)) == 1 and seen[0] != "-"

        def talks(role, address, port):
            process = lab.python(role, TALK, address, port, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
            port = process.stdout.readline().strip()
            # What a rule's effect is told from is a picture taken from time to time: one that has this connection.
            ends = (f"{WAN_HOST}:{port}", f"{LAN_HOST}:{port}")
            seen = port and wait_for(lambda: any(
                s["remote"] in ends or s["internal"] in ends
                for s in json.loads(rules("connections", "list", "--json")[1])), 20)
            taken = pictured()
            return process if seen and wait_for(lambda: pictured() > taken, 20) else None

        def pictured():
            return json.loads(rules("status", "--json")[1])["at"]

        def moves(process, seconds=20):
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
            return process.stdout.readline().strip() == "moves"

        def drops(reason):
            _, text = rules("counters", "--json")
            return sum(value for key, value in flat(json.loads(text)) if key.endswith(reason))

        def flat(tree, path=""):
            if isinstance(tree, dict):
                for key, value in tree.items():
                    yield from flat(value, f"{path}.{key}")
            elif isinstance(tree, list):
                for item in tree:
                    name = item.get("reason", item.get("name", "")) if isinstance(item, dict) else ""
                    yield from flat(item, f"{path}.{name}")
            elif isinstance(tree, int):
                yield (path.rsplit(".", 1)[0] if path.endswith((".count", ".packets", ".value")) else path), tree

        for role, code, *arguments in (("lan", TCP_ECHO, LAN_HOST, 80), ("lan", TCP_ECHO, LAN_HOST, 9999),
                                       ("lan", UDP_ECHO, LAN_HOST, 80), ("srv", TCP_ECHO, WAN_HOST, 7),
                                       ("rt", TCP_ECHO, WAN_ROUTER, 8022), ("srv", MIRROR, WAN_HOST)):
            lab.python(role, code, *arguments, stdout=subprocess.PIPE).stdout.readline()
        process = lab.router(program)
        try:
            # Port forwards.
            says("port 47 is explained", 2, "protocol 47", "rules", "forwards", "add", "tcp", "--port", "47", "--to",
                 LAN_HOST)
            says("a forward is made", 0, "", "rules", "forwards", "add", "tcp", "--port", "8080", "--to", LAN_HOST,
                 "--to-port", "80", "--name", "web")
            check("and reached from outside", asks("srv", WAN_ROUTER, 8080).startswith("hi"))
            check("and from inside, by the external address", asks("lan", WAN_ROUTER, 8080).startswith("hi"))
            says("an overlapping one is refused by name", 1, "web (1)", "rules", "forwards", "add", "tcp", "--port",
                 "8000-8100", "--to", LAN_HOST)
            says("a port of the host's own is refused", 1, "used by this computer", "rules", "forwards", "add", "tcp",
                 "--port", "8022", "--to", LAN_HOST)
            says("an address elsewhere is refused", 1, "not in the internal network", "rules", "forwards", "add",
                 "udp", "--port", "90", "--to", "10.9.9.9")
            for taken in ("192.168.5.1", "192.168.5.0", "192.168.5.255"):
                says(f"{taken} is no device", 1, "no device has it", "rules", "forwards", "add", "udp", "--port",
                     "90", "--to", taken)
            for protocol in ("ah", "icmp", "sctp", "89"):
                says(f"{protocol} cannot be forwarded", 1, "cannot pass address translation", "rules", "forwards",
                     "add", protocol, "--to", LAN_HOST)
            listed = json.loads(rules("rules", "forwards", "list", "--json")[1])
            check("the hits are counted", listed[0]["hits"] >= 2, listed[0]["hits"])
            connection = talks("srv", WAN_ROUTER, 8080)
            says("switching it off asks first", 1, "--on-live finish", "rules", "forwards", "disable", "1")
            check("and has done nothing", moves(connection) and asks("srv", WAN_ROUTER, 8080).startswith("hi"))
            text = says("switching it off says what ends", 0, "live session", "rules", "forwards", "disable", "1",
                        "--on-live", "drop")
            check("and ends it", "web" in text and not moves(connection, 3))
            stop(connection)
            check("and nobody gets in any more", nobody("srv", WAN_ROUTER, 8080))
            says("undo", 0, "", "rules", "undo")
            check("gives it back", asks("srv", WAN_ROUTER, 8080).startswith("hi"))

            # What lives may outlive its forward, though the port is of those that the host draws from.
            rules("rules", "forwards", "remove", "1", "--on-live", "drop")
            rules("rules", "forwards", "add", "tcp", "--port", "40000", "--to", LAN_HOST, "--to-port", "80")
            connection = talks("srv", WAN_ROUTER, 40000)
            check("a connection through it moves data", connection and moves(connection))
            says("removing it may let that run on", 0, "until", "rules", "forwards", "remove", "1",
                 "--on-live", "finish")
            time.sleep(3)  # longer than the router takes to look at the host's ports again
            check("it goes on moving data", all(moves(connection) for _ in range(5)))
            check("and a new one is refused", nobody("srv", WAN_ROUTER, 40000))
            check("while the other goes on", moves(connection))
            check("the port is kept from the host while it does", "40000" in kept())
            number = [s["serial"] for s in json.loads(rules("connections", "list", "--json")[1])
                      if s["external"].endswith(":40000")]
            says("a session is closed by its number", 0, "", "connections", "close", str(number[0]))
            check("and the port is the host's again", wait_for(lambda: "40000" not in kept(), 60, 0.5), kept()[:60])
            says("one that is not there", 1, "", "connections", "close", "1")
            stop(connection)
            rules("rules", "undo")
            connection = talks("srv", WAN_ROUTER, 40000)
            check("with the forward given back a new one moves data", connection and moves(connection))
            says("removing it may end that", 0, "with it", "rules", "forwards", "remove", "1", "--on-live",
                 "drop")
            check("and does", not moves(connection, 3))
            check("and a new one is refused", nobody("srv", WAN_ROUTER, 40000))
            stop(connection)

            # A port that a program of the host has for itself alone, and one that it takes later.
            lab.python("rt", TCP_ECHO, "127.0.0.1", 8631, stdout=subprocess.PIPE).stdout.readline()
            says("a port that the host has inside alone is free", 0, "", "rules", "forwards", "add", "TCP", "--port",
                 "8631", "--to", LAN_HOST, "--to-port", "80", "--name", "printer")
            check("and forwarded", asks("srv", WAN_ROUTER, 8631).startswith("hi"))
            taker = lab.python("rt", TCP_ECHO.replace("c.sendall(data)", "c.sendall(b'me')"), WAN_ROUTER, 8631,
                               stdout=subprocess.PIPE)
            taker.stdout.readline()
            check("when a program of the host takes it, the forward waits",
                  wait_for(lambda: "printer (1) waits" in rules("rules", "forwards", "list")[1], 40, 0.5))
            hits = json.loads(rules("rules", "forwards", "list", "--json")[1])[0]["hits"]
            check("and the host answers alone", asks("srv", WAN_ROUTER, 8631).startswith("me") and hits ==
                  json.loads(rules("rules", "forwards", "list", "--json")[1])[0]["hits"])
            says("other rules can be made meanwhile", 0, "", "rules", "forwards", "add", "tcp", "--port", "8632",
                 "--to", LAN_HOST)
            stop(taker)
            check("it goes on when the program has ended",
                  wait_for(lambda: "waits" not in rules("rules", "forwards", "list")[1], 40, 0.5)
                  and asks("srv", WAN_ROUTER, 8631).startswith("hi"))
            rules("rules", "forwards", "remove", "2", "--on-live", "drop")
            rules("rules", "forwards", "remove", "1", "--on-live", "drop")

            rules("rules", "forwards", "add", "udp", "--port", "5000-5003", "--to", LAN_HOST, "--to-port", "80",
                  "--from", "203.0.113.99")
            check("a forward for one remote alone is closed for others",
                  run("srv", SEEN, WAN_ROUTER, "6000", "5000", 1) == ["-"])
            rules("rules", "forwards", "remove", "1", "--on-live", "drop")

            # A forward over an external port that a device uses at this moment.
            connection = talks("lan", WAN_HOST, 7)
            used = max((s for s in json.loads(rules("connections", "list", "--json")[1])
                        if s["remote"] == f"{WAN_HOST}:7"), key=lambda s: s["serial"])
            port = used["external"].rsplit(":", 1)[1]
            add = ("rules", "forwards", "add", "tcp", "--port", port, "--to", LAN_HOST, "--to-port", "80")
            says("a forward over a port in use asks first", 1, f"1 live session on TCP port {port}", *add)
            check("and has done nothing", moves(connection)
                  and json.loads(rules("rules", "forwards", "list", "--json")[1]) == [])
            says("it may let that run on", 0, "runs on until it ends", *add, "--on-live", "finish")
            check("which goes on moving data", moves(connection))
            check("while others reach the forward", asks("srv", WAN_ROUTER, int(port)).startswith("hi"))
            rules("rules", "forwards", "remove", "1", "--on-live", "drop")
            check("and outlives it", all(moves(connection) for _ in range(3)))
            stop(connection)
            connection = talks("lan", WAN_HOST, 7)
            used = max((s for s in json.loads(rules("connections", "list", "--json")[1])
                        if s["remote"] == f"{WAN_HOST}:7"), key=lambda s: s["serial"])
            port = used["external"].rsplit(":", 1)[1]
            add = ("rules", "forwards", "add", "tcp", "--port", port, "--to", LAN_HOST, "--to-port", "80")
            says("or may end that", 0, "ends with it", *add, "--on-live", "drop")
            check("and does", not moves(connection, 3))
            stop(connection)
            rules("rules", "forwards", "remove", "1", "--on-live", "drop")

            # NAT types.
            check("one mapping for all remotes", one_mapping("4100"))
            says("another type for some ports of a device", 0, "", "rules", "nat-types", "set", LAN_HOST, "--ports",
                 "4200-4299", "--mapping", "address-and-port-dependent")
            check("is used there", len(set(sees(WAN_HOST, "4200", "9,10")) - {"-"}) == 2)
            check("and nowhere else", one_mapping("4300"))
            says("for a device of another network: refused", 1, "not in the internal network", "rules", "nat-types",
                 "set", "10.0.0.1", "--mapping", "address-dependent")
            rules("rules", "nat-types", "remove", LAN_HOST, "--ports", "4200-4299")

            # Timers.
            says("a timer below its RFC is refused", 1, "shorter than its RFC", "rules", "timers", "set",
                 "udp-two-way", "60s")
            says("one above a week, too", 1, "longer than seven days", "rules", "timers", "set", "udp-two-way",
                 "4000000000h")
            says("opening may be shorter than closing", 0, "", "rules", "timers", "set", "tcp-opening", "45s")
            says("and is shown", 0, "45", "rules", "timers", "show")

            # Limits.
            says("a limit per device", 0, "", "rules", "devices", "allow", LAN_HOST, "--sessions", "5")
            many = sees(WAN_HOST, ",".join(map(str, range(4400, 4412))), "9", 0.5)
            check("holds", many.count("-") >= 7, f"{12 - many.count('-')} of 12 got through")
            check("and is counted", drops("QuotaDevice") > 0, drops("QuotaDevice"))
            says("and is taken back", 0, "", "rules", "devices", "allow", LAN_HOST)
            says("a limit per second", 0, "", "rules", "limits", "set", "new-sessions-per-second", "2")
            sees(WAN_HOST, ",".join(map(str, range(4500, 4520))), "9", 0.01)
            check("is counted", drops("QuotaRate") > 0, drops("QuotaRate"))
            rules("rules", "limits", "set", "new-sessions-per-second", "automatic")

            # Devices.
            connection = talks("lan", WAN_HOST, 7)
            says("blocking a device asks first", 1, "live session", "rules", "devices", "block", LAN_HOST)
            says("and says what ends", 0, "live session", "rules", "devices", "block", LAN_HOST, "--on-live", "drop")
            check("and ends it, and refuses it", not moves(connection, 3) and nobody("lan", WAN_HOST, 7))
            rules("rules", "devices", "vpn-only", LAN_HOST, "--on-live", "drop")
            check("a device that may only use tunnels has no others", nobody("lan", WAN_HOST, 7))
            rules("rules", "devices", "allow", LAN_HOST)
            check("and is free again", asks("lan", WAN_HOST, 7).startswith("hi"))
            stop(connection)

            # 1:1 NAT.
            says("an address that is not ours: refused", 1, "not one of ours", "rules", "one-to-one", "add", LAN_HOST,
                 "203.0.113.200")
            says("nor the only one for one device alone", 1, "expose the device instead", "rules", "one-to-one",
                 "add", LAN_HOST, WAN_ROUTER, "--on-live", "finish")
            lab.sh("rt", f"ip addr add {OWN}/24 dev ext0")
            made = wait_for(lambda: rules("rules", "one-to-one", "add", LAN_HOST, OWN, "--on-live", "drop")[0] == 0, 30, 0.5)
            check("1:1 NAT is made", made)
            check("the device shows its own address, with its own port",
                  sees(WAN_HOST, "4600", "9") == [f"{OWN}:4600"])
            check("and is reached there", wait_for(lambda: asks("srv", OWN, 9999, 2).startswith("hi"), 30, 0.3))
            connection = talks("srv", OWN, 80)
            check("a connection to it moves data", connection and moves(connection))
            says("removing it may let that run on", 0, "until they end", "rules", "one-to-one", "remove", "1",
                 "--on-live", "finish")
            time.sleep(3)
            check("it goes on moving data", all(moves(connection) for _ in range(5)))
            check("and a new one is refused", nobody("srv", OWN, 80))
            stop(connection)
            rules("rules", "undo")
            connection = talks("srv", OWN, 80)
            check("with the rule given back a new one moves data", connection and moves(connection))
            says("removing it may end that", 0, " now.", "rules", "one-to-one", "remove", "1", "--on-live", "drop")
            check("and does", not moves(connection, 3))
            stop(connection)
            lab.sh("rt", f"ip addr del {OWN}/24 dev ext0")
            check("its address gone, the router knows", wait_for(lambda: OWN not in rules("status")[1], 30))

            # Exposed host.
            check("nobody is exposed", nobody("srv", WAN_ROUTER, 9999))
            says("a device is exposed", 0, "", "rules", "exposed-host", "set", LAN_HOST, "--on-live", "drop")
            check("and is reached", asks("srv", WAN_ROUTER, 9999).startswith("hi"))
            check("while the host keeps its own", asks("srv", WAN_ROUTER, 8022).startswith("hi"))
            connection = talks("srv", WAN_ROUTER, 9999)
            check("a connection to it moves data", connection and moves(connection))
            says("exposing it no longer may let that run on", 0, "until", "rules", "exposed-host", "clear",
                 "--on-live", "finish")
            time.sleep(3)
            check("it goes on moving data", all(moves(connection) for _ in range(5)))
            check("and a new one is refused", nobody("srv", WAN_ROUTER, 9999))
            stop(connection)
            rules("rules", "exposed-host", "set", LAN_HOST, "--on-live", "drop")
            connection = talks("srv", WAN_ROUTER, 9999)
            check("exposed again, a new one moves data", connection and moves(connection))
            says("or may end that", 0, "with it", "rules", "exposed-host", "clear", "--on-live", "drop")
            check("and does", not moves(connection, 3))
            stop(connection)

            # Without translation.
            lab.sh("srv", f"ip route add 192.168.5.0/24 via {WAN_ROUTER}")
            says("a destination without translation", 0, "", "rules", "untranslated", "add", WAN_HOST, "--ports", "9")
            check("sees the device's own address", sees(WAN_HOST, "4700", "9") == [f"{LAN_HOST}:4700"])
            check("on that port alone", sees(WAN_HOST, "4700", "10")[0].startswith(WAN_ROUTER))
            check("and it opens nothing", nobody("srv", LAN_HOST, 80))
            rules("rules", "untranslated", "remove", WAN_HOST, "--ports", "9")
            check("translated again", sees(WAN_HOST, "4701", "9")[0].startswith(WAN_ROUTER))

            # All of it is remembered.
            rules("rules", "nat-types", "set", LAN_HOST, "--filtering", "endpoint-independent")
            rules("rules", "untranslated", "add", "198.51.100.0/24")
            shown = [rules("rules", part, "list")[1] for part in ("nat-types", "untranslated")]
            check("SIGTERM ends it cleanly", stop(process) == 0)
            process = lab.router(program)
            check("a restart remembers", LAN_HOST in shown[0] and "198.51.100.0/24" in shown[1] and
                  shown == [rules("rules", part, "list")[1] for part in ("nat-types", "untranslated")])
            check("SIGTERM ends it cleanly", stop(process) == 0)
        finally:
            lab.print_router_log()
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
