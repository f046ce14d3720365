#pragma once

#include "engine/base/time.h"

#include <QString>

#include <vector>

namespace ui {

/// A story that the built-in lab can play. Its name is that of the command line; both texts are the
/// engine's, in English.
struct LabScenario {
    QString name;
    QString lesson;  ///< one sentence
    engine::Duration length{0};
    friend bool operator==(const LabScenario&, const LabScenario&) = default;
};

/// Something that must hold in a scenario.
struct LabClaim {
    QString what;
    bool holds = false;
    QString detail;
    friend bool operator==(const LabClaim&, const LabClaim&) = default;
};

/// What the lab plays, and how far it is.
struct LabStatus {
    QString scenario;   ///< empty: nothing yet
    QString preparing;  ///< the one that was asked for and is not there yet; empty: none
    engine::Duration played{0};
    engine::Duration length{0};
    int speed = 1;              ///< so many times as fast as real time
    bool over = false;          ///< the claims are final; the lab goes on
    bool rulesChanged = false;  ///< the user's rules are not those the scenario came with
    std::vector<LabClaim> claims;
};

/// Whose rules a scenario begins with.
enum class LabRules : std::uint8_t {
    WithChanges,  ///< its own with what the user has changed
    Own,          ///< its own
};

}  // namespace ui
