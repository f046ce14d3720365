#include "app/daemon.h"

#include "app/card_backend.h"
#include "app/control/server.h"
#include "app/control/socket_path.h"
#include "app/ctl/text.h"
#include "app/end_signal.h"
#include "app/local_router_client.h"
#include "app/service_manager.h"
#include "app/state_folder.h"
#include "app/version.h"
#include "engine/io/host_guard.h"

#include <QCoreApplication>
#include <QDir>
#include <QFileInfo>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>
#include <map>
#include <memory>
#include <string>

#include <sys/stat.h>
namespace app {

namespace {

constexpr int kExitUsage = 2;
constexpr int kExitStopped = 1;

constexpr QLatin1String kProgram("underpassd");

struct Options {
    std::string internal;
    std::string external;
    std::string state;
    std::string control = control::kDefaultSocket;
    std::string group;  ///< empty: the usual one, if there is such a group
    std::uint32_t sessions = 262144;
    engine::io::DeviceKind device = engine::io::DeviceKind::Native;
    bool noDhcp = false;
    bool noDns = false;
};

int refuse(const QString& sentence)
{
    ctl::complain(kProgram, sentence);
    return kExitUsage;
}

/// The option must say something.
std::string saysSomething(const std::string& text)
{
    return text.empty() ? "needs a value" : std::string{};
}

int serve(const Options& options)
{
    EndSignal end;
    const QString state =
        options.state.empty() ? defaultStateFolder() : QString::fromStdString(options.state);
    if (const QFileInfo there(state); there.exists() && !there.isDir()) {
        return refuse(QStringLiteral("The state folder %1 is no folder.").arg(state));
    }
    const QString groupName = options.group.empty() ? QLatin1String(control::kDefaultGroup)
                                                    : QString::fromStdString(options.group);
    const auto group = control::groupNamed(groupName);
    if (!group && !options.group.empty())
        return refuse(QStringLiteral("There is no group %1.").arg(groupName));
    // What a network does is nobody's business: files and folders of ours are the owner's alone.
    ::umask(0077);
    const bool kept = QDir().mkpath(state);
    const std::string directory = kept ? state.toStdString() : std::string{};
    auto rulesStore = storage::RulesStore::openIn(directory);
    auto historyStore = storage::HistoryStore::openIn(directory);
    QStringList warnings;
    if (!kept) {
        warnings += QStringLiteral("%1 cannot be made; nothing will be remembered.").arg(state);
    }
    for (const std::string& message : {rulesStore.message(), historyStore.message()}) {
        if (!message.empty()) warnings += QString::fromStdString(message);
    }
    Rules rules;
    if (auto loaded = rulesStore.load(); loaded) {
        rules = std::move(*loaded);
    } else {
        warnings += QString::fromStdString(loaded.error().sentence);
    }

    engine::io::RouterOptions wanted;
    wanted.internal = options.internal;
    wanted.external = options.external;
    wanted.state = directory;
    wanted.device = options.device;
    wanted.config.maxSessions = options.sessions;
    copyInto(wanted.config, rules);
    auto router = engine::io::Router::open(std::move(wanted));
    if (!router) {
        // What a run that crashed has left must not stay because this one cannot start. Whether
        // that worked is said by the next one that asks.
        (void)engine::io::restoreHost(directory).has_value();
        return refuse(QString::fromStdString(engine::io::sentenceOf(router.error())) +
                      QLatin1Char('.'));
    }

    if (const std::string why = (*router)->unrecorded(); !why.empty()) {
        warnings += QStringLiteral(
                        "After a crash, use underpassctl restore: what is changed on "
                        "this computer cannot be noted (%1).")
                        .arg(QString::fromStdString(why));
    }

    // Whoever cannot be a router here is told that and nothing else.
    for (const QString& warning : warnings) {
        ctl::complain(kProgram, warning);
    }

    LocalRouterClient client(std::make_unique<CardBackend>(std::move(*router)), std::move(rules),
                             std::move(rulesStore), std::move(historyStore));
    control::Server server(client, {.program = kProgram,
                                    .internalInterface = QString::fromStdString(options.internal),
                                    .externalInterface = QString::fromStdString(options.external),
                                    .lab = false});
    const QString path = QString::fromStdString(options.control);
    auto listening = server.listen(path, group);
    if (!listening && group && options.group.empty()) {
        // Nobody has asked for the group, so the router goes on without.
        ctl::complain(kProgram, listening.error());
        listening = server.listen(path);
    }
    if (!listening) return refuse(listening.error());

    int status = 0;
    ServiceManager manager;
    QObject::connect(&client, &RouterClient::problemArose, &client,
                     [](const QString& sentence) { ctl::complain(kProgram, sentence); });
    QObject::connect(&client, &RouterClient::linkChanged, &client,
                     [&status](RouterClient::Link link, const QString& text) {
                         if (link == RouterClient::Link::Up) return;
                         ctl::complain(kProgram, text);
                         status = link == RouterClient::Link::Ended ? 0 : kExitStopped;
                         QCoreApplication::quit();
                     });
    // The first snapshot comes from the engine's loop: packets flow from now on.
    auto* first = new QObject(&client);
    QObject::connect(&client, &RouterClient::snapshotArrived, first, [first, &manager] {
        ctl::print(QStringLiteral("underpassd: ready\n"));
        manager.ready();
        first->deleteLater();
    });
    QObject::connect(&client, &RouterClient::snapshotArrived, &manager, &ServiceManager::alive);
    QObject::connect(&end, &EndSignal::endAsked, qApp, [&manager] {
        manager.stopping();
        QCoreApplication::quit();
    });
    QCoreApplication::exec();
    return status;
}

}  // namespace

int runDaemon(int argc, char** argv)
{
    QCoreApplication application(argc, argv);
    QCoreApplication::setApplicationName(kProgram);
    QCoreApplication::setApplicationVersion(QLatin1String(kVersion));

    Options options;
    CLI::App app{"Shares this computer's connection: a router that lets every VPN through.",
                 "underpassd"};
    app.set_version_flag("--version", std::string("underpassd ") + kVersion);
    app.add_option("--internal", options.internal, "Network card of the shared side")
        ->required()
        ->check(saysSomething);
    app.add_option("--external", options.external, "Network card of the internet's side")
        ->required()
        ->check(saysSomething);
    app.add_option("--state", options.state, "Folder for rules, history and sessions")
        ->check(saysSomething);
    app.add_option("--control", options.control, "Control socket")->capture_default_str();
    app.add_option("--socket-group", options.group,
                   "Members of this group may control the router, too (the group underpass, if "
                   "there is one)")
        ->check(saysSomething);
    app.add_option("--sessions", options.sessions, "At most so many sessions")
        ->capture_default_str()
        ->check(CLI::Range(1024U, 16'777'216U));
    const std::map<std::string, engine::io::DeviceKind> devices{
        {"native", engine::io::DeviceKind::Native}, {"pcap", engine::io::DeviceKind::Pcap}};
    app.add_option_function<std::string>(
           "--device", [&](const std::string& word) { options.device = devices.at(word); },
           "How the cards are opened: native (AF_PACKET, with offloads) or pcap (libpcap, without)")
        ->check(CLI::IsMember({"native", "pcap"}))
        ->default_str("native");
    app.add_flag("--no-dhcp", options.noDhcp, "Serve no addresses to the shared side");
    app.add_flag("--no-dns", options.noDns, "Serve no names to the shared side");
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {
        return app.exit(asked);
    } catch (const CLI::ParseError& wrong) {
        return refuse(QString::fromUtf8(wrong.what()) + QStringLiteral(" (see --help)"));
    }
    return serve(options);
}

}  // namespace app
