#pragma once

/// The single settings of NatConfig by the names that rules.db, underpassctl and its output share,
/// so that none of them can disagree. `visit` gets a name and the setting; Nat is a NatConfig,
/// const or not.
namespace app {

template <typename Nat, typename Visitor>
void visitTimers(Nat& nat, const Visitor& visit)
{
    visit("udp-one-way", nat.timers.udpOneWay);
    visit("udp-two-way", nat.timers.udpTwoWay);
    visit("tcp-established", nat.timers.tcpEstablished);
    visit("tcp-opening", nat.timers.tcpOpening);
    visit("tcp-closing", nat.timers.tcpClosing);
    visit("icmp-query", nat.timers.icmpQuery);
    visit("portless", nat.timers.portless);
    visit("esp", nat.timers.esp);
}

template <typename Nat, typename Visitor>
void visitLimits(Nat& nat, const Visitor& visit)
{
    visit("sessions-per-device", nat.limits.sessionsPerDevice);
    visit("ports-per-device", nat.limits.portsPerDevice);
    visit("new-sessions-per-second", nat.limits.newSessionsPerSecond);
}

template <typename Nat, typename Visitor>
void visitFlags(Nat& nat, const Visitor& visit)
{
    visit("port-parity", nat.portParity);
    visit("preserve-ports", nat.preservePorts);
    visit("hairpinning", nat.hairpinning);
    visit("inbound-refresh", nat.inboundRefresh);
    visit("clamp-mss", nat.clampMss);
    visit("syn-proxy", nat.synProxy);
}

}  // namespace app
