#pragma once

#include "engine/nat/nat_config.h"
#include "engine/policy/rules.h"

#include <QString>

#include <vector>

namespace ui {

/// The user's rules as they are in force. Passthrough switches are not here: the snapshot shows
/// their effective state.
struct RuleSet {
    std::vector<engine::policy::PortForward> portForwards;
    std::vector<engine::policy::OneToOne> oneToOnes;
    std::vector<engine::policy::DeviceRule> deviceRules;
    engine::net::Ipv4Address exposedHost;  ///< unspecified: none
    engine::nat::NatConfig nat;
    friend bool operator==(const RuleSet&, const RuleSet&) = default;
};

/// The last change of the rules, for the status bar. Empty text: nothing to undo.
struct UndoState {
    QString lastChange;  ///< for people: "PPTP set to Block"
    bool canUndo = false;
    bool canRedo = false;
    friend bool operator==(const UndoState&, const UndoState&) = default;
};

}  // namespace ui
