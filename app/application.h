#pragma once

#include "app/lab_player.h"
#include "app/router_client.h"
#include "ui/main_window.h"

#include <QObject>
#include <QString>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace app::control {
class Server;
}

namespace app {

/// The desktop program: makes the window and the router it shows, connects both, and nothing else.
/// The router is the service's if one runs on this computer, else this process holds it.
class Application final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(Application)

public:
    struct Options {
        bool lab = false;
        QString scenario = QStringLiteral("overview");  ///< of the lab
        QString screenshots;                            ///< folder; empty: none
        QString control;                                ///< where a service would listen
        QString state;                                  ///< folder of the databases
        bool tellStartTime = false;
    };

    explicit Application(Options options);
    ~Application() override;

    void start();

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    void connectIntents();
    void connectRules();
    void attachOrWait();
    void leftovers();
    void startLab();
    void playScenario(const QString& scenario, ui::LabRules rules);
    void useLab(PreparedLab& prepared);
    void showLab();
    void startSharing(const QString& internal, const QString& external);
    void stopSharing();
    void startService();
    void use(std::unique_ptr<RouterClient> router, const ui::RouterState& state);
    void drop();
    void setState(const ui::RouterState& state);
    void showInterfaces();
    void showHost();
    void restoreHost();
    void showHistory(const ui::HistoryQuery& query);
    void exportHistory(const ui::HistoryQuery& query, const QString& path);
    void changeSettings(const ui::WindowSettings& settings);
    void apply(const engine::Command& command);
    void tell(const CommandOutcome& outcome);
    void takeScreenshots();

    Options m_options;
    ui::MainWindow m_window;
    ui::RouterState m_state;
    ui::WindowSettings m_settings;
    std::shared_ptr<const Rules> m_rules;
    std::vector<DeviceIdentity> m_devices;
    std::unique_ptr<RouterClient> m_router;
    LabPlayer m_player;
    std::shared_ptr<LabDial> m_dial;  ///< of the lab that is played; null: none
    QString m_playing;                ///< its scenario
    QString m_wanted;                 ///< the scenario that is being prepared; empty: none
    engine::Duration m_playLength{0};
    Rules m_labRules;                              ///< those that the scenario came with
    std::deque<std::function<void()>> m_pictures;  ///< steps still to do
    std::unique_ptr<control::Server> m_server;     ///< speaks for m_router, so it goes first
};

/// The whole of `underpass`.
int runApplication(int argc, char** argv);

}  // namespace app
