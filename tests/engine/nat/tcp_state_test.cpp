#include "engine/nat/tcp_state.h"

#include "engine/wire/tcp_view.h"

#include <QtTest>

#include <vector>

using namespace engine;
using namespace engine::nat;

namespace {

const std::vector<TcpState> kStates{
    TcpState::None,        TcpState::OutboundInit, TcpState::InboundInit, TcpState::Established,
    TcpState::OutboundFin, TcpState::InboundFin,   TcpState::BothFin,     TcpState::Transitory};
const std::vector<TcpEvent> kEvents{
    TcpEvent::OutboundSyn, TcpEvent::InboundSyn,    TcpEvent::OutboundFin, TcpEvent::InboundFin,
    TcpEvent::Reset,       TcpEvent::OutboundOther, TcpEvent::InboundOther};

TcpState after(TcpState state, std::initializer_list<TcpEvent> events)
{
    for (const TcpEvent event : events)
        state = next(state, event);
    return state;
}

TcpEvent mirrored(TcpEvent event)
{
    switch (event) {
    case TcpEvent::OutboundSyn: return TcpEvent::InboundSyn;
    case TcpEvent::InboundSyn: return TcpEvent::OutboundSyn;
    case TcpEvent::OutboundFin: return TcpEvent::InboundFin;
    case TcpEvent::InboundFin: return TcpEvent::OutboundFin;
    case TcpEvent::Reset: return TcpEvent::Reset;
    case TcpEvent::OutboundOther: return TcpEvent::InboundOther;
    case TcpEvent::InboundOther: return TcpEvent::OutboundOther;
    }
    return event;
}

TcpState mirrored(TcpState state)
{
    switch (state) {
    case TcpState::OutboundInit: return TcpState::InboundInit;
    case TcpState::InboundInit: return TcpState::OutboundInit;
    case TcpState::OutboundFin: return TcpState::InboundFin;
    case TcpState::InboundFin: return TcpState::OutboundFin;
    case TcpState::None:
    case TcpState::Established:
    case TcpState::BothFin:
    case TcpState::Transitory: return state;
    }
    return state;
}

/// The machine told once more, by rules instead of by a table.
TcpState obviousNext(TcpState state, TcpEvent event)
{
    const bool syn = event == TcpEvent::OutboundSyn || event == TcpEvent::InboundSyn;
    const bool fin = event == TcpEvent::OutboundFin || event == TcpEvent::InboundFin;
    const TcpState init =
        event == TcpEvent::OutboundSyn ? TcpState::OutboundInit : TcpState::InboundInit;
    const TcpState oneFin =
        event == TcpEvent::OutboundFin ? TcpState::OutboundFin : TcpState::InboundFin;
    const bool unanswered = state == TcpState::OutboundInit || state == TcpState::InboundInit;
    const bool halfClosed = state == TcpState::OutboundFin || state == TcpState::InboundFin;
    if (state == TcpState::None) return syn ? init : state;
    if (unanswered) return syn && init != state ? TcpState::Established : state;
    if (state == TcpState::BothFin) return syn ? init : state;
    if (state == TcpState::Transitory) {
        if (event == TcpEvent::Reset) return state;
        return syn ? init : TcpState::Established;
    }
    if (event == TcpEvent::Reset) return TcpState::Transitory;
    if (!fin) return state;
    if (halfClosed) return oneFin == state ? state : TcpState::BothFin;
    return oneFin;
}

}  // namespace

class TcpStateTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // RFC 7857 §2.1: every state with every event.
    void next_ofEveryPair_followsTheRules()
    {
        QCOMPARE(kStates.size(), kTcpStateCount);
        QCOMPARE(kEvents.size(), kTcpEventCount);
        for (const TcpState state : kStates) {
            for (const TcpEvent event : kEvents) {
                QCOMPARE(next(state, event), obviousNext(state, event));
            }
        }
    }

    void next_mirrored_isTheMirroredState()
    {
        for (const TcpState state : kStates) {
            for (const TcpEvent event : kEvents) {
                QCOMPARE(next(mirrored(state), mirrored(event)), mirrored(next(state, event)));
            }
        }
    }

    void handshake_fromInside_establishes()
    {
        QCOMPARE(after(TcpState::None,
                       {TcpEvent::OutboundSyn, TcpEvent::InboundSyn, TcpEvent::OutboundOther}),
                 TcpState::Established);
    }

    // RFC 5382 REQ-2a
    void simultaneousOpen_withSynsCrossing_establishes()
    {
        QCOMPARE(after(TcpState::None, {TcpEvent::OutboundSyn, TcpEvent::InboundSyn,
                                        TcpEvent::OutboundSyn, TcpEvent::InboundSyn}),
                 TcpState::Established);
    }

    void synRetransmitted_withoutAnswer_staysUnanswered()
    {
        QCOMPARE(after(TcpState::None, {TcpEvent::OutboundSyn, TcpEvent::OutboundSyn,
                                        TcpEvent::OutboundOther, TcpEvent::InboundOther}),
                 TcpState::OutboundInit);
    }

    void connectionRefused_thenStrayData_isNotEstablished()
    {
        QCOMPARE(
            after(TcpState::None, {TcpEvent::OutboundSyn, TcpEvent::Reset, TcpEvent::InboundOther}),
            TcpState::OutboundInit);
    }

    // RFC 7857 §2.2
    void reset_inEstablished_isOnlyTransitory()
    {
        QCOMPARE(next(TcpState::Established, TcpEvent::Reset), TcpState::Transitory);
        QCOMPARE(after(TcpState::Established, {TcpEvent::Reset, TcpEvent::InboundOther}),
                 TcpState::Established);
        QCOMPARE(after(TcpState::Established, {TcpEvent::Reset, TcpEvent::Reset}),
                 TcpState::Transitory);
    }

    void fins_inEitherOrder_close()
    {
        QCOMPARE(after(TcpState::Established,
                       {TcpEvent::OutboundFin, TcpEvent::InboundOther, TcpEvent::OutboundFin,
                        TcpEvent::InboundFin, TcpEvent::OutboundOther}),
                 TcpState::BothFin);
        QCOMPARE(after(TcpState::Established, {TcpEvent::InboundFin, TcpEvent::OutboundFin}),
                 TcpState::BothFin);
    }

    void syn_inClosingStates_opensAnew()
    {
        for (const TcpState state : {TcpState::BothFin, TcpState::Transitory}) {
            QVERIFY(reopens(state, TcpEvent::OutboundSyn));
            QCOMPARE(next(state, TcpEvent::OutboundSyn), TcpState::OutboundInit);
            QCOMPARE(next(state, TcpEvent::InboundSyn), TcpState::InboundInit);
        }
    }

    void reopens_ofEveryPair_isASynInAClosedSession()
    {
        int count = 0;
        for (const TcpState state : kStates) {
            for (const TcpEvent event : kEvents) {
                if (!reopens(state, event)) continue;
                ++count;
                QVERIFY(next(state, event) == TcpState::OutboundInit ||
                        next(state, event) == TcpState::InboundInit);
            }
        }
        QCOMPARE(count, 4);
    }

    // RFC 5382 REQ-5
    void idleTimeout_ofEveryState_isOneOfTwo()
    {
        const Timers timers;
        for (const TcpState state : kStates) {
            const bool canCarryData = state == TcpState::Established ||
                                      state == TcpState::OutboundFin ||
                                      state == TcpState::InboundFin;
            QVERIFY(idleTimeout(state, timers) ==
                    (canCarryData ? Duration{2h + 4min} : Duration{4min}));
        }
    }

    void eventOf_everyFlagsOctet_prefersResetThenSynThenFin()
    {
        using enum net::Direction;
        for (unsigned flags = 0; flags < 256; ++flags) {
            const auto octet = static_cast<std::uint8_t>(flags);
            TcpEvent expected = TcpEvent::OutboundOther;
            if ((flags & 1U) != 0) expected = TcpEvent::OutboundFin;
            if ((flags & 2U) != 0) expected = TcpEvent::OutboundSyn;
            if ((flags & 4U) != 0) expected = TcpEvent::Reset;
            QCOMPARE(tcpEventOf(Outbound, octet), expected);
            QCOMPARE(tcpEventOf(Inbound, octet), mirrored(expected));
        }
    }
};

QTEST_APPLESS_MAIN(TcpStateTest)
#include "tcp_state_test.moc"
