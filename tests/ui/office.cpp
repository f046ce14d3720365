#include "tests/ui/office.h"

#include "ui/widgets/safe_label.h"
#include "ui/widgets/table.h"

#include <QApplication>
#include <QComboBox>
#include <QLineEdit>
#include <QPushButton>

#include "tests/ui/fake_network.h"

namespace fake {

ui::RouterState sharing()
{
    ui::RouterState state;
    state.kind = ui::RouterState::Kind::Sharing;
    state.internalInterface = QStringLiteral("enp4s0");
    state.externalInterface = QStringLiteral("enp3s0");
    return state;
}

ui::RouterState denied()
{
    ui::RouterState state;
    state.kind = ui::RouterState::Kind::Denied;
    state.attached = true;
    state.text = QStringLiteral(
        "There is an Underpass service on this computer, and you may not control it. What it "
        "shares goes on; this window can neither see nor change it, and the lab works without it. "
        "Ask an administrator to make you a member of the group underpass, then log in again.");
    state.details = QStringLiteral("/run/underpass/control.sock\nusermod -aG underpass anna");
    return state;
}

std::vector<ui::DeviceName> longDeviceNames()
{
    auto names = deviceNames();
    for (ui::DeviceName& name : names) {
        name.name =
            QStringLiteral("Arbeitsplatzrechner der Datenverarbeitungsabteilung, ") + name.name;
    }
    return names;
}

std::shared_ptr<const engine::Snapshot> crowded(int step)
{
    auto many = std::make_shared<engine::Snapshot>(*snapshot(step));
    const auto few = many->tunnels;
    for (std::uint64_t serial = 100; many->tunnels.size() < 500; ++serial) {
        many->tunnels.push_back(few[serial % few.size()]);
        many->tunnels.back().serial = serial;
    }
    for (auto& tunnel : many->tunnels)
        tunnel.serverName = "einwahl-server-fuer-aussendienstmitarbeiter.niederlassung.example";
    return many;
}

std::unique_ptr<ui::MainWindow> office()
{
    auto window = std::make_unique<ui::MainWindow>();
    // The offscreen platform's screen is smaller than people have.
    window->resize(1400, 880);
    window->setRouterState(sharing());
    window->setDeviceNames(deviceNames());
    window->setRules(rules());
    window->setInterfaces(interfaces());
    window->setHost(hostHoldings());
    for (int step = 0; step < 10; ++step)
        window->setSnapshot(snapshot(step));
    window->addEvents(events(8));
    window->setHistoryTunnels(historyTunnels(20));
    window->setHistoryConnections(historyConnections(20));
    window->show();
    QApplication::setActiveWindow(window.get());
    return window;
}

void answerConcern(ui::MainWindow& window, quint32 sessions)
{
    QObject::connect(&window, &ui::MainWindow::concernRequested, &window,
                     [&window, sessions](quint64 question, const engine::Command&) {
                         window.setConcerned(question, sessions);
                     });
}

QPushButton* buttonNamed(const QWidget& root, const QString& name)
{
    for (QPushButton* button : root.findChildren<QPushButton*>()) {
        if (button->accessibleName() == name || button->text().remove(QLatin1Char('&')) == name)
            return button;
    }
    return nullptr;
}

QComboBox* choiceNamed(const QWidget& root, const char* name)
{
    for (QComboBox* box : root.findChildren<QComboBox*>()) {
        if (box->accessibleName() == QLatin1String(name)) return box;
    }
    return nullptr;
}

QLineEdit* fieldNamed(const QWidget& root, const char* name)
{
    for (QLineEdit* field : root.findChildren<QLineEdit*>()) {
        if (field->accessibleName() == QLatin1String(name)) return field;
    }
    return nullptr;
}

ui::Table* tableNamed(const QWidget& root, const char* name)
{
    for (ui::Table* table : root.findChildren<ui::Table*>()) {
        if (table->accessibleName() == QLatin1String(name)) return table;
    }
    return nullptr;
}

ui::SafeLabel* labelSaying(const QWidget& root, const QString& text)
{
    for (ui::SafeLabel* label : root.findChildren<ui::SafeLabel*>()) {
        if (label->isVisible() && label->text().contains(text)) return label;
    }
    return nullptr;
}

}  // namespace fake
