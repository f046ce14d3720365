#include "app/services/live_effect.h"

#include <QtTest>

using app::Rules;
using engine::net::Ipv4Address;
using engine::policy::OnLive;

namespace {

constexpr Ipv4Address kAnna{192, 168, 1, 10};
constexpr Ipv4Address kBert{192, 168, 1, 11};

QString effect(const Rules& before, const engine::Snapshot& live, const engine::Command& command,
               std::uint32_t concerned = 0)
{
    return QString::fromStdString(app::services::liveEffect(before, live, command, concerned));
}

}  // namespace

/// What the answer to a change says about live sessions.
class LiveEffectTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void exposedHost_saysWhatBecomesOfWhatCameIn()
    {
        Rules before;
        before.exposedHost = kAnna;
        engine::Snapshot live;
        live.sessions = 9;
        QCOMPARE(effect(before, live, engine::SetExposedHost{kBert}, 2),
                 QStringLiteral("2 live sessions that came in to 192.168.1.10 end with it."));
        QCOMPARE(
            effect(before, live, engine::SetExposedHost{{}, OnLive::Finish}, 2),
            QStringLiteral("2 live sessions that came in to 192.168.1.10 run on until they end."));
        QCOMPARE(effect(before, live, engine::SetExposedHost{{}, OnLive::Finish}, 1),
                 QStringLiteral("1 live session that came in to 192.168.1.10 runs on until it "
                                "ends."));
        // Nothing is taken from anybody.
        const QString goesOn = QStringLiteral(
            "Live sessions run on; connections that begin from now on follow the "
            "rule.");
        QCOMPARE(effect(before, live, engine::SetExposedHost{kAnna}), goesOn);
        before.exposedHost = {};
        QCOMPARE(effect(before, live, engine::SetExposedHost{kAnna}), goesOn);
        QCOMPARE(effect(before, {}, engine::SetExposedHost{kAnna}), QString());
    }

    void oneToOne_saysWhatBecomesOfTheAddress()
    {
        engine::Snapshot live;
        live.sessions = 3;
        QCOMPARE(effect({}, live, engine::SetOneToOnes{}, 2),
                 QStringLiteral("2 live sessions whose external address changes hands end now."));
        QCOMPARE(effect({}, live, engine::SetOneToOnes{{}, OnLive::Finish}, 1),
                 QStringLiteral("1 live session whose external address changes hands runs on with "
                                "the address it has until it ends."));
        QCOMPARE(effect({}, live, engine::SetOneToOnes{}, 0), QString());
    }

    void forwards_sayWhoLosesAndWhosePortsAreTaken()
    {
        const auto forward = [](std::uint32_t id, std::uint16_t first, std::uint16_t last) {
            return engine::policy::PortForward{
                .id = id, .externalPorts = {engine::net::Port{first}, engine::net::Port{last}}};
        };
        Rules before;
        before.portForwards = {forward(1, 80, 80), forward(2, 90, 90)};
        before.portForwards[0].name = "Web";
        engine::Snapshot live;
        live.forwards = {{.id = 1, .liveSessions = 3}, {.id = 2, .liveSessions = 0}};
        QCOMPARE(effect(before, live, engine::SetPortForwards{}, 3),
                 QStringLiteral("3 live sessions through Web end with it."));
        auto after = before.portForwards;
        after.push_back(forward(3, 5000, 5009));
        QCOMPARE(effect(before, live, engine::SetPortForwards{after}, 1),
                 QStringLiteral("1 live session on TCP ports 5000-5009 ends with it."));
        QCOMPARE(effect(before, live, engine::SetPortForwards{after, OnLive::Finish}, 2),
                 QStringLiteral("2 live sessions on TCP ports 5000-5009 run on until they end. "
                                "Whatever else comes to those ports is forwarded at once."));
        QCOMPARE(effect(before, live, engine::SetPortForwards{after}, 0), QString());
        after.erase(after.begin());
        QCOMPARE(effect(before, live, engine::SetPortForwards{after}, 5),
                 QStringLiteral("5 live sessions through Web or on TCP ports 5000-5009 end with "
                                "it."));
    }

    void devices_sayWhoLosesAndWhoHasMoreThanTheLimit()
    {
        engine::Snapshot live;
        live.devices = {{.address = kAnna, .sessions = 6, .tunnels = 1}};
        engine::policy::DeviceRule rule{.id = 1, .address = kAnna};
        using engine::policy::DeviceAccess;
        rule.access = DeviceAccess::VpnOnly;
        QCOMPARE(effect({}, live, engine::SetDeviceRules{{rule}}, 5),
                 QStringLiteral("5 live sessions of 192.168.1.10 end with it. VPN tunnels run on "
                                "in any case."));
        Rules before;
        before.deviceRules = {rule};
        QCOMPARE(effect(before, live, engine::SetDeviceRules{{rule}}, 0), QString());
        rule.sessionLimit = 4;
        QCOMPARE(effect(before, live, engine::SetDeviceRules{{rule}}, 0),
                 QStringLiteral("192.168.1.10 has 6 live sessions, more than 4: they run on, and "
                                "it gets no new ones until it has fewer."));
        rule.sessionLimit = 6;
        QCOMPARE(effect(before, live, engine::SetDeviceRules{{rule}}, 0), QString());
    }

    void nat_saysWhatEachPartDoes()
    {
        engine::Snapshot live;
        live.sessions = 9;
        live.devices = {{.address = kAnna, .sessions = 6}, {.address = kBert, .sessions = 3}};
        const QString stay = QStringLiteral(
            "9 live sessions keep the external ports they have; new ones follow the new rules.");
        engine::SetNat set;
        QCOMPARE(effect({}, live, set), stay);
        set.config.limits.sessionsPerDevice = 4;
        QCOMPARE(effect({}, live, set),
                 QStringLiteral("1 device has more sessions than that: they run on, and new ones "
                                "are refused until there are fewer. ") +
                     stay);
        set = {};
        set.config.udp.filtering = engine::nat::Behaviour::EndpointIndependent;
        QCOMPARE(effect({}, live, set),
                 QStringLiteral("Who may answer changes at once, for live sessions, too. ") + stay);
        QCOMPARE(effect({}, live, engine::SetNat{}, 8),
                 QStringLiteral("8 live sessions have been idle for longer than the new timers "
                                "allow and end. 1 live session keeps the external port it has; new "
                                "ones follow the new rules."));
        QCOMPARE(effect({}, {}, engine::SetNat{}), QString());
    }
};

QTEST_APPLESS_MAIN(LiveEffectTest)
#include "live_effect_test.moc"
