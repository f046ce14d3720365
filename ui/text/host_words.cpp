#include "ui/text/host_words.h"

#include <QCoreApplication>

namespace ui {

namespace {

struct HostWords {
    Q_DECLARE_TR_FUNCTIONS(ui::HostWords)
};

}  // namespace

QString nameOf(HostSetting::Kind kind)
{
    switch (kind) {
    case HostSetting::Kind::Card: return HostWords::tr("Used by this router alone");
    case HostSetting::Kind::Qdisc: return HostWords::tr("A place for filters");
    case HostSetting::Kind::Filter: return HostWords::tr("A filter on what arrives");
    case HostSetting::Kind::Traffic:
        return HostWords::tr("Kept from this computer's own network stack");
    case HostSetting::Kind::Answered: return HostWords::tr("ARP is answered for this address");
    }
    return {};
}

QString beforeOf(HostSetting::Kind kind)
{
    switch (kind) {
    case HostSetting::Kind::Card: return HostWords::tr("free");
    case HostSetting::Kind::Qdisc:
    case HostSetting::Kind::Filter: return HostWords::tr("not there");
    case HostSetting::Kind::Traffic: return HostWords::tr("all of it was the computer's own");
    case HostSetting::Kind::Answered: return HostWords::tr("nobody answered");
    }
    return {};
}

QString neverChanged()
{
    return HostWords::tr(
        "Addresses, routes, firewall rules, kernel settings and the settings of the cards are "
        "never changed.");
}

QString whatStops(int devices, int sessions, int tunnels)
{
    return HostWords::tr("Sharing stops for %1; %2 and %3 end.")
        .arg(HostWords::tr("%n device(s)", nullptr, devices),
             HostWords::tr("%n session(s)", nullptr, sessions),
             HostWords::tr("%n VPN tunnel(s)", nullptr, tunnels));
}

}  // namespace ui
