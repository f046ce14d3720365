#include "ui/main_window.h"

namespace ui {

struct MainWindow::Parts {
    Page page = Page::Start;
};

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
    case Page::Events: return QStringLiteral("events");
    case Page::Settings: return QStringLiteral("settings");
    }
    return {};
}

MainWindow::MainWindow(QWidget* parent) : QMainWindow(parent), m_parts(std::make_unique<Parts>()) {}
MainWindow::~MainWindow() = default;

void MainWindow::showPage(Page page)
{
    m_parts->page = page;
}
Page MainWindow::currentPage() const
{
    return m_parts->page;
}
void MainWindow::showTunnel(std::uint64_t) {}
void MainWindow::setRouterState(const RouterState&) {}
void MainWindow::setSnapshot(std::shared_ptr<const engine::Snapshot>) {}
void MainWindow::setSessions(const std::vector<engine::SessionRecord>&, engine::Instant) {}
void MainWindow::addEvents(const std::vector<engine::Event>&) {}
void MainWindow::setDeviceNames(const std::vector<DeviceName>&) {}
void MainWindow::setRules(const RuleSet&) {}
void MainWindow::setUndo(const UndoState&) {}
void MainWindow::setInterfaces(const std::vector<InterfaceChoice>&) {}
void MainWindow::setHistoryTunnels(const std::vector<HistoryTunnel>&) {}
void MainWindow::setHistoryConnections(const std::vector<HistoryConnection>&) {}
void MainWindow::setSettings(const WindowSettings&) {}
void MainWindow::setVersions(const std::vector<VersionLine>&) {}
void MainWindow::showMessage(const Message&) {}
void MainWindow::showCommandError(engine::CommandError) {}
void MainWindow::changeEvent(QEvent* event)
{
    QMainWindow::changeEvent(event);
}

}  // namespace ui
