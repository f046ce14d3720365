#pragma once

#include "app/rules.h"
#include "app/storage/history_store.h"
#include "engine/event.h"
#include "engine/io/held_setting.h"
#include "engine/snapshot.h"

#include <QObject>
#include <QString>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace app {

/// How the wish ended. Applied and saved are told apart: a full disk does not stop a router.
struct CommandOutcome {
    std::optional<engine::CommandError> refused{};  ///< set: nothing has changed
    bool saved = true;  ///< false: in force, but lost when the router ends; `sentence` says why
    QString sentence;   ///< for people; what happened, and what it did to live sessions
    QString effect{};   ///< of the sentence, what it did to live sessions; empty: nothing
};

struct UndoState {
    QString lastChange;
    bool canUndo = false;
    bool canRedo = false;
    friend bool operator==(const UndoState&, const UndoState&) = default;
};

/// A device's hardware address and the name its owner gave it.
struct DeviceIdentity {
    engine::net::Ipv4Address address;
    engine::net::MacAddress mac;
    QString name;
    friend bool operator==(const DeviceIdentity&, const DeviceIdentity&) = default;
};

/// What a window or a command line may ask of a router, whoever holds it: wishes go out, values
/// come in. Answers arrive by the callback in the thread of this object, never before the call
/// returns, and are dropped if `context` has died. Instants of every value follow the clock of the
/// snapshots' `at`, except in history, which counts from 1970.
class RouterClient : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(RouterClient)

public:
    enum class Link : std::uint8_t {
        Connecting,
        Up,
        Lost,     ///< was up; the text says what happened
        Refused,  ///< will not come up; the text says why
        Ended,    ///< because restoreHost() was asked for
        Denied,   ///< a router is there and this user may not talk to it
    };
    template <typename... Values>
    using Reply = std::function<void(Values...)>;
    using SessionsReply = Reply<const std::vector<engine::SessionRecord>&, engine::Instant>;

    ~RouterClient() override = default;

    [[nodiscard]] virtual Link link() const = 0;

    /// Rules are saved before the outcome is told.
    virtual void apply(const engine::Command& command, QObject* context,
                       Reply<const CommandOutcome&> reply) = 0;
    virtual void undo(QObject* context, Reply<const CommandOutcome&> reply) = 0;
    virtual void redo(QObject* context, Reply<const CommandOutcome&> reply) = 0;
    virtual void renameDevice(engine::net::Ipv4Address device, const QString& name,
                              QObject* context, Reply<const CommandOutcome&> reply) = 0;
    virtual void changeSettings(const Settings& settings, QObject* context,
                                Reply<const CommandOutcome&> reply) = 0;

    /// How many sessions the command would end now if nobody let them finish; none without a
    /// router.
    virtual void sessionsEndedBy(const engine::Command& command, QObject* context,
                                 Reply<std::uint32_t> reply) = 0;
    /// What of this computer the router holds; an error leaves the list empty and tells a sentence.
    virtual void heldOnHost(
        QObject* context,
        Reply<const std::vector<engine::io::HeldSetting>&, const QString&> reply) = 0;
    /// Ends the router, which takes back all that it holds. Answered when that has been done, by
    /// what was seen on the computer then; `saved` is false if something stays.
    virtual void restoreHost(QObject* context, Reply<const CommandOutcome&> reply) = 0;

    virtual void sessions(const engine::SessionQuery& query, QObject* context,
                          SessionsReply reply) = 0;
    /// An error leaves the list empty and tells a sentence.
    virtual void historyTunnels(
        const storage::HistoryQuery& query, QObject* context,
        Reply<const std::vector<storage::HistoricTunnel>&, const QString&> reply) = 0;
    virtual void historySessions(
        const storage::HistoryQuery& query, QObject* context,
        Reply<const std::vector<storage::HistoricSession>&, const QString&> reply) = 0;
    virtual void historyMinutes(
        const storage::HistoryQuery& query, QObject* context,
        Reply<const std::vector<storage::MinuteCounters>&, const QString&> reply) = 0;

Q_SIGNALS:
    void linkChanged(app::RouterClient::Link link, const QString& text);
    void snapshotArrived(std::shared_ptr<const engine::Snapshot> snapshot);
    void eventsArrived(std::shared_ptr<const std::vector<engine::Event>> events);
    void rulesChanged(std::shared_ptr<const app::Rules> rules);
    void undoChanged(const app::UndoState& state);
    void devicesChanged(const std::vector<app::DeviceIdentity>& devices);
    /// Something that people must know and that no reply tells: a damaged database, a full disk.
    void problemArose(const QString& sentence);

protected:
    explicit RouterClient(QObject* parent = nullptr) : QObject(parent) {}
};

}  // namespace app
