#pragma once

#include "engine/tunnel/tunnel.h"
#include "ui/text/finding_words.h"
#include "ui/theme/symbol.h"
#include "ui/values/history.h"
#include "ui/values/presentation.h"

#include <QString>
#include <QStringList>

#include <cstdint>
#include <vector>

/// What is said about one tunnel. Nothing here claims more than the router has seen.
namespace ui {

/// The state column: the phase, and what the last packets say about it.
enum class TunnelState : std::uint8_t {
    Negotiating,
    BothWays,
    OneWay,
    Silent,
    Impaired,
    Held,
    Closed,
    Failed,
    Refused,
};
inline constexpr int kTunnelStateCount = 9;

/// Ours: keepalives of the usual VPNs come every 10 to 60 seconds.
inline constexpr engine::Duration kSilentAfter = std::chrono::seconds(90);

[[nodiscard]] TunnelState stateOf(const engine::tunnel::Tunnel& tunnel, engine::Instant now);
[[nodiscard]] QString wordOf(TunnelState state);
[[nodiscard]] Shape shapeOf(TunnelState state);
[[nodiscard]] Meaning meaningOf(TunnelState state);
/// "Silent 2 min": the word with its figure, where there is one.
[[nodiscard]] QString stateText(const engine::tunnel::Tunnel& tunnel, const Presentation& p);

/// The column that no other router has: "Call ID 3 → 51702".
[[nodiscard]] QString passageText(const engine::tunnel::Passage& passage,
                                  engine::net::VpnProtocol protocol);
[[nodiscard]] QString passageSentence(const engine::tunnel::Tunnel& tunnel, const Presentation& p);

/// Server as name and address; the name is hostile text and has been made safe.
[[nodiscard]] QString serverName(const engine::tunnel::Tunnel& tunnel);
/// The protocol's name as short as a table needs it, with a question mark if it is only a guess.
[[nodiscard]] QString protocolText(engine::net::VpnProtocol protocol,
                                   engine::tunnel::Confidence confidence);

/// "Anna-Laptop has had a PPTP tunnel to vpn.acme.example for 2 h 14 min. …"
[[nodiscard]] QString summaryOf(const engine::tunnel::Tunnel& tunnel, const Presentation& p);
/// Why it ended, in one sentence; empty while it lives.
[[nodiscard]] QString endSentence(const engine::tunnel::Tunnel& tunnel);

/// The same in a word or two, for tables.
[[nodiscard]] QString endWord(engine::tunnel::EventKind cause);

/// How well earlier sessions of one device with one server went; they have all ended.
[[nodiscard]] QString earlierSentence(const std::vector<HistoryTunnel>& earlier,
                                      const Presentation& p);

/// One entry of the timeline as a sentence.
[[nodiscard]] QString sentenceOf(const engine::tunnel::TimelineEvent& event,
                                 engine::net::VpnProtocol protocol);
[[nodiscard]] Meaning meaningOf(const engine::tunnel::TimelineEvent& event);

[[nodiscard]] Meaning meaningOf(engine::tunnel::FindingKind kind);
/// The header that proves it, in words and octets: one line each.
[[nodiscard]] QStringList evidenceOf(const engine::tunnel::Finding& finding);

}  // namespace ui
