#pragma once

#include "engine/tunnel/tunnel.h"

#include <QString>

/// What is said about a symptom that the router has seen. Needs no window: the command line says
/// the same.
namespace ui {

[[nodiscard]] QString titleOf(engine::tunnel::FindingKind kind);
/// What was seen, with its figures.
[[nodiscard]] QString sentenceOf(const engine::tunnel::Finding& finding);
/// What can be done about it.
[[nodiscard]] QString adviceOn(engine::tunnel::FindingKind kind);

}  // namespace ui
