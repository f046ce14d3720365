#include "engine/io/host_ports.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

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

/// A socket's local address as /proc/net shows it, eight digits for each four octets as this
/// machine reads them: whether only this machine itself can reach it. No packet of a card does.
bool isLoopback(std::string_view digits)
{
    std::array<std::array<std::uint8_t, 4>, 4> words{};
    const std::size_t count = digits.size() / 8;
    if (count != 1 && count != words.size()) return false;
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t word = 0;
        std::from_chars(digits.data() + i * 8, digits.data() + i * 8 + 8, word, 16);
        std::memcpy(words[i].data(), &word, sizeof word);
    }
    constexpr std::array<std::uint8_t, 4> kZero{};
    if (count == 1) return words[0][0] == 127;
    if (words[0] != kZero || words[1] != kZero) return false;
    const bool mapped = words[2] == std::array<std::uint8_t, 4>{0, 0, 0xff, 0xff};
    return mapped ? words[3][0] == 127
                  : words[2] == kZero && words[3] == std::array<std::uint8_t, 4>{0, 0, 0, 1};
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
        if (port == 0) continue;
        if (!isLoopback(std::string_view(line).substr(slot + 2, colon - slot - 2))) {
            bound[port] = true;
        }
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
