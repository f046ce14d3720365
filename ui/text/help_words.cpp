#include "ui/text/help_words.h"

#include <QCoreApplication>

namespace ui {

namespace {

struct Words {
    Q_DECLARE_TR_FUNCTIONS(Help)
};

}  // namespace

QString wordOf(Page page)
{
    switch (page) {
    case Page::Start: return QStringLiteral("start");
    case Page::Overview: return QStringLiteral("overview");
    case Page::Tunnels: return QStringLiteral("tunnels");
    case Page::Connections: return QStringLiteral("connections");
    case Page::Devices: return QStringLiteral("devices");
    case Page::History: return QStringLiteral("history");
    case Page::Passthrough: return QStringLiteral("passthrough");
    case Page::PortForwards: return QStringLiteral("port-forwards");
    case Page::Network: return QStringLiteral("network");
    case Page::Lab: return QStringLiteral("lab");
    case Page::Events: return QStringLiteral("events");
    case Page::Settings: return QStringLiteral("settings");
    }
    return {};
}

QString nameOf(Page page)
{
    switch (page) {
    case Page::Start: return Words::tr("Start sharing");
    case Page::Overview: return Words::tr("Overview");
    case Page::Tunnels: return Words::tr("Tunnels");
    case Page::Connections: return Words::tr("Connections");
    case Page::Devices: return Words::tr("Devices");
    case Page::History: return Words::tr("History");
    case Page::Passthrough: return Words::tr("Passthrough");
    case Page::PortForwards: return Words::tr("Port forwards");
    case Page::Network: return Words::tr("Network");
    case Page::Lab: return Words::tr("Lab");
    case Page::Events: return Words::tr("Events");
    case Page::Settings: return Words::tr("Settings");
    }
    return {};
}

QString helpOn(Page page)
{
    switch (page) {
    case Page::Start:
        return Words::tr(
            "Choose the card with the way to the internet and the card that your devices are "
            "plugged into. Nothing on this computer changes before “Start sharing”, and everything "
            "is put back when you stop. The lab needs no second card.");
    case Page::Overview:
        return Words::tr(
            "Each tile opens the page that it counts. “Needs attention” lists what somebody should "
            "look at, each with one thing to do; “Hide” puts an entry away until sharing starts "
            "again.");
    case Page::Tunnels:
        return Words::tr(
            "Every VPN that a device has through this computer. “How it passes” says what the "
            "router uses to tell it apart from others with the same server. A question mark means "
            "that the protocol is only guessed. Encrypted tunnels are judged by their traffic: "
            "“Traffic both ways” is as much as anybody outside can know. What is over stays for a "
            "minute, then it is in History. In the filter, a minus before a word leaves out what "
            "has it.");
    case Page::Connections:
        return Words::tr(
            "Every session in the table, as the engine holds it. Ending one makes the program at "
            "its end connect again, or give up.");
    case Page::Devices:
        return Words::tr(
            "Who is behind this computer. Select one to name it, to limit its sessions, or to let "
            "it use VPNs only or nothing at all.");
    case Page::History:
        return Words::tr(
            "What has ended, and on top what still runs. It is kept for as many days and megabytes "
            "as Settings says. The export holds everything that the filters find.");
    case Page::Passthrough:
        return Words::tr(
            "Assist: the router helps, so that several devices can use the protocol with one "
            "server. Plain: ordinary translation without help. Block: new tunnels are refused and "
            "live ones are held for ten seconds, in which Undo brings them back unharmed. The "
            "check sends two simulated clients with clashing numbers through the real code; "
            "nothing of it leaves this computer.");
    case Page::PortForwards:
        return Words::tr(
            "Lets connections from the internet reach one device. GRE, ESP and their like have no "
            "ports: forward the protocol itself. Every change can be undone.");
    case Page::Network:
        return Words::tr(
            "How addresses and ports are translated, in general, for single devices and ports, and "
            "for destinations that are not translated at all. Nothing changes before Apply, and "
            "then you have ninety seconds to say that it works; else the former values come back.");
    case Page::Lab:
        return Words::tr(
            "Stories that the simulated computers play around the real router. Select one and press "
            "Play; every other page shows what happens in it. What must hold is judged on the way "
            "and for good when the scenario is over: the same claims that the router's own tests "
            "make. Your changes of the rules stay when you play another one, so you can see what a "
            "switch is good for.");
    case Page::Events:
        return Words::tr(
            "What the router has noticed since the window was opened, and why packets did not get "
            "through.");
    case Page::Settings: return Words::tr("Everything here acts at once and is remembered.");
    }
    return {};
}

std::vector<std::pair<QString, QString>> keys()
{
    return {
        {QStringLiteral("F1"), Words::tr("This help, for the page and the control in use")},
        {QStringLiteral("Ctrl+K"), Words::tr("Search pages, devices, tunnels, settings")},
        {QStringLiteral("Ctrl+1 … Ctrl+9"), Words::tr("Pages")},
        {QStringLiteral("Ctrl+F, /"), Words::tr("Filter this page")},
        {QStringLiteral("Esc"), Words::tr("Clear the filter, close the details")},
        {QStringLiteral("Space"), Words::tr("Freeze the table")},
        {QStringLiteral("Enter, Ctrl+Enter"), Words::tr("Details, details in a window")},
        {QStringLiteral("Del"), Words::tr("Disconnect, end, remove")},
        {QStringLiteral("Ctrl+Z, Ctrl+Shift+Z"), Words::tr("Undo and redo a change of the rules")},
        {QStringLiteral("Ctrl+E"), Words::tr("Export history")},
        {QStringLiteral("Ctrl+L"), Words::tr("Copy rows as CSV")},
        {QStringLiteral("F5"), Words::tr("Ask again now")},
        {QStringLiteral("F6, Shift+F6"), Words::tr("Next and previous pane")},
        {QStringLiteral("Alt+←, Alt+→"), Words::tr("Back and forward")},
        {QStringLiteral("Ctrl+,"), Words::tr("Settings")},
        {QStringLiteral("Ctrl+B"), Words::tr("Narrow or wide sidebar")},
        {QStringLiteral("Ctrl+W"), Words::tr("Close the window")},
        {QStringLiteral("Ctrl+Q"), Words::tr("Quit")},
    };
}

}  // namespace ui
