#!/usr/bin/env python3
"""Do the numbers agree? window_test.py UNDERPASSD UNDERPASSCTL WINDOW_READER

A device downloads with curl and talks WireGuard through underpassd while the real window, attached to it, is open.
What curl and the peers say they have moved, what underpassctl says, and what the window's tables say must be the same
but for headers and rounding. Exit status 1 if not, 77 if the machine cannot run it."""
import argparse
import json
import os
import re
import subprocess
import sys
import time

from lab import FAR, FILE_SERVER, LAN_HOST, Lab, WAN_HOST, WAN_ROUTER, need, stop, wait_for

failures = 0
WIREGUARD_PORT, PACKETS, PAYLOAD = 51820, 500, 1000

# WireGuard's messages with sealed parts of zeros: an initiation, its answer, and data both ways.
PEER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(2048)
    if data[0] == 1: s.sendto(b'\\2\\0\\0\\0' + b'\\1\\2\\3\\4' + data[4:8] + bytes(80), peer)
    else: s.sendto(b'\\4\\0\\0\\0' + b'\\x0a\\x0b\\x0c\\x0d' + data[8:16] + bytes(len(data) - 16), peer)
"""
CLIENT = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
sent = got = 0
def turn(message):
    global sent, got
    s.send(message)
    sent += len(message) + 28
    got += len(s.recv(2048)) + 28
turn(b'\\1\\0\\0\\0' + b'\\x0a\\x0b\\x0c\\x0d' + bytes(140))
for i in range(int(sys.argv[3])): turn(b'\\4\\0\\0\\0' + b'\\1\\2\\3\\4' + struct.pack('<Q', i) + bytes(int(sys.argv[4])))
print(sent, got)
"""


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}", flush=True)


def octets(text):
    """What "↓ 34.1 MB" or "34.1 MB / 2 kB" says, as numbers; thousands are 1000."""
    units = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
    return [float(number.replace(",", ".")) * units[unit]
            for number, unit in re.findall(r"([\d.,]+)\s*(GB|MB|kB|B)\b", text.replace("\u00a0", " ").replace("\u202f", " "))]


def says(text, wanted):
    """One of the numbers is this one, rounded to three digits."""
    return any(abs(number - wanted) <= wanted * 0.006 + 1 for number in octets(text))


def told(path):
    """What the reader has told so far; a line that it is still writing does not count yet."""
    text = path.read_bytes()
    return [json.loads(line) for line in text[:text.rfind(b"\n") + 1].splitlines() if line.strip()]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("underpassd")
    arguments.add_argument("underpassctl")
    arguments.add_argument("reader")
    arguments.add_argument("--size", type=int, default=48, help="megabytes to download")
    options = arguments.parse_args()
    need("ip", "curl")
    with Lab("upwin") as lab:
        file = lab.folder / "file"
        file.write_bytes(os.urandom(options.size << 20))
        lab.python("srv", FILE_SERVER, FAR, 80, file, stdout=subprocess.PIPE).stdout.readline()
        lab.python("srv", PEER, WAN_HOST, WIREGUARD_PORT, stdout=subprocess.PIPE).stdout.readline()
        router = lab.router(options.underpassd)
        shown = lab.folder / "shown"
        with open(shown, "w") as out:
            window = lab.start("rt", [options.reader, str(lab.folder / "control"), "250"], stdout=out,
                               stderr=subprocess.DEVNULL, env=dict(os.environ, QT_QPA_PLATFORM="offscreen"))

        def ctl(*words):
            return json.loads(lab.sh("rt", " ".join([options.underpassctl, "--control", str(lab.folder / "control"),
                                                     "--json", *words])))
        counted = lab.sh("lan", f"curl -s -o /dev/null -w '%{{size_download}} %{{size_header}}' http://{FAR}/", timeout=100)
        body, header = map(int, counted.split())
        said = lab.python("lan", CLIENT, WAN_HOST, WIREGUARD_PORT, PACKETS, PAYLOAD,
                          stdout=subprocess.PIPE).communicate(timeout=60)[0]
        sent, got = map(int, said.split())

        # The last packets of the connection's end may still be on their way.
        def at_rest():
            before = ctl("counters")["inbound"]
            time.sleep(0.6)
            return ctl("counters")["inbound"] == before
        wait_for(at_rest, 30)
        session = [s for s in ctl("connections", "list") if s["remote"] == f"{FAR}:80"][0]
        moved = session["inbound"]["bytes"]
        # Between one header of 52 octets per 64 KB and one per segment of 1,448, and a handshake; and what the
        # server says it had to send again, as on a busy machine.
        again = int(re.search(r"TcpRetransSegs\s+(\d+)", lab.sh("srv", "nstat -asz TcpRetransSegs")).group(1))
        least, most = body + header, (body + header) * (1 + 60 / 1400) + 1000 + again * 1500
        check("connections list agrees with curl", least <= moved <= most,
              f"curl {body}+{header}, router {moved}, {again} segments again")
        tunnel = ctl("tunnels", "list")[0]
        check("tunnels list agrees with the peers", (tunnel["outbound"]["bytes"], tunnel["inbound"]["bytes"]) == (sent, got),
              f"peers {sent}/{got}, router {tunnel['outbound']['bytes']}/{tunnel['inbound']['bytes']}")
        total = ctl("counters")["inbound"]["bytes"]
        check("counters agree with both", total == moved + got, f"{total} = {moved} + {got}")

        begun = len(told(shown))

        def rows(page, of_it):
            """The rows that are meant, as somebody reads them, as the page was last told since then."""
            turns = [now["tables"] for now in told(shown)[begun:] if now["page"] == page]
            return [" ".join(map(str, row.values())) for table in (turns[-1] if turns else []) for row in table
                    if of_it(row)]

        def agrees(name, page, of_it, *wanted):
            """Every page has its turn, and some time to ask: a minute on a busy machine."""
            found = []

            def right():
                found[:] = rows(page, of_it)
                return len(found) == 1 and any(all(says(found[0], number) for number in numbers) for numbers in wanted)
            check(name, wait_for(right, 60, 0.5), found)
        # The whole cell: the other session's external port is random and may begin with 80, too.
        agrees("the window's connection agrees with curl", "connections", lambda row: f"{FAR}:80" in row.values(), [moved])
        agrees("the window's tunnel agrees with the peers", "tunnels", lambda row: "WireGuard" in str(row), [sent, got])
        agrees("the window's device agrees with both", "devices", lambda row: LAN_HOST in str(row), [moved + got],
               [moved + got + session["outbound"]["bytes"] + sent])
        held = [""]

        def tells():
            held[0] = " ".join(str(label) for now in told(shown)[begun:] if now["page"] == "settings"
                               for label in now["labels"])
            return "Held by the service" in held[0] and "clsact" in held[0] and WAN_ROUTER in held[0]
        check("the window tells what the service holds", wait_for(tells, 60, 0.5), len(held[0]))
        check("the window ends on SIGTERM", stop(window) == 0)
        check("and the router goes on", router.poll() is None)
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
