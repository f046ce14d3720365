#pragma once

#include "app/router_client.h"
#include "app/rules.h"
#include "app/storage/history_store.h"
#include "engine/base/result.h"
#include "engine/command.h"
#include "engine/event.h"
#include "engine/io/held_setting.h"
#include "engine/snapshot.h"

#include <QJsonArray>
#include <QJsonObject>
#include <QJsonValue>
#include <QString>

#include <vector>

/// The engine's values as JSON, for the control socket and for scripts. Instants are microseconds
/// since 1970, durations microseconds, addresses and enumerators words. One description per type
/// serves both directions, so they cannot disagree; names are stable.
namespace app::control {

enum class Detail : std::uint8_t {
    Summary,  ///< tunnels without timeline and findings
    Full,
};

[[nodiscard]] QJsonObject toJson(const engine::tunnel::Tunnel& tunnel,
                                 Detail detail = Detail::Full);
[[nodiscard]] QJsonObject toJson(const engine::SessionRecord& session);
[[nodiscard]] QJsonObject toJson(const engine::Counters& counters);
[[nodiscard]] QJsonObject toJson(const engine::ProtocolStatus& status);
[[nodiscard]] QJsonObject toJson(const engine::Snapshot& snapshot, Detail detail);
[[nodiscard]] QJsonObject toJson(const engine::Event& event);
[[nodiscard]] QJsonObject toJson(const engine::Command& command);
[[nodiscard]] QJsonObject toJson(const engine::policy::PassthroughSwitch& value);
[[nodiscard]] QJsonObject toJson(const Rules& rules);
[[nodiscard]] QJsonObject toJson(const Settings& settings);
[[nodiscard]] QJsonObject toJson(const storage::HistoryQuery& query);
[[nodiscard]] QJsonObject toJson(const storage::HistoricTunnel& row);
[[nodiscard]] QJsonObject toJson(const storage::HistoricSession& row);
[[nodiscard]] QJsonObject toJson(const storage::MinuteCounters& row);
[[nodiscard]] QJsonObject toJson(const UndoState& state);
[[nodiscard]] QJsonObject toJson(const DeviceIdentity& device);
[[nodiscard]] QJsonObject toJson(const engine::SessionQuery& query);
[[nodiscard]] QJsonObject toJson(const engine::io::HeldSetting& setting);

/// The value, or the name of the first field that is wrong. Fields that are absent keep their
/// defaults, fields that are unknown are ignored: a newer peer may say more. Instantiated for every
/// type above.
template <typename T>
[[nodiscard]] engine::Result<T, QString> fromJson(const QJsonValue& json);

}  // namespace app::control
