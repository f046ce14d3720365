#include "engine/tunnel/phase.h"

#include <array>

namespace engine::tunnel {
namespace {

constexpr Phase Sn = Phase::Seen, Hs = Phase::Handshaking, Au = Phase::Authenticating,
                Eg = Phase::Establishing, Es = Phase::Established, Rk = Phase::Rekeying,
                Dg = Phase::Degraded, Cg = Phase::Closing, Cd = Phase::Closed, De = Phase::Dead,
                Fa = Phase::Failed, Rf = Phase::Refused, He = Phase::Held;

using Row = std::array<Phase, kPhaseCount>;

// A tunnel that is up never falls back to a handshake: a repeated first message is no new
// beginning.
// clang-format off
constexpr std::array<Row, kPhaseSignCount> kNext{{
    //               Seen Hand Auth Estg Estd Reky Degr Clsg Clsd Dead Fail Refd Held
    /*Handshake*/    {Hs, Hs,  Au,  Eg,  Es,  Rk,  Dg,  Cg,  Cd,  De,  Fa,  Rf,  He},
    /*Authenticate*/ {Au, Au,  Au,  Eg,  Es,  Rk,  Dg,  Cg,  Cd,  De,  Fa,  Rf,  He},
    /*Agree*/        {Eg, Eg,  Eg,  Eg,  Es,  Es,  Dg,  Cg,  Cd,  De,  Fa,  Rf,  He},
    /*DataBothWays*/ {Es, Es,  Es,  Es,  Es,  Es,  Dg,  Cg,  Cd,  De,  Fa,  Rf,  He},
    /*Rekey*/        {Hs, Hs,  Au,  Eg,  Rk,  Rk,  Dg,  Cg,  Cd,  De,  Fa,  Rf,  He},
    /*Degrade*/      {Sn, Hs,  Au,  Dg,  Dg,  Dg,  Dg,  Cg,  Cd,  De,  Fa,  Rf,  He},
    /*Recover*/      {Sn, Hs,  Au,  Eg,  Es,  Es,  Es,  Cg,  Cd,  De,  Fa,  Rf,  He},
    /*Close*/        {Cg, Cg,  Cg,  Cg,  Cg,  Cg,  Cg,  Cg,  Cd,  De,  Fa,  Rf,  He},
    /*PeerClosed*/   {Cd, Cd,  Cd,  Cd,  Cd,  Cd,  Cd,  Cd,  Cd,  De,  Fa,  Rf,  Cd},
    /*Silence*/      {De, De,  De,  De,  De,  De,  De,  De,  Cd,  De,  Fa,  Rf,  De},
    /*GiveUp*/       {Fa, Fa,  Fa,  Fa,  Fa,  Fa,  Fa,  Fa,  Cd,  De,  Fa,  Rf,  Fa},
    /*Refuse*/       {Rf, Rf,  Rf,  Rf,  Rf,  Rf,  Rf,  Rf,  Cd,  De,  Fa,  Rf,  Rf},
    /*Hold*/         {He, He,  He,  He,  He,  He,  He,  He,  Cd,  De,  Fa,  Rf,  He},
    /*Release*/      {Sn, Hs,  Au,  Eg,  Es,  Rk,  Dg,  Cg,  Cd,  De,  Fa,  Rf,  Es},
}};
// clang-format on

constexpr std::array<PhaseSign, kPhaseCount> kSignOf{
    PhaseSign::Recover,  // Seen: nothing new
    PhaseSign::Handshake, PhaseSign::Authenticate, PhaseSign::Agree,  PhaseSign::DataBothWays,
    PhaseSign::Rekey,     PhaseSign::Degrade,      PhaseSign::Close,  PhaseSign::PeerClosed,
    PhaseSign::Silence,   PhaseSign::GiveUp,       PhaseSign::Refuse, PhaseSign::Hold,
};

}  // namespace

Phase next(Phase phase, PhaseSign sign)
{
    return kNext[static_cast<std::size_t>(sign)][static_cast<std::size_t>(phase)];
}

PhaseSign signOf(Phase observed)
{
    return kSignOf[static_cast<std::size_t>(observed)];
}

}  // namespace engine::tunnel
