#!/usr/bin/env python3
"""Real VPN programs through the router: run.py BIN_FOLDER [--router underpass|kernel|both] [--controls] [NAME…]

Two clients to one server per scenario. --controls runs each negative control as well: with its switch on
block (PPTP and ESP also on plain) the scenario must fail, and the router's counters must say why. Prints a
table; exit status 0 when underpass passes everything and every control fails, 1 when not, 77 when all that
was run went well but this machine cannot run something: SKIP names it.
"""
import argparse
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import programs
import world
from scenarios import SCENARIOS
from world import INSIDE_SERVER, Failed, Kernel, Underpass, World

# Where failing is expected: long enough for every tunnel here to come up and for some of its data.
PATIENCE = 8


def lacking(name):
    """Why this machine cannot run the scenario, or None."""
    scenario = SCENARIOS[name]
    wanted = ["ip", "nsenter", "unshare", "nft", "ethtool", "ping", "ss"] + scenario.programs
    if scenario.guests:
        wanted.append("linux.uml")
    missing = [program for program in wanted if not shutil.which(program)]
    if os.geteuid() != 0:
        return "needs root"
    if missing:
        return "missing programs: " + " ".join(missing)
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    if scenario.guests and not any(pathlib.Path("/usr/lib/uml/modules").glob("*/kernel/drivers/net/ppp")):
        return "the User-Mode Linux kernel has no modules"
    try:
        if scenario.fetch:
            scenario.fetch()
    except programs.Missing as problem:
        return str(problem)
    return None


def check_tunnels(router, node, protocol):
    """The router knows both tunnels for what they are, and that data went both ways. It tells of them from a picture
    that it takes from time to time."""
    end = time.monotonic() + 20
    while True:
        try:
            return look_at_tunnels(router, node, protocol)
        except Failed:
            if time.monotonic() > end:
                raise
        time.sleep(0.5)


def look_at_tunnels(router, node, protocol):
    # A server inside may have tunnels of its own.
    listed = [tunnel for tunnel in json.loads(router.ctl(node, "tunnels", "list", "--json"))
              if tunnel["protocol"] == protocol and tunnel["device"] != INSIDE_SERVER]
    full = [tunnel for tunnel in listed
            if min(tunnel[way]["bytes"] for way in ("inbound", "outbound")) > 250_000]
    if len({tunnel["device"] for tunnel in full}) != 2:
        raise Failed(f"the router lists {len(listed)} tunnels of {protocol}, {len(full)} with the data")
    if protocol not in ("pptp", "l2tp"):
        return
    for tunnel in full:
        # What pppd has agreed on, read from the wire; the servers give out addresses of 10.0.0.0/8.
        inside = tunnel["innerAddress"], tunnel["innerMtu"], tunnel["roundTrip"] > 0
        if not inside[0].startswith("10.") or inside[1:] != (1400, True):
            raise Failed(f"the router shows of a tunnel's inside: {inside}")
    if len({tunnel["innerAddress"] for tunnel in full}) != 2:
        raise Failed("two devices are shown with one address inside")


def attempt(name, router):
    """Whether the scenario passes, and a few words."""
    start = time.monotonic()
    scenario = SCENARIOS[name]
    try:
        with World(router, scenario.wire, scenario.inside) as lab:
            scenario.run(lab)
            lab.check_wire()
            if isinstance(router, Underpass):
                check_tunnels(router, lab.nodes["rt"], scenario.protocol)
            passed, words = True, "ok"
    except (Failed, subprocess.SubprocessError) as problem:
        passed, words = False, str(problem).replace("\n", " ")[:140]
    return passed, f"{words} ({time.monotonic() - start:.0f} s)"


def control(name, number, bin_folder):
    """With the switch turned: (failed for the reason that the counters name, a few words)"""
    start = time.monotonic()
    words, reason = SCENARIOS[name].controls[number]
    world.patience = PATIENCE
    router = Underpass(bin_folder, [words])
    try:
        with World(router, SCENARIOS[name].wire, SCENARIOS[name].inside) as lab:
            try:
                SCENARIOS[name].run(lab)
                return False, "it passed"
            except (Failed, subprocess.SubprocessError) as problem:
                said = str(problem).replace("\n", " ")[:90]
            world.until(60, f"failed, but the counters do not say {reason}: {said}", lambda: re.search(
                rf"{reason}\D+[1-9]", router.ctl(lab.nodes["rt"], "counters")))
            return True, f"{reason}: {said} ({time.monotonic() - start:.0f} s)"
    except (Failed, subprocess.SubprocessError) as problem:
        return False, str(problem)


def main():
    # Ended from outside, it takes its namespaces along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--router", default="underpass", choices=["underpass", "kernel", "both"])
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--controls-only", action="store_true")
    parser.add_argument("--side-by-side", type=int, default=4, help="how many controls at a time")
    parser.add_argument("--one-control", type=int, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(SCENARIOS))
    wanted = parser.parse_intermixed_args()
    unknown = set(wanted.names) - set(SCENARIOS)
    if unknown:
        parser.error("no such scenario: " + " ".join(sorted(unknown)))
    if wanted.one_control is not None:
        right, words = control(wanted.names[0], wanted.one_control, wanted.bin)
        print(words)
        return 0 if right else 1

    names, skipped, bad = [], 0, 0
    for name in wanted.names or SCENARIOS:
        reason = lacking(name)
        if reason:
            print(f"{name:16} SKIP  {reason}", flush=True)
            skipped += 1
        else:
            names.append(name)
    if not wanted.controls_only:
        for name in names:
            for kind in ("underpass", "kernel"):
                if wanted.router not in (kind, "both"):
                    continue
                router = Kernel() if kind == "kernel" else Underpass(wanted.bin)
                passed, words = attempt(name, router)
                print(f"{name:16} {kind:26} {'PASS' if passed else 'FAIL'}  {words}", flush=True)
                bad += not passed and kind == "underpass"
    if wanted.controls or wanted.controls_only:
        # Each in a process of its own, side by side: they mostly wait.
        def one(plan):
            name, number = plan
            done = subprocess.run([sys.executable, __file__, wanted.bin, name, "--one-control", str(number)],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            print(f"{name:16} {SCENARIOS[name].controls[number][0].split(' --')[0]:26} "
                  f"{'BAD ' if done.returncode else 'fails, as it must'}  {done.stdout.strip()[-300:]}", flush=True)
            return done.returncode != 0
        plans = [(name, number) for name in names for number in range(len(SCENARIOS[name].controls))]
        # Those with virtual machines take the processor's time, the others only wait: mixed, they take least.
        light = [plan for plan in plans if not SCENARIOS[plan[0]].guests]
        heavy = [plan for plan in plans if SCENARIOS[plan[0]].guests]
        mixed = [plan for pair in zip_longest(heavy[::2], heavy[1::2], light) for plan in pair if plan]
        with ThreadPoolExecutor(wanted.side_by_side) as pool:
            bad += sum(pool.map(one, mixed))
    return 1 if bad else 77 if skipped else 0


sys.exit(main())
