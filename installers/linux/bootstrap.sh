#!/usr/bin/env bash
# Makes a fresh Debian 12 ready, builds, and runs or tests. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Every package that building and running need ...
build_packages=(
    cmake ninja-build g++ pkg-config ccache python3
    qt6-base-dev qt6-svg-dev libqt6svg6 libqcustomplot-dev libgl1-mesa-dev fonts-dejavu-core
    libsqlite3-dev libtins-dev libpcap-dev libbpf-dev libcli11-dev libbenchmark-dev iproute2
)
# ... and what the tests run besides: the other side of every protocol, and the tools that measure.
test_packages=(
    clang-format-14 openssl procps psmisc curl iperf3 iputils-ping traceroute tcpdump nftables
    iptables ethtool conntrack socat xxd kmod
    coturn stun-client
    user-mode-linux pptp-linux pptpd ppp xl2tpd
    strongswan strongswan-swanctl strongswan-charon strongswan-starter charon-systemd
    libstrongswan-standard-plugins libstrongswan-extra-plugins libcharon-extra-plugins
    openvpn wireguard-go wireguard-tools ocserv openconnect vpnc-scripts sstp-client
    # libreswan cannot be installed beside strongSwan and is only unpacked: what it needs.
    libnss3-tools libcap-ng0 libcurl3-nss libevent-core-2.1-7 libevent-pthreads-2.1-7 libldap-2.5-0 libunbound8
)

help() {
    cat <<'TEXT'
bootstrap.sh run [--for 10s]   installs what is missing, builds, and opens the window on the built-in
                               lab; without a display, the lab's live tunnel table in the terminal,
                               until Ctrl-C or for so long
bootstrap.sh test              installs what is missing, builds, and runs every test
bootstrap.sh packages          only names the packages that are missing
bootstrap.sh --help            this text

Packages are installed with apt-get, as root or through sudo. Without either, the missing ones are
named and nothing is changed (exit status 2). None of the servers among them is started.
TEXT
}

complain() {
    echo "bootstrap.sh: $*" >&2
    exit 2
}

# Names, with one space between two.
missing_of() {
    local package names=()
    for package in "$@"; do
        # "ii " and "hi ": installed, the second one held back.
        case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true) in
        ?i*) ;;
        *) names+=("$package") ;;
        esac
    done
    echo "${names[*]-}"
}

# Packages bring servers that Debian starts at once; here they are only started by tests, on networks
# of their own. The policy file is the documented way to say so, and goes away again.
policy=/usr/sbin/policy-rc.d
install_packages() {
    local missing sudo=()
    command -v dpkg-query >/dev/null ||
        complain "this is no Debian, so nothing is known about its packages; Debian's names of those needed: $*"
    missing=$(missing_of "$@")
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || complain "these packages are missing, and there is no apt-get to install them: $missing"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || complain "these packages are missing, and only root can install them: $missing"
        sudo=(sudo)
        "${sudo[@]}" -v || complain "these packages are missing, and only root can install them: $missing"
    fi
    local guarded=no
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 0755 "$policy"
        guarded=yes
    fi
    local status=0
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update || status=$?
    # shellcheck disable=SC2086  # a list of words on purpose
    [ "$status" -ne 0 ] || "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
        --no-install-recommends -o Dpkg::Options::=--force-confold $missing || status=$?
    if [ "$guarded" = yes ]; then "${sudo[@]}" rm -f "$policy"; fi
    [ "$status" -eq 0 ] || complain "apt-get could not install: $missing"
}

build() {
    local preset=$1
    shift
    (cd "$root" && cmake --preset "$preset" >/dev/null && cmake --build --preset "$preset" "$@")
}

has_display() { [ -n "${DISPLAY:-}" ] || [ -n "${WAYLAND_DISPLAY:-}" ]; }

run() {
    local for_time=
    while [ $# -gt 0 ]; do
        case $1 in
        --for)
            [ $# -ge 2 ] || complain "--for needs a time like 10s"
            for_time=$2
            shift 2
            ;;
        --for=*)
            for_time=${1#--for=}
            shift
            ;;
        *) complain "unknown option $1 (see --help)" ;;
        esac
    done
    [[ -z $for_time || $for_time =~ ^[1-9][0-9]*s?$ ]] || complain "$for_time is no time like 10s"
    install_packages "${build_packages[@]}"
    build release --target underpass underpassctl underpassd
    if has_display; then
        exec "$root/build/release/bin/underpass" --lab ${for_time:+--for "$for_time"}
    fi
    exec "$root/build/release/bin/underpassctl" lab watch ${for_time:+--for "$for_time"}
}

run_tests() {
    [ $# -eq 0 ] || complain "test takes no options (see --help)"
    install_packages "${build_packages[@]}" "${test_packages[@]}"
    python3 "$root/tests/interop/programs.py" ||
        echo "bootstrap.sh: libreswan cannot be fetched; the tests that need it will be skipped" >&2
    build dev
    cd "$root" && exec ctest --preset dev
}

list_missing() {
    local missing
    [ $# -eq 0 ] || complain "packages takes no options (see --help)"
    missing=$(missing_of "${build_packages[@]}" "${test_packages[@]}")
    [ -z "$missing" ] || tr ' ' '\n' <<<"$missing"
}

case ${1:-} in
run) shift && run "$@" ;;
test) shift && run_tests "$@" ;;
packages) shift && list_missing "$@" ;;
-h | --help | help) help ;;
'') help >&2 && exit 2 ;;
*) complain "unknown verb $1 (see --help)" ;;
esac
