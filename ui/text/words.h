#pragma once

#include "engine/base/drop_reason.h"
#include "engine/command.h"
#include "engine/event.h"
#include "engine/policy/passthrough_policy.h"
#include "engine/snapshot.h"
#include "engine/tunnel/tunnel.h"
#include "ui/values/nat_type.h"

#include <QString>

/// One word or sentence per enumerator of the engine, in the language of the window. Every function
/// here is total.
namespace ui {

[[nodiscard]] QString sentenceOf(engine::DropReason reason);
[[nodiscard]] QString sentenceOf(engine::CommandError error);
[[nodiscard]] QString sentenceOf(engine::ForwardObstacle obstacle);
/// How to get out of it, or empty.
[[nodiscard]] QString adviceOn(engine::CommandError error);

[[nodiscard]] QString wordOf(engine::tunnel::Phase phase);
[[nodiscard]] QString sentenceOf(engine::tunnel::Phase phase);
[[nodiscard]] QString wordOf(engine::tunnel::Confidence confidence);
[[nodiscard]] QString sentenceOf(engine::tunnel::Confidence confidence);
[[nodiscard]] QString wordOf(engine::tunnel::Lane lane);
[[nodiscard]] QString wordOf(engine::policy::PassthroughMode mode);
[[nodiscard]] QString wordOf(engine::policy::DeviceAccess access);
[[nodiscard]] QString wordOf(engine::nat::Behaviour behaviour);
[[nodiscard]] QString wordOf(engine::nat::PingsFromOutside pings);
[[nodiscard]] QString sentenceOf(engine::nat::Behaviour behaviour);
[[nodiscard]] QString wordOf(NatType type);
/// What it means for those who use the device.
[[nodiscard]] QString sentenceOf(NatType type);
[[nodiscard]] QString wordOf(engine::TcpState state);

/// "PPTP"; a proper name.
[[nodiscard]] QString nameOf(engine::net::VpnProtocol protocol);
/// What the router does for that protocol when its switch stands on Assist.
[[nodiscard]] QString sentenceOf(engine::net::VpnProtocol protocol);
/// Ports and protocol numbers: "TCP 1723, GRE (protocol 47)".
[[nodiscard]] QString technicalsOf(engine::net::VpnProtocol protocol);
/// A warning that belongs on the card, or empty.
[[nodiscard]] QString cautionOf(engine::net::VpnProtocol protocol);

}  // namespace ui
