#pragma once

#include "engine/command.h"
#include "engine/io/held_setting.h"
#include "engine/nat/nat_config.h"
#include "engine/policy/passthrough_policy.h"
#include "engine/policy/rules.h"
#include "engine/snapshot.h"
#include "engine/tunnel/tunnel.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Stable English words for the engine's enumerators: the command line, the control socket and the
/// databases speak them, so none may ever change its meaning. People's words are made in ui/.
namespace app {

[[nodiscard]] std::string_view wordOf(engine::tunnel::Confidence value);
[[nodiscard]] std::string_view wordOf(engine::tunnel::Phase value);
[[nodiscard]] std::string_view wordOf(engine::tunnel::Lane value);
[[nodiscard]] std::string_view wordOf(engine::tunnel::EventKind value);
[[nodiscard]] std::string_view wordOf(engine::tunnel::PassageKind value);
[[nodiscard]] std::string_view wordOf(engine::tunnel::FindingKind value);
[[nodiscard]] std::string_view wordOf(engine::TcpState value);
[[nodiscard]] std::string_view wordOf(engine::SelfTestResult::Outcome value);
[[nodiscard]] std::string_view wordOf(engine::policy::PassthroughMode value);
[[nodiscard]] std::string_view wordOf(engine::policy::OnLive value);
[[nodiscard]] std::string_view wordOf(engine::policy::DeviceAccess value);
[[nodiscard]] std::string_view wordOf(engine::ForwardObstacle value);
[[nodiscard]] std::string_view wordOf(engine::nat::Behaviour value);
[[nodiscard]] std::string_view wordOf(engine::io::HeldSetting::Kind value);
[[nodiscard]] std::string_view wordOf(engine::nat::PingsFromOutside value);
/// "tcp", "gre", …; the number where there is no word.
[[nodiscard]] std::string wordOf(engine::net::IpProtocol value);

/// The enumerator that a word names; none if it names nothing. Instantiated for every type above
/// but IpProtocol.
template <typename Enum>
[[nodiscard]] std::optional<Enum> fromWord(std::string_view word);
/// A word or a number from 0 to 255.
[[nodiscard]] std::optional<engine::net::IpProtocol> ipProtocolFromWord(std::string_view word);

/// One English sentence for people without a window.
[[nodiscard]] std::string_view sentenceOf(engine::CommandError error);
/// What follows "waits: ".
[[nodiscard]] std::string_view sentenceOf(engine::ForwardObstacle obstacle);

/// "Call ID 3 -> 51702": how a tunnel passes the NAT, in English.
[[nodiscard]] std::string passageText(const engine::tunnel::Passage& passage);

}  // namespace app
