#pragma once

#include "engine/command.h"
#include "engine/event.h"
#include "engine/policy/passthrough_policy.h"
#include "engine/snapshot.h"
#include "ui/page.h"
#include "ui/values/device_name.h"
#include "ui/values/history.h"
#include "ui/values/host_setting.h"
#include "ui/values/interface_choice.h"
#include "ui/values/lab.h"
#include "ui/values/message.h"
#include "ui/values/router_state.h"
#include "ui/values/rule_set.h"
#include "ui/values/window_settings.h"

#include <QMainWindow>

#include <cstdint>
#include <memory>
#include <vector>

namespace ui {

/// The whole window. It shows the values it is given and emits what the user wants; it knows no
/// engine, no database and no socket. Every slot is cheap enough to be called four times a second
/// and none emits an intent.
///
/// The receiver of the intents is expected to answer by calling the slots again with the new truth;
/// until then the window shows the old one (a switch springs back if nothing comes).
class MainWindow final : public QMainWindow {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(MainWindow)

public:
    explicit MainWindow(QWidget* parent = nullptr);
    ~MainWindow() override;

    void showPage(Page page);
    [[nodiscard]] Page currentPage() const;
    /// Selects a tunnel and opens its detail pane. Unknown serials are ignored.
    void showTunnel(std::uint64_t serial);

public Q_SLOTS:
    void setRouterState(const ui::RouterState& state);
    /// Another router takes the place of the one shown so far: its tunnels, devices and events are
    /// gone, its numbers and its clock begin anew.
    void forgetRouter();
    /// Never null. The window keeps it until the next one.
    void setSnapshot(std::shared_ptr<const engine::Snapshot> snapshot);
    /// The answer to sessionsRequested(); `at` is the engine's clock at that moment.
    void setSessions(const std::vector<engine::SessionRecord>& sessions, engine::Instant at);
    void addEvents(const std::vector<engine::Event>& events);
    void setDeviceNames(const std::vector<ui::DeviceName>& names);
    void setRules(const ui::RuleSet& rules);
    void setUndo(const ui::UndoState& undo);
    void setInterfaces(const std::vector<ui::InterfaceChoice>& interfaces);
    /// What the lab can play; its page is there while the lab runs in this window.
    void setLabScenarios(const std::vector<ui::LabScenario>& scenarios);
    void setLabStatus(const ui::LabStatus& status);
    /// The answers to historyRequested().
    void setHistoryTunnels(const std::vector<ui::HistoryTunnel>& rows);
    /// The answer to earlierTunnelsRequested().
    void setEarlierTunnels(const ui::HistoryQuery& query,
                           const std::vector<ui::HistoryTunnel>& rows);
    void setHistoryConnections(const std::vector<ui::HistoryConnection>& rows);
    void setSettings(const ui::WindowSettings& settings);
    /// The answer to concernRequested().
    void setConcerned(quint64 question, quint32 sessions);
    /// The answer to hostRequested().
    void setHost(const ui::HostHoldings& holdings);
    void setVersions(const std::vector<ui::VersionLine>& lines);
    void showMessage(const ui::Message& message);
    /// The engine or the rule store has refused a wish; shown as a sentence by its cause.
    void showCommandError(engine::CommandError error);

Q_SIGNALS:
    // Sharing
    void startSharingRequested(const QString& internal, const QString& external);
    void stopSharingRequested();
    void labRequested();
    void scenarioRequested(const QString& scenario, ui::LabRules rules);
    void labSpeedRequested(int times);
    void startServiceRequested();
    /// A service that has denied us may let us in now.
    void attachRequested();
    /// The start page is shown or [Look again] was pressed.
    void interfacesRequested();

    // Live things
    void passthroughChangeRequested(engine::net::VpnProtocol protocol,
                                    const engine::policy::PassthroughSwitch& value,
                                    engine::policy::OnLive onLive);
    void holdResolved(engine::net::VpnProtocol protocol, engine::ResolveHold::How how);
    void selfTestRequested(engine::net::VpnProtocol protocol);
    void tunnelCloseRequested(quint64 serial);
    void sessionCloseRequested(quint64 serial);
    /// Once a second, only while a page is visible that shows sessions.
    void sessionsRequested(const engine::SessionQuery& query);

    // Rules. A new one has id 0; the receiver gives it one.
    void portForwardSaved(const engine::policy::PortForward& forward,
                          engine::policy::OnLive onLive = engine::policy::OnLive::Drop);
    void portForwardRemoved(quint32 id,
                            engine::policy::OnLive onLive = engine::policy::OnLive::Drop);
    void oneToOneSaved(const engine::policy::OneToOne& rule,
                       engine::policy::OnLive onLive = engine::policy::OnLive::Drop);
    void oneToOneRemoved(quint32 id, engine::policy::OnLive onLive = engine::policy::OnLive::Drop);
    /// Unspecified: none any more.
    void exposedHostChanged(engine::net::Ipv4Address address,
                            engine::policy::OnLive onLive = engine::policy::OnLive::Drop);
    /// One rule per address: replaces the one there is. Allow without a limit removes it.
    void deviceRuleSaved(const engine::policy::DeviceRule& rule,
                         engine::policy::OnLive onLive = engine::policy::OnLive::Drop);
    /// How many live sessions would this change end? Asked before one of the above, which waits for
    /// the answer.
    void concernRequested(quint64 question, const engine::Command& command);
    void deviceRenamed(engine::net::Ipv4Address address, const QString& name);
    void natConfigSaved(const engine::nat::NatConfig& config);
    void undoRequested();
    void redoRequested();

    // Memory and settings
    void historyRequested(const ui::HistoryQuery& query);
    /// For the detail of one tunnel, not for the history page.
    void earlierTunnelsRequested(const ui::HistoryQuery& query);
    /// Write what the query matches to a file; CSV or JSON by the file's ending.
    void exportRequested(const ui::HistoryQuery& query, const QString& path);
    void settingsChanged(const ui::WindowSettings& settings);
    /// Once a second, only while the settings are shown.
    void hostRequested();
    /// Asked and answered: sharing ends, and this computer becomes as it was.
    void hostRestoreRequested();

protected:
    void changeEvent(QEvent* event) override;
    void showEvent(QShowEvent* event) override;

private:
    void buildPages();
    QWidget* buildStatusStrip();
    void buildShortcuts();
    void movePane(int step);
    void openSearch();
    void mark(const TunnelKey& key, const TunnelMark& mark);
    void toggleHelp();
    void applyNat(const engine::nat::NatConfig& config);
    void goTo(Page page);
    void openTunnelWindow(std::uint64_t serial);
    void askForSessions();
    void refreshNow();
    void refreshSnapshot();
    void presentationChanged();
    void followTheme();

    struct Parts;
    std::unique_ptr<Parts> m_parts;
};

}  // namespace ui
