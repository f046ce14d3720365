#!/usr/bin/env python3
"""What the user sets is what others measure: nat_behaviour.py BIN_FOLDER

Sets each filtering of RFC 4787 with underpassctl and asks programs that know nothing of it: coturn's
turnutils_natdiscovery (RFC 5780) and the classic stun client (RFC 3489) over UDP, tcp_behaviour.py over TCP.
The last two have another mapping: they must see that one too. Exit status 77 when this machine cannot run it.
"""
import os
import re
import shutil
import subprocess
import sys

from world import HERE, SERVER, Failed, Underpass, World, until

SERVER_TOO = "203.0.113.11"
PROGRAMS = ["ip", "nsenter", "unshare", "ethtool", "ping", "turnserver", "turnutils_natdiscovery", "stun"]
INDEPENDENT, ADDRESS, PORT = "endpoint-independent", "address-dependent", "address-and-port-dependent"
CASES = [(INDEPENDENT, INDEPENDENT), (INDEPENDENT, ADDRESS), (INDEPENDENT, PORT), (ADDRESS, ADDRESS), (PORT, PORT)]
# The words of the classic client for the same things; with a dependent mapping it does not look further.
CLASSIC = {
    (INDEPENDENT, INDEPENDENT): "Independent Mapping, Independent Filter",
    (INDEPENDENT, ADDRESS): "Independent Mapping, Address Dependent Filter",
    (INDEPENDENT, PORT): "Independent Mapping, Port Dependent Filter",
    (ADDRESS, ADDRESS): "Dependent Mapping",
    (PORT, PORT): "Dependent Mapping",
}


def discovery(client, switch, word):
    out = client.sh(f"timeout 60 turnutils_natdiscovery {switch} {SERVER} 2>&1", timeout=70, check=False)
    kinds = re.findall(rf"NAT with ([A-Za-z ]+) {word}", out)
    return kinds[-1].strip().lower().replace(" ", "-") if kinds else "nothing: " + out.strip()[-200:]


def classic(client):
    out = client.sh(f"timeout 60 stun {SERVER} 2>&1", timeout=70, check=False)
    found = re.search(r"Primary: (.*?)(?:, (?:preserves|random) .*)?$", out, re.MULTILINE)
    return found.group(1).strip() if found else "nothing: " + out.strip()[-200:]


def tcp(client, question):
    return client.sh(f"/usr/bin/python3 {HERE}/tcp_behaviour.py {question} {SERVER} {SERVER_TOO} 2>&1",
                     check=False).strip()[-200:]


def servers(world):
    s1 = world.nodes["s1"]
    s1.sh(f"ip addr add {SERVER_TOO}/24 dev eth0")
    s1.start("turnserver", f"turnserver -n -L {SERVER} -L {SERVER_TOO} -p 3478 --alt-listening-port 3479 --no-tls "
             "--no-dtls --no-auth -r test --pidfile /run/turn.pid --log-file stdout --simple-log --no-cli "
             "--userdb /run/turndb")
    s1.start("tcp", f"/usr/bin/python3 {HERE}/tcp_behaviour.py serve {SERVER} {SERVER_TOO}")
    for address in (SERVER, SERVER_TOO):
        for port in (3478, 3479):
            until(60, f"turnserver does not listen on {address}:{port}",
                  lambda here=f"{address}:{port} ": here in s1.sh("ss -lun"))
        for port in (3500, 3501):
            until(60, f"no listener on {address}:{port}", lambda here=f"{address}:{port} ": here in s1.sh("ss -ltn"))


def main():
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        print("skipped: needs root and these programs: " + " ".join(missing))
        return 77
    bad = 0
    router = Underpass(sys.argv[1])
    with World(router) as world:
        servers(world)
        client = world.nodes["c1"]
        print(f"{'set: mapping, filtering':56} {'asked':30} answer")
        for mapping, filtering in CASES:
            router.ctl(world.nodes["rt"], "rules", "nat", "set", "all", "--mapping", mapping, "--filtering", filtering)
            for asked, expected, ask in (
                    ("UDP mapping, natdiscovery", mapping, lambda: discovery(client, "-m", "Mapping")),
                    ("UDP filtering, natdiscovery", filtering, lambda: discovery(client, "-f", "Filtering")),
                    ("UDP, stun", CLASSIC[mapping, filtering], lambda: classic(client)),
                    ("TCP mapping", mapping, lambda: tcp(client, "mapping")),
                    ("TCP filtering", filtering, lambda: tcp(client, "filtering"))):
                answer = ask()
                verdict = "" if answer == expected else f"  BAD: expected {expected}"
                bad += answer != expected
                print(f"{mapping + ', ' + filtering:56} {asked:30} {answer}{verdict}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, subprocess.SubprocessError) as problem:
        print(f"FAIL {problem}")
        sys.exit(1)
