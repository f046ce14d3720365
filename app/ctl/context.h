#pragma once

#include "app/control/connection.h"
#include "app/control/socket_path.h"
#include "app/rules.h"

#include <QJsonArray>
#include <QString>

#include <CLI/App.hpp>
#include <functional>
#include <optional>
#include <string>

namespace app::ctl {

/// Wrong input.
inline constexpr int kExitUsage = 2;
/// Right input, but it could not be done.
inline constexpr int kExitFailed = 1;

/// One run of the command line: what was asked for, and the conversation with the router.
class Context {
public:
    std::string socket = control::kDefaultSocket;
    bool json = false;
    bool dryRun = false;  ///< say what a change of the rules would do, and do nothing
    /// Set by the command that was named; run after parsing.
    std::function<int()> action;

    /// Asks and gives the answer; none after the reason has been printed. `status()` is the exit
    /// status then.
    [[nodiscard]] std::optional<QJsonObject> ask(const QString& verb,
                                                 const QJsonObject& arguments = {});
    /// Whether a router listens; none after the reason has been printed why that cannot be told.
    [[nodiscard]] std::optional<bool> asksSomebody();
    /// Prints the outcome that a verb was answered with; the exit status.
    int tell(const std::optional<QJsonObject>& answer);
    /// Applies and prints the outcome; with `dryRun` prints what it would do to live sessions.
    int apply(const engine::Command& command, std::optional<std::uint64_t> revision = std::nullopt);
    /// What a command would do to live sessions; none after the reason has been printed.
    struct Effect {
        std::uint32_t sessions = 0;  ///< that would end, unless they may finish
        QString sentence;            ///< empty: nobody is concerned
    };
    [[nodiscard]] std::optional<Effect> effectOf(const engine::Command& command);
    [[nodiscard]] std::optional<Rules> rules();
    int fail(const QString& sentence, int status = kExitFailed);
    [[nodiscard]] int status() const { return m_status; }

private:
    std::optional<control::Connection> m_connection;
    int m_status = 0;
};

// Each adds its verbs.
void addWatching(CLI::App& app, Context& context);
void addPassthrough(CLI::App& app, Context& context);
void addRules(CLI::App& app, Context& context);
void addNatRules(CLI::App& rules, Context& context);
void addDeviceRules(CLI::App& rules, Context& context);
void addRecognise(CLI::App& app, Context& context);
void addLab(CLI::App& app, Context& context);
void addHost(CLI::App& app, Context& context);

}  // namespace app::ctl
