#include "engine/io/host_ports.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

namespace engine::io {

namespace {

/// Linux's own default where the setting cannot be read.
constexpr net::PortRange kUsualLocalPorts{net::Port{32768}, net::Port{60999}};

net::PortRange localPorts()
{
    std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
    unsigned first = 0;
    unsigned last = 0;
    if (!(file >> first >> last) || first > last || last > 65535) return kUsualLocalPorts;
    return {net::Port{static_cast<std::uint16_t>(first)},
            net::Port{static_cast<std::uint16_t>(last)}};
}

/// "  sl  local_address rem_address ...", the local one as hexadecimal address:port.
void readBound(const char* path, std::vector<bool>& bound)
{
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
        const auto slot = line.find(": ");
        if (slot == std::string::npos) continue;
        const auto colon = line.find(':', slot + 2);
        if (colon == std::string::npos || colon + 5 > line.size()) continue;
        std::uint16_t port = 0;
        std::from_chars(line.data() + colon + 1, line.data() + colon + 5, port, 16);
        if (port != 0) bound[port] = true;
    }
}

}  // namespace

std::vector<net::PortRange> joined(std::vector<net::PortRange> ranges)
{
    std::sort(ranges.begin(), ranges.end());
    std::vector<net::PortRange> out;
    for (const auto& range : ranges) {
        if (range.last < range.first) continue;
        if (!out.empty() &&
            range.first.hostOrder() <= std::uint32_t{out.back().last.hostOrder()} + 1U) {
            out.back().last = std::max(out.back().last, range.last);
        } else {
            out.push_back(range);
        }
    }
    return out;
}

std::vector<net::PortRange> HostPorts::reserved() const
{
    std::vector<net::PortRange> all = bound;
    all.push_back(local);
    return all;
}

HostPorts portsOfHost()
{
    std::vector<bool> bound(65536);
    for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6",
                             "/proc/net/udplite"}) {
        readBound(path, bound);
    }
    HostPorts ports{localPorts(), {}};
    for (std::uint32_t port = 1; port < bound.size(); ++port) {
        const net::Port value{static_cast<std::uint16_t>(port)};
        if (bound[port]) ports.bound.push_back({value, value});
    }
    ports.bound = joined(std::move(ports.bound));
    return ports;
}

}  // namespace engine::io
