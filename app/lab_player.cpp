#include "app/lab_player.h"

#include "app/qt_text.h"
#include "app/words.h"

#include <QMetaObject>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace app {

using namespace std::chrono_literals;

namespace {

/// The commands that lead from one set of rules to the other.
std::vector<engine::Command> commandsBetween(const Rules& from, const Rules& to)
{
    std::vector<engine::Command> commands;
    if (to.nat != from.nat) commands.emplace_back(engine::SetNat{to.nat});
    for (const auto& text : engine::net::kVpnProtocols) {
        const auto& position = to.passthrough.of(text.protocol);
        if (position != from.passthrough.of(text.protocol)) {
            commands.emplace_back(
                engine::SetPassthrough{text.protocol, position, engine::policy::OnLive::Drop});
        }
    }
    if (to.portForwards != from.portForwards)
        commands.emplace_back(engine::SetPortForwards{to.portForwards});
    if (to.oneToOnes != from.oneToOnes) commands.emplace_back(engine::SetOneToOnes{to.oneToOnes});
    if (to.deviceRules != from.deviceRules)
        commands.emplace_back(engine::SetDeviceRules{to.deviceRules});
    if (to.exposedHost != from.exposedHost)
        commands.emplace_back(engine::SetExposedHost{to.exposedHost});
    return commands;
}

/// The user's forwards one by one after the scenario's; what is refused is kept, switched off.
void addForwards(PreparedLab& prepared, const std::vector<engine::policy::PortForward>& wanted)
{
    std::vector<engine::policy::PortForward> all;
    for (const auto& forward : wanted) {
        if (std::ranges::find(prepared.own.portForwards, forward) !=
            prepared.own.portForwards.end())
            all.push_back(forward);
    }
    for (const auto& forward : wanted) {
        if (std::ranges::find(all, forward) != all.end()) continue;
        all.push_back(forward);
        const auto applied = prepared.lab->apply(engine::SetPortForwards{all});
        if (applied) continue;
        all.back().enabled = false;
        const QString name = forward.name.empty() ? QStringLiteral("forward %1").arg(forward.id)
                                                  : QString::fromStdString(forward.name);
        prepared.aside += QStringLiteral("“%1” is switched off here: %2")
                              .arg(name, qt(sentenceOf(applied.error())));
    }
    if (prepared.lab->apply(engine::SetPortForwards{all})) prepared.rules.portForwards = all;
}

}  // namespace

PreparedLab prepareLab(const LabRequest& request)
{
    PreparedLab prepared;
    prepared.scenario = request.scenario;
    const auto known = engine::lab::scenarios();
    const auto scenario = std::ranges::find(known, request.scenario, &engine::lab::Scenario::name);
    if (scenario == known.end()) return prepared;
    prepared.length = scenario->length;
    prepared.lab = engine::lab::Lab::make(request.scenario, request.seed, engine::Instant{1h},
                                          engine::lab::Lab::SelfTests::On);
    prepared.own = rulesOf(prepared.lab->engine().config());
    prepared.rules = withChanges(prepared.own, request.before, request.changed);
    for (const engine::Command& command : commandsBetween(prepared.own, prepared.rules)) {
        if (const auto* forwards = std::get_if<engine::SetPortForwards>(&command)) {
            addForwards(prepared, forwards->forwards);
            continue;
        }
        const auto applied = prepared.lab->apply(command);
        if (applied) continue;
        if (const auto back = restoring(prepared.own, command)) record(prepared.rules, *back);
        prepared.aside +=
            QStringLiteral("%1: not here. %2")
                .arg(QString::fromStdString(describe(command)), qt(sentenceOf(applied.error())));
    }
    return prepared;
}

LabPlayer::LabPlayer(QObject* parent) : QObject(parent)
{
    m_pool.setMaxThreadCount(1);
}

LabPlayer::~LabPlayer()
{
    // The jobs refer to this object.
    m_pool.clear();
    m_pool.waitForDone();
}

void LabPlayer::prepare(LabRequest request)
{
    m_pool.clear();
    m_pool.start([this, number = ++m_asked, request = std::move(request)] {
        auto lab = std::make_shared<PreparedLab>(prepareLab(request));
        QMetaObject::invokeMethod(
            this,
            [this, number, lab = std::move(lab)] {
                if (number != m_asked) return;
                m_answered = number;
                Q_EMIT prepared(lab);
            },
            Qt::QueuedConnection);
    });
}

}  // namespace app
