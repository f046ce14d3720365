#pragma once

#include "engine/snapshot.h"

#include <QString>

/// What is said about a flood that the router keeps from a server. Needs no window: the command
/// line says the same.
namespace ui {

/// What the router does about it while it lasts, and what it has come to.
[[nodiscard]] QString sentenceOf(const engine::SynFloodStatus& flood);
/// The same when it is over.
[[nodiscard]] QString sentenceAfter(const engine::SynFloodStatus& flood);

}  // namespace ui
