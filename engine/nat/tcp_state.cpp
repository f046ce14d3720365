#include "engine/nat/tcp_state.h"

#include "engine/wire/tcp_view.h"

#include <array>

namespace engine::nat {
namespace {

using enum TcpState;

using Row = std::array<TcpState, kTcpEventCount>;

// clang-format off
constexpr std::array<Row, kTcpStateCount> kNext{
    //                   OutboundSyn   InboundSyn   OutboundFin  InboundFin   Reset         OutboundOther InboundOther
    /* None         */ Row{OutboundInit, InboundInit, None,        None,        None,         None,         None},
    /* OutboundInit */ Row{OutboundInit, Established, OutboundInit,OutboundInit,OutboundInit, OutboundInit, OutboundInit},
    /* InboundInit  */ Row{Established,  InboundInit, InboundInit, InboundInit, InboundInit,  InboundInit,  InboundInit},
    /* Established  */ Row{Established,  Established, OutboundFin, InboundFin,  Transitory,   Established,  Established},
    /* OutboundFin  */ Row{OutboundFin,  OutboundFin, OutboundFin, BothFin,     Transitory,   OutboundFin,  OutboundFin},
    /* InboundFin   */ Row{InboundFin,   InboundFin,  BothFin,     InboundFin,  Transitory,   InboundFin,   InboundFin},
    /* BothFin      */ Row{OutboundInit, InboundInit, BothFin,     BothFin,     BothFin,      BothFin,      BothFin},
    /* Transitory   */ Row{OutboundInit, InboundInit, Established, Established, Transitory,   Established,  Established},
};
// clang-format on

constexpr std::size_t indexOf(TcpState state)
{
    return static_cast<std::size_t>(state);
}

}  // namespace

TcpEvent tcpEventOf(net::Direction direction, std::uint8_t flags)
{
    const bool outbound = direction == net::Direction::Outbound;
    if ((flags & wire::tcp_flag::kRst) != 0) return TcpEvent::Reset;
    if ((flags & wire::tcp_flag::kSyn) != 0) {
        return outbound ? TcpEvent::OutboundSyn : TcpEvent::InboundSyn;
    }
    if ((flags & wire::tcp_flag::kFin) != 0) {
        return outbound ? TcpEvent::OutboundFin : TcpEvent::InboundFin;
    }
    return outbound ? TcpEvent::OutboundOther : TcpEvent::InboundOther;
}

TcpState next(TcpState state, TcpEvent event)
{
    return kNext[indexOf(state)][static_cast<std::size_t>(event)];
}

bool reopens(TcpState state, TcpEvent event)
{
    return (state == BothFin || state == Transitory) &&
           (event == TcpEvent::OutboundSyn || event == TcpEvent::InboundSyn);
}

Duration idleTimeout(TcpState state, const Timers& timers)
{
    switch (state) {
    case Established:
    case OutboundFin:
    case InboundFin: return timers.tcpEstablished;
    case None:
    case OutboundInit:
    case InboundInit: return timers.tcpOpening;
    case BothFin:
    case Transitory: return timers.tcpClosing;
    }
    return timers.tcpClosing;
}

}  // namespace engine::nat
