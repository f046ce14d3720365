#include "engine/io/netlink.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace engine::io {

namespace {

Descriptor routeSocket(std::uint32_t groups, int flags)
{
    Descriptor socket{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE)};
    if (!socket) return {};
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = groups;
    const void* raw = &address;
    if (::bind(socket.number(), static_cast<const sockaddr*>(raw), sizeof address) != 0) return {};
    return socket;
}

struct Request {
    nlmsghdr header;
    tcmsg body;
};

/// Asks for a list of traffic-control objects of one card and calls `each` with the kind of every
/// one; false if the system does not answer.
template <typename Each>
bool dump(std::uint16_t type, int interfaceIndex, std::uint32_t parent, Each each)
{
    const Descriptor socket = routeSocket(0, 0);
    if (!socket) return false;
    Request request{};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.body.tcm_family = AF_UNSPEC;
    request.body.tcm_ifindex = interfaceIndex;
    request.body.tcm_parent = parent;
    if (::send(socket.number(), &request, sizeof request, 0) < 0) return false;
    std::vector<char> buffer(32768);
    for (;;) {
        const auto got = ::recv(socket.number(), buffer.data(), buffer.size(), 0);
        if (got <= 0) return false;
        std::size_t at = 0;
        const auto end = static_cast<std::size_t>(got);
        while (at + sizeof(nlmsghdr) <= end) {
            nlmsghdr header{};
            std::memcpy(&header, buffer.data() + at, sizeof header);
            if (header.nlmsg_len < sizeof header || at + header.nlmsg_len > end) return false;
            if (header.nlmsg_type == NLMSG_DONE) return true;
            if (header.nlmsg_type == NLMSG_ERROR) return false;
            if (header.nlmsg_len >= sizeof(Request)) {
                tcmsg body{};
                std::memcpy(&body, buffer.data() + at + sizeof header, sizeof body);
                std::string_view kind;
                std::size_t attribute = at + sizeof(Request);
                while (attribute + sizeof(rtattr) <= at + header.nlmsg_len) {
                    rtattr head{};
                    std::memcpy(&head, buffer.data() + attribute, sizeof head);
                    if (head.rta_len < sizeof head) break;
                    if (head.rta_type == TCA_KIND) {
                        kind = buffer.data() + attribute + sizeof head;
                    }
                    attribute += RTA_ALIGN(head.rta_len);
                }
                each(body, kind);
            }
            at += NLMSG_ALIGN(header.nlmsg_len);
        }
    }
}

}  // namespace

bool hasClsact(int interfaceIndex)
{
    bool found = false;
    (void)dump(RTM_GETQDISC, interfaceIndex, 0, [&](const tcmsg& body, std::string_view kind) {
        if (body.tcm_ifindex == interfaceIndex && (kind == "clsact" || kind == "ingress")) {
            found = true;
        }
    });
    return found;
}

bool hasIngressOrEgressFilters(int interfaceIndex)
{
    bool found = false;
    for (const std::uint32_t minor : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
        (void)dump(RTM_GETTFILTER, interfaceIndex, TC_H_MAKE(TC_H_CLSACT, minor),
                   [&](const tcmsg& body, std::string_view) {
                       if (body.tcm_ifindex == interfaceIndex) found = true;
                   });
    }
    return found;
}

Descriptor watchChanges()
{
    return routeSocket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE, SOCK_NONBLOCK);
}

void drainChanges(const Descriptor& watch)
{
    std::array<char, 8192> buffer{};
    for (;;) {
        const auto got = ::recv(watch.number(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got > 0) continue;
        // Overflow means that much has changed; the caller reads everything anew anyway.
        if (got < 0 && (errno == ENOBUFS || errno == EINTR)) continue;
        return;
    }
}

}  // namespace engine::io
