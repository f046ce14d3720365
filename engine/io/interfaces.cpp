#include "engine/io/interfaces.h"

#include "engine/io/descriptor.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <ifaddrs.h>
#include <limits>
#include <memory>
#include <sstream>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace engine::io {

namespace {

net::Ipv4Address addressOf(const sockaddr* from)
{
    sockaddr_in in{};
    std::memcpy(&in, from, sizeof in);
    return net::Ipv4Address{ntohl(in.sin_addr.s_addr)};
}

void readLink(const ifaddrs& entry, Interface& into)
{
    into.up = (entry.ifa_flags & IFF_UP) != 0;
    into.carrier = (entry.ifa_flags & IFF_RUNNING) != 0;
    into.loopback = (entry.ifa_flags & IFF_LOOPBACK) != 0;
    // A link without hardware addresses (TUN, PPP) comes without any.
    if (entry.ifa_addr == nullptr) {
        into.index = static_cast<int>(::if_nametoindex(into.name.c_str()));
        return;
    }
    sockaddr_ll link{};
    std::memcpy(&link, entry.ifa_addr, sizeof link);
    into.index = link.sll_ifindex;
    into.ethernet = link.sll_hatype == ARPHRD_ETHER && link.sll_halen == 6;
    if (link.sll_halen == 6) {
        std::array<std::uint8_t, 6> octets{};
        std::copy_n(std::begin(link.sll_addr), octets.size(), octets.begin());
        into.mac = net::MacAddress{octets};
    }
}

/// Default routes of the main table: name, gateway; the one with the smallest metric counts.
void readGateways(std::vector<Interface>& interfaces)
{
    std::ifstream routes("/proc/net/route");
    std::string line;
    std::getline(routes, line);
    std::vector<std::uint32_t> best(interfaces.size(), std::numeric_limits<std::uint32_t>::max());
    while (std::getline(routes, line)) {
        std::istringstream fields(line);
        std::string name;
        std::uint32_t destination = 0;
        std::uint32_t gateway = 0;
        std::uint32_t flags = 0;
        std::uint32_t ignored = 0;
        std::uint32_t metric = 0;
        std::uint32_t mask = 0;
        fields >> name >> std::hex >> destination >> gateway >> flags >> std::dec >> ignored >>
            ignored >> metric >> std::hex >> mask;
        if (!fields || destination != 0 || mask != 0 || (flags & RTF_UP) == 0 ||
            (flags & RTF_GATEWAY) == 0) {
            continue;
        }
        for (std::size_t i = 0; i < interfaces.size(); ++i) {
            if (interfaces[i].name == name && metric < best[i]) {
                best[i] = metric;
                // The file shows the address as the CPU reads the octets in network order.
                interfaces[i].gateway = net::Ipv4Address{ntohl(gateway)};
            }
        }
    }
}

}  // namespace

std::vector<Interface> listInterfaces()
{
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return {};
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner{first, &::freeifaddrs};

    std::vector<Interface> all;
    const auto named = [&](const char* name) -> Interface& {
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const Interface& i) { return i.name == name; });
        if (found != all.end()) return *found;
        all.emplace_back().name = name;
        return all.back();
    };
    for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
        // An address may carry a label ("eth0:1") of its interface.
        const std::string name{entry->ifa_name, std::strcspn(entry->ifa_name, ":")};
        if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family == AF_PACKET) {
            readLink(*entry, named(name.c_str()));
        } else if (entry->ifa_addr->sa_family == AF_INET && entry->ifa_netmask != nullptr) {
            const auto mask = addressOf(entry->ifa_netmask).hostOrder();
            const auto address = addressOf(entry->ifa_addr);
            named(name.c_str())
                .addresses.push_back({address, net::Prefix{address, static_cast<std::uint8_t>(
                                                                        std::popcount(mask))}});
        }
    }
    const Descriptor socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    for (auto& interface : all) {
        ifreq request{};
        interface.name.copy(request.ifr_name, sizeof request.ifr_name - 1);
        if (socket && ::ioctl(socket.number(), SIOCGIFMTU, &request) == 0) {
            interface.mtu = static_cast<std::uint16_t>(
                std::clamp(request.ifr_mtu, 68, int{std::numeric_limits<std::uint16_t>::max()}));
        }
        struct stat found {};
        interface.wireless =
            ::stat(("/sys/class/net/" + interface.name + "/wireless").c_str(), &found) == 0;
    }
    readGateways(all);
    return all;
}

std::optional<Interface> findInterface(std::string_view name)
{
    for (auto& interface : listInterfaces()) {
        if (interface.name == name) return interface;
    }
    return std::nullopt;
}

}  // namespace engine::io
