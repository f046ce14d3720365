// Fills the window with a plausible office and writes a picture of every page, light and dark.
//   window_gallery DIR [light|dark]
// Look at them after every change of the window's looks.
#include "ui/main_window.h"
#include "ui/pages/devices_page.h"
#include "ui/pages/host_card.h"
#include "ui/pages/network_page.h"
#include "ui/pages/port_forwards_page.h"
#include "ui/pages/rule_editors.h"
#include "ui/pages/tunnels_page.h"
#include "ui/widgets/table.h"

#include <QApplication>
#include <QDialog>
#include <QDir>
#include <QEventLoop>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>
#include <QSpinBox>
#include <QTimer>

#include <cstdio>

#include "tests/ui/fake_network.h"
#include "tests/ui/office.h"

namespace {

void settle()
{
    for (int i = 0; i < 4; ++i)
        QCoreApplication::processEvents(QEventLoop::AllEvents, 50);
}

void save(QWidget& widget, const QDir& directory, const QString& name)
{
    settle();
    widget.grab().save(directory.filePath(name + QStringLiteral(".png")));
}

QSpinBox& field(QWidget& root, const char* name)
{
    for (QSpinBox* box : root.findChildren<QSpinBox*>())
        if (box->accessibleName() == QLatin1String(name)) return *box;
    qFatal("there is no field %s", name);
}

/// What is said and asked before a rule comes into force, a flood, and the end of the long page.
void questions(ui::MainWindow& window, engine::Snapshot live, const QDir& directory,
               const QString& prefix, const QString& suffix)
{
    fake::answerConcern(window, 12);
    window.showPage(ui::Page::PortForwards);
    auto* forwards = window.findChild<ui::PortForwardsPage*>();
    forwards->table()->selectId(1);
    if (QPushButton* button = fake::buttonNamed(*forwards, QStringLiteral("Switch off")))
        button->click();
    save(window, directory, prefix + QStringLiteral("port-forward-live") + suffix);
    engine::policy::PortForward forward;
    forward.protocol = engine::net::IpProtocol::Udp;
    forward.externalPorts = {engine::net::Port{50000}, engine::net::Port{50010}};
    forward.internalFirst = engine::net::Port{50000};
    forward.internalAddress = engine::net::Ipv4Address{192, 0, 2, 21};
    forwards->edit(forward);
    if (auto* editor = forwards->findChild<ui::PortForwardEditor*>()) {
        Q_EMIT editor->saved(forward);
        delete editor;
    }
    save(window, directory, prefix + QStringLiteral("port-forward-taking") + suffix);

    window.showPage(ui::Page::Devices);
    auto* devices = window.findChild<ui::DevicesPage*>();
    devices->showDevice({192, 0, 2, 22});
    field(*devices, "Most sessions of this device").setValue(1);
    fake::buttonNamed(*devices, QStringLiteral("Access: Block"))->click();
    save(window, directory, prefix + QStringLiteral("device-question") + suffix);

    window.showPage(ui::Page::Network);
    auto* network = window.findChild<ui::NetworkPage*>();
    field(*network, "UDP, both ways").setValue(130);
    field(*network, "Sessions").setValue(2);
    QEventLoop typed;  // until the page takes the form for what is meant
    QTimer::singleShot(400, &typed, &QEventLoop::quit);
    typed.exec();
    save(window, directory, prefix + QStringLiteral("network-live") + suffix);
    auto* area = network->findChild<QScrollArea*>();
    area->verticalScrollBar()->setValue(area->verticalScrollBar()->maximum());
    save(window, directory, prefix + QStringLiteral("network-end") + suffix);

    live.synFloods = {{.server = {{192, 0, 2, 21}, engine::net::Port{8443}},
                       .since = live.at - std::chrono::seconds(75),
                       .answered = 1'438'211,
                       .proved = 17}};
    window.setSnapshot(std::make_shared<engine::Snapshot>(live));
    window.showPage(ui::Page::Overview);
    save(window, directory, prefix + QStringLiteral("overview-flood") + suffix);
}

void gallery(const QDir& directory, ui::ThemeChoice theme)
{
    const QString suffix =
        theme == ui::ThemeChoice::Dark ? QStringLiteral("-dark") : QStringLiteral("-light");
    ui::MainWindow window;
    window.resize(1400, 880);
    ui::WindowSettings settings;
    settings.theme = theme;
    window.setSettings(settings);
    window.setInterfaces(fake::interfaces());
    QObject::connect(&window, &ui::MainWindow::sessionsRequested, &window,
                     [&window](const engine::SessionQuery& query) {
                         auto rows = fake::sessions(240, 15612);
                         if (query.tunnelSerial != 0)
                             std::erase_if(rows, [&](const engine::SessionRecord& row) {
                                 return row.tunnelSerial != query.tunnelSerial;
                             });
                         if (rows.size() > 40 && query.tunnelSerial != 0) rows.resize(2);
                         window.setSessions(rows, fake::snapshot(240)->at);
                     });
    QObject::connect(&window, &ui::MainWindow::historyRequested, &window,
                     [&window](const ui::HistoryQuery& query) {
                         if (query.what == ui::HistoryQuery::What::Tunnels) {
                             window.setHistoryTunnels(fake::historyTunnels(60));
                         } else {
                             window.setHistoryConnections(fake::historyConnections(300));
                         }
                     });
    window.show();
    save(window, directory, QStringLiteral("00-start") + suffix);
    ui::RouterState error;
    error.kind = ui::RouterState::Kind::Error;
    error.text = QStringLiteral(
        "Could not open enp4s0: another program (dhclient) holds it. Sharing is stopped; your own "
        "internet is not affected.");
    error.details = QStringLiteral("EBUSY");
    window.setRouterState(error);
    save(window, directory, QStringLiteral("00-start-error") + suffix);

    ui::RouterState state;
    state.kind = ui::RouterState::Kind::Sharing;
    state.internalInterface = QStringLiteral("enp4s0");
    state.externalInterface = QStringLiteral("enp3s0");
    window.setRouterState(state);
    save(window, directory, QStringLiteral("01-overview-empty") + suffix);
    window.showPage(ui::Page::Tunnels);
    save(window, directory, QStringLiteral("02-tunnels-empty") + suffix);
    window.showPage(ui::Page::Overview);
    window.setDeviceNames(fake::deviceNames());
    window.setRules(fake::rules());
    window.setUndo({QStringLiteral("L2TP set to Block"), true, false});
    window.setVersions(
        {{QStringLiteral("Underpass"), QStringLiteral("0.1.0"), QStringLiteral("GPL-3.0-or-later")},
         {QStringLiteral("Qt"), QStringLiteral("6.4.2"), QStringLiteral("LGPL-3.0")},
         {QStringLiteral("QCustomPlot"), QStringLiteral("2.1.0"),
          QStringLiteral("GPL-3.0-or-later")}});
    for (int step = 0; step <= 240; ++step) {
        window.setSnapshot(fake::snapshot(step));
        if (step == 60) window.addEvents(fake::events(step));
    }
    int number = 1;
    for (const ui::Page page :
         {ui::Page::Overview, ui::Page::Tunnels, ui::Page::Connections, ui::Page::Devices,
          ui::Page::History, ui::Page::Passthrough, ui::Page::PortForwards, ui::Page::Network,
          ui::Page::Events, ui::Page::Settings}) {
        window.showPage(page);
        window.setSnapshot(fake::snapshot(241));
        save(window, directory,
             QStringLiteral("%1-%2%3")
                 .arg(number++, 2, 10, QLatin1Char('0'))
                 .arg(ui::wordOf(page), suffix));
    }
    window.setHost(fake::hostHoldings());
    auto* host = window.findChild<ui::HostCard*>();
    for (QWidget* one = host->parentWidget(); one != nullptr; one = one->parentWidget()) {
        if (auto* area = qobject_cast<QScrollArea*>(one)) {
            settle();
            area->verticalScrollBar()->setValue(host->y());
        }
    }
    for (QPushButton* button : host->findChildren<QPushButton*>()) {
        if (button->accessibleName() == QStringLiteral("Restore this computer now"))
            button->click();
    }
    save(window, directory, QStringLiteral("10-settings-host") + suffix);
    window.showTunnel(6);
    save(window, directory, QStringLiteral("02-tunnels-detail") + suffix);
    window.showTunnel(1);
    auto* tunnels = window.findChild<ui::TunnelsPage*>();
    tunnels->showTab(ui::TunnelDetail::Tab::Timeline);
    save(window, directory, QStringLiteral("02-tunnels-timeline") + suffix);
    tunnels->showTab(ui::TunnelDetail::Tab::Mapping);
    save(window, directory, QStringLiteral("02-tunnels-mapping") + suffix);
    // A held switch.
    window.showPage(ui::Page::Passthrough);
    auto held = std::make_shared<engine::Snapshot>(*fake::snapshot(242));
    auto& pptp = held->protocols[0];
    pptp.position.mode = engine::policy::PassthroughMode::Block;
    pptp.heldTunnels = 2;
    pptp.heldUntil = held->at + std::chrono::seconds(8);
    held->tunnels[0].phase = held->tunnels[1].phase = engine::tunnel::Phase::Held;
    window.setSnapshot(held);
    for (QPushButton* button : window.findChildren<QPushButton*>()) {
        if (button->accessibleName() == QStringLiteral("Details of L2TP")) button->click();
    }
    window.showCommandError(engine::CommandError::NothingHeld);
    save(window, directory, QStringLiteral("06-passthrough-held") + suffix);
    window.showPage(ui::Page::Network);
    for (QPushButton* button : window.findChildren<QPushButton*>()) {
        const QString name = button->accessibleName();
        const bool untranslated = name == QStringLiteral("Add a destination without translation");
        if (!untranslated && name != QStringLiteral("Add a NAT type")) continue;
        button->click();
        settle();
        auto* dialog = window.findChild<QDialog*>();
        save(*dialog, directory,
             (untranslated ? QStringLiteral("08-untranslated-editor")
                           : QStringLiteral("08-nat-type-editor")) +
                 suffix);
        delete dialog;
    }
    if (auto* area = window.findChild<ui::NetworkPage*>()->findChild<QScrollArea*>())
        area->verticalScrollBar()->setValue(330);
    save(window, directory, QStringLiteral("08-network-rules") + suffix);
    window.showPage(ui::Page::PortForwards);
    engine::policy::PortForward forward;
    forward.name = "PPTP data";
    forward.externalPorts = {engine::net::Port{47}, engine::net::Port{47}};
    forward.internalAddress = engine::net::Ipv4Address{192, 0, 2, 21};
    window.findChild<ui::PortForwardsPage*>()->edit(forward);
    settle();
    if (auto* dialog = window.findChild<QDialog*>())
        save(*dialog, directory, QStringLiteral("07-port-forward-editor") + suffix);
    delete window.findChild<QDialog*>();
    questions(window, *fake::snapshot(243), directory, QStringLiteral("11-"), suffix);
}

/// What is hard to show: a small screen, long names, many tunnels, a service that says no.
void hardGallery(const QDir& directory, ui::ThemeChoice theme)
{
    const QString suffix =
        theme == ui::ThemeChoice::Dark ? QStringLiteral("-dark") : QStringLiteral("-light");
    ui::MainWindow window;
    window.resize(1024, 600);
    ui::WindowSettings settings;
    settings.theme = theme;
    window.setSettings(settings);
    QObject::connect(&window, &ui::MainWindow::sessionsRequested, &window, [&window] {
        window.setSessions(fake::sessions(240, 300), fake::snapshot(240)->at);
    });
    QObject::connect(&window, &ui::MainWindow::historyRequested, &window, [&window] {
        window.setHistoryTunnels(fake::historyTunnels(60));
        window.setHistoryConnections(fake::historyConnections(300));
    });
    window.show();
    window.setRouterState(fake::denied());
    save(window, directory, QStringLiteral("20-denied") + suffix);
    window.setRouterState(fake::sharing());
    window.setDeviceNames(fake::longDeviceNames());
    window.setRules(fake::rules());
    window.setHost(fake::hostHoldings());
    for (int step = 0; step <= 20; ++step)
        window.setSnapshot(fake::crowded(step));
    window.addEvents(fake::events(8));
    for (const ui::Page page : fake::kPages) {
        window.showPage(page);
        window.setSnapshot(fake::crowded(21));
        save(window, directory, QStringLiteral("21-small-%1%2").arg(ui::wordOf(page), suffix));
    }
    window.showTunnel(6);
    save(window, directory, QStringLiteral("21-small-tunnel") + suffix);
    questions(window, *fake::crowded(22), directory, QStringLiteral("22-small-"), suffix);
}

}  // namespace

int main(int argc, char** argv)
{
    if (qEnvironmentVariableIsEmpty("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
    QApplication application(argc, argv);
    const QStringList arguments = QApplication::arguments();
    if (arguments.size() < 2) {
        std::fputs("usage: window_gallery DIR [light|dark]\n", stderr);
        return 2;
    }
    const QDir directory(arguments.at(1));
    if (!directory.mkpath(QStringLiteral("."))) {
        std::fputs("window_gallery: the directory cannot be made\n", stderr);
        return 2;
    }
    const QString only = arguments.value(2);
    if (only != QStringLiteral("dark")) {
        gallery(directory, ui::ThemeChoice::Light);
        hardGallery(directory, ui::ThemeChoice::Light);
    }
    if (only != QStringLiteral("light")) {
        gallery(directory, ui::ThemeChoice::Dark);
        hardGallery(directory, ui::ThemeChoice::Dark);
    }
    return 0;
}
