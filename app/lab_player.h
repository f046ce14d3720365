#pragma once

#include "app/lab_backend.h"
#include "app/rules.h"

#include <QObject>
#include <QString>
#include <QThreadPool>

#include <cstdint>
#include <memory>
#include <string>

namespace app {

/// A scenario to be played, and what the user has changed about the rules of the one before it.
struct LabRequest {
    std::string scenario;
    engine::HashKey seed;
    Rules before;   ///< as the former scenario came
    Rules changed;  ///< as the user has left it
};

/// A lab at its very beginning, with its rules and the user's in force.
struct PreparedLab {
    std::unique_ptr<engine::lab::Lab> lab;  ///< null: there is no such scenario
    std::string scenario;
    engine::Duration length{0};
    Rules own;    ///< the scenario's
    Rules rules;  ///< in force
    /// What of the user's rules cannot hold beside the scenario's; a sentence each. A port forward
    /// is kept, switched off.
    QStringList aside;
};

/// Takes some tens of milliseconds.
[[nodiscard]] PreparedLab prepareLab(const LabRequest& request);

/// Prepares scenarios in a thread of its own, so that a window goes on meanwhile. The last wish
/// holds: what was asked for before it is not told any more.
class LabPlayer final : public QObject {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(LabPlayer)

public:
    explicit LabPlayer(QObject* parent = nullptr);
    ~LabPlayer() override;

    void prepare(LabRequest request);
    [[nodiscard]] bool isBusy() const { return m_asked != m_answered; }
    /// What is under way is not told.
    void forget() { m_answered = ++m_asked; }

Q_SIGNALS:
    void prepared(std::shared_ptr<app::PreparedLab> lab);

private:
    std::uint64_t m_asked = 0;
    std::uint64_t m_answered = 0;
    QThreadPool m_pool;
};

}  // namespace app
