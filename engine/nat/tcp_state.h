#pragma once

#include "engine/base/time.h"
#include "engine/nat/nat_config.h"
#include "engine/net/direction.h"

#include <cstddef>
#include <cstdint>

/// What a NAT remembers of a TCP connection's progress: RFC 6146 §3.5.2 as amended by RFC 7857 §2.
/// Sequence numbers are another matter (tcp_window.h) and judged first: a segment that is refused
/// there is no event here.
namespace engine::nat {

/// The states of RFC 6146 §3.5.2, named by direction instead of address family.
enum class TcpState : std::uint8_t {
    None,          ///< not TCP, or nothing seen yet
    OutboundInit,  ///< a SYN went out and was not answered
    InboundInit,   ///< a SYN came in and was not answered
    Established,   ///< a SYN in each direction was seen
    OutboundFin,   ///< established, and a FIN went out; data may still come in
    InboundFin,    ///< established, and a FIN came in; data may still go out
    BothFin,       ///< a FIN in each direction; only acknowledgements and retransmissions are left
    Transitory,    ///< a reset was seen; ends soon unless data shows that it was not believed
};
inline constexpr std::size_t kTcpStateCount = 8;

/// What one segment means to the state machine.
enum class TcpEvent : std::uint8_t {
    OutboundSyn,  ///< with or without ACK
    InboundSyn,
    OutboundFin,
    InboundFin,
    Reset,  ///< either direction
    OutboundOther,
    InboundOther,
};
inline constexpr std::size_t kTcpEventCount = 7;

/// The event of a segment with these flags (the octet of wire::TcpView::flags()). A reset counts
/// before a SYN, a SYN before a FIN.
[[nodiscard]] TcpEvent tcpEventOf(net::Direction direction, std::uint8_t flags);

/// The state after an event. Total: every pair has an answer.
///
/// Where this goes beyond RFC 6146: a SYN opens anew in Transitory and BothFin, because client
/// stacks use a port again before four minutes are over and servers allow it (RFC 9293 §3.6.1); a
/// reset in half-closed connections is transitory too, so that they do not linger for two hours. In
/// both Init states a reset changes nothing, so that stray data cannot make a refused connection
/// look established.
[[nodiscard]] TcpState next(TcpState state, TcpEvent event);

/// Whether this event starts a new connection in an old session: its sequence numbers have nothing
/// to do with the old ones.
[[nodiscard]] bool reopens(TcpState state, TcpEvent event);

/// How long a session in this state is kept without packets: the established timer with a
/// connection that can carry data, else one of the two transitory ones (RFC 5382 REQ-5, RFC 7857
/// §2.1).
[[nodiscard]] Duration idleTimeout(TcpState state, const Timers& timers);

}  // namespace engine::nat
