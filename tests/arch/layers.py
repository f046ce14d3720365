#!/usr/bin/env python3
"""Checks which folder may include which. layers.py ROOT [--self-test]"""
import pathlib
import re
import sys

BASE = {"engine/base"}
VALUES = BASE | {"engine/net"}
BYTES = VALUES | {"engine/wire"}
CORE = BYTES | {"engine/link", "engine/nat", "engine/passthrough", "engine/tunnel", "engine/policy",
                "engine/lan", "engine"}

# folder -> folders of ours it may include (its own is always allowed)
OURS = {
    "engine/base": set(),
    "engine/net": BASE,
    "engine/wire": VALUES,
    "engine/link": BYTES,
    "engine/nat": BYTES,
    "engine/policy": BYTES,
    "engine/tunnel": VALUES,
    # Observations are spoken in the tunnel's words, and the switches decide what a helper does.
    "engine/passthrough": BYTES | {"engine/tunnel", "engine/policy"},
    "engine/lan": BYTES,
    "engine": CORE,
    "engine/lab": CORE,
    "engine/io": CORE,
    # The window knows engine values, never the engine itself (see VALUE_HEADERS).
    "ui": CORE,
    "app": CORE | {"engine/lab", "engine/io", "ui"},
}
# Headers of the engine's top folder and of nat/ that hold values only, or functions of values;
# ui may include no other.
UI_MAY_NOT = re.compile(r"engine/(engine\.h|output\.h|passthrough/|nat/(?!behaviour_rules\.h|nat_config\.h|tcp_state\.h)|link/|lan/|wire/)")
STD = re.compile(r"^<[a-z0-9_]+>$|^<c[a-z]+>$")
# Outside headers per layer: what is not here is refused.
FOREIGN = {
    "engine": [STD],
    "engine/io": [re.compile(r"^<.*>$")],
    "ui": [STD, re.compile(r"^<(Q|Qt)"), re.compile(r"^<qcustomplot\.h>$")],
    "app": [re.compile(r"^<.*>$")],
}
CORE_MAY_NOT = {"<thread>", "<mutex>", "<atomic>", "<fstream>", "<iostream>", "<filesystem>", "<ctime>",
                "<random>", "<condition_variable>", "<future>"}


def folder_of(path):
    parts = path.split("/")
    if parts[0] == "engine":
        return "engine" if len(parts) == 2 else "/".join(parts[:2])
    return parts[0]


def violations(path, text):
    folder = folder_of(path)
    foreign = FOREIGN.get(folder) or FOREIGN[folder.split("/")[0]]
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+("[^"]+"|<[^>]+>)', line)
        if not found:
            continue
        name = found.group(1)
        where = f"{path}:{number}: {name}"
        if name.startswith('"'):
            target = name.strip('"')
            if target.startswith("ui_") or target.endswith(".moc"):
                continue
            other = folder_of(target)
            if other != folder and not (folder == "ui" and other == "ui") \
                    and not (folder == "app" and other == "app") and other not in OURS.get(folder, set()):
                yield f"{where}: {folder} may not include {other}"
            if folder == "ui" and UI_MAY_NOT.match(target):
                yield f"{where}: the window knows values only"
        elif not any(pattern.match(name) for pattern in foreign):
            yield f"{where}: {folder} may not include this"
        elif folder.startswith("engine") and folder != "engine/io" and name in CORE_MAY_NOT:
            yield f"{where}: the core has no clock, thread or file"


def check(root):
    problems = []
    for top in ("engine", "ui", "app"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in {".h", ".cpp"}:
                problems += violations(str(path.relative_to(root)), path.read_text())
    return problems


def self_test():
    forbidden = {
        "engine/nat/x.cpp": '#include "engine/passthrough/passthrough.h"',
        "engine/wire/x.h": "#include <sys/socket.h>",
        "engine/base/x.h": "#include <QString>",
        "engine/nat/y.h": "#include <tins/tins.h>",
        "engine/engine.cpp": "#include <thread>",
        "engine/lab/x.cpp": '#include "engine/io/device.h"',
        "ui/x.cpp": '#include "app/router_client.h"',
        "ui/y.cpp": '#include "engine/engine.h"',
    }
    allowed = {
        "engine/nat/x.cpp": '#include "engine/wire/bytes.h"',
        "engine/io/x.cpp": "#include <linux/if_packet.h>",
        "ui/x.cpp": '#include "engine/snapshot.h"',
        "app/x.cpp": '#include "ui/main_window.h"',
    }
    problems = [f"not found: {path}: {line}" for path, line in forbidden.items()
                if not list(violations(path, line))]
    problems += [f"wrongly found: {path}: {line}" for path, line in allowed.items()
                 if list(violations(path, line))]
    return problems


if __name__ == "__main__":
    found = self_test() if "--self-test" in sys.argv else check(pathlib.Path(sys.argv[1]))
    print("\n".join(found) or "ok")
    sys.exit(1 if found else 0)
