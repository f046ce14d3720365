#!/usr/bin/env python3
"""Real VPN programs through the router: run.py BIN_FOLDER [--router underpass|kernel|both] [--controls] [NAME…]

Two clients to one server per scenario. --controls runs each negative control as well: with its switch on
block (PPTP and ESP also on plain) the scenario must fail, and the router's counters must say why. Prints a
table; exit status 0 when underpass passes everything and every control fails, 77 when this machine cannot
run it.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time

from scenarios import SCENARIOS
from world import Failed, Kernel, Underpass, World

# scenario -> (what is switched, how, the reason that the counters must name)
CONTROLS = {
    "pptp": [("pptp", "block", "PassthroughOff"), ("pptp", "plain", None)],
    "l2tp": [("l2tp", "block", "PassthroughOff")],
    "esp": [("ipsec", "block", "PassthroughOff"), ("ipsec", "plain", "OneClientPerServer")],
    "ikev2": [("ipsec-natt", "block", "PassthroughOff")],
    "openvpn-udp": [("openvpn", "block", "PassthroughOff")],
    "wireguard": [("wireguard", "block", "PassthroughOff")],
}
PROGRAMS = ["ip", "nsenter", "unshare", "nft", "ethtool", "ping", "pptp", "pptpd", "pppd", "xl2tpd", "swanctl",
            "openvpn", "wireguard-go", "wg", "ocserv", "openconnect", "openssl", "sstpc", "linux.uml"]


def attempt(name, router, reason=None):
    """(passed, words)"""
    start = time.monotonic()
    try:
        with World(router) as world:
            try:
                SCENARIOS[name](world)
                passed, words = True, "ok"
            except (Failed, subprocess.SubprocessError) as problem:
                passed, words = False, str(problem).replace("\n", " ")[:140]
            if reason and isinstance(router, Underpass):
                counters = router.ctl(world.nodes["rt"], "counters")
                if not re.search(rf"{reason}\D+[1-9]", counters):
                    passed, words = True, f"failed, but the counters do not say {reason}"
    except Failed as problem:
        passed, words = False, str(problem)
    return passed, f"{words} ({time.monotonic() - start:.0f} s)"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--router", default="underpass", choices=["underpass", "kernel", "both"])
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--controls-only", action="store_true")
    parser.add_argument("names", nargs="*")
    wanted = parser.parse_intermixed_args()
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if os.geteuid() != 0 or missing or not os.path.exists("/dev/net/tun"):
        print("skipped: needs root, /dev/net/tun and these programs: " + " ".join(missing))
        return 77
    routers = []
    if wanted.router in ("underpass", "both"):
        routers.append(lambda: Underpass(wanted.bin))
    if wanted.router in ("kernel", "both"):
        routers.append(Kernel)
    bad = 0
    for name in wanted.names or SCENARIOS:
        for make in [] if wanted.controls_only else routers:
            router = make()
            passed, words = attempt(name, router)
            print(f"{name:12} {router.name:10} {'PASS' if passed else 'FAIL'}  {words}", flush=True)
            bad += not passed and isinstance(router, Underpass)
        for protocol, mode, reason in CONTROLS.get(name, []) if wanted.controls or wanted.controls_only else []:
            router = Underpass(wanted.bin, [(protocol, mode)])
            passed, words = attempt(name, router, reason)
            print(f"{name:12} {protocol + '=' + mode:22} {'BAD: passed' if passed else 'fails, as it must'}  {words}",
                  flush=True)
            bad += passed
    return 1 if bad else 0


sys.exit(main())
