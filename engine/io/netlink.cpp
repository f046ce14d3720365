#include "engine/io/netlink.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include <linux/netlink.h>
#include <linux/pkt_cls.h>
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

using Octets = std::span<const char>;

/// Calls `each` with the type and the value of every attribute.
template <typename Each>
void forEachAttribute(Octets octets, Each each)
{
    while (octets.size() >= sizeof(rtattr)) {
        rtattr head{};
        std::memcpy(&head, octets.data(), sizeof head);
        if (head.rta_len < sizeof head || head.rta_len > octets.size()) return;
        each(head.rta_type & NLA_TYPE_MASK,
             octets.subspan(sizeof head, head.rta_len - sizeof head));
        octets = octets.subspan(std::min<std::size_t>(RTA_ALIGN(head.rta_len), octets.size()));
    }
}

/// Text that may or may not bring its end mark.
std::string_view textOf(Octets octets)
{
    return {octets.data(), ::strnlen(octets.data(), octets.size())};
}

/// Asks for a list of traffic-control objects of one card and calls `each` with every one, its kind
/// and the options of that kind; false if the system does not answer.
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
                Octets options;
                forEachAttribute(
                    {buffer.data() + at + sizeof(Request), header.nlmsg_len - sizeof(Request)},
                    [&](int attribute, Octets value) {
                        if (attribute == TCA_KIND) kind = textOf(value);
                        if (attribute == TCA_OPTIONS) options = value;
                    });
                each(body, kind, options);
            }
            at += NLMSG_ALIGN(header.nlmsg_len);
        }
    }
}

}  // namespace

bool hasClsact(int interfaceIndex)
{
    bool found = false;
    (void)dump(
        RTM_GETQDISC, interfaceIndex, 0, [&](const tcmsg& body, std::string_view kind, Octets) {
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
                   [&](const tcmsg& body, std::string_view, Octets) {
                       if (body.tcm_ifindex == interfaceIndex) found = true;
                   });
    }
    return found;
}

std::vector<IngressProgram> ingressPrograms(int interfaceIndex)
{
    std::vector<IngressProgram> found;
    (void)dump(RTM_GETTFILTER, interfaceIndex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
               [&](const tcmsg& body, std::string_view kind, Octets options) {
                   if (body.tcm_ifindex != interfaceIndex || kind != "bpf") return;
                   IngressProgram program{TC_H_MAJ(body.tcm_info) >> 16U, body.tcm_handle, {}};
                   forEachAttribute(options, [&](int attribute, Octets value) {
                       if (attribute == TCA_BPF_NAME) program.name = textOf(value);
                   });
                   // A priority is listed by itself, too, without a program.
                   if (program.handle != 0) found.push_back(std::move(program));
               });
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
