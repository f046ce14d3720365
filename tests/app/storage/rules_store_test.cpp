#include "app/storage/rules_store.h"

#include <QTemporaryDir>
#include <QtTest>

using namespace app;
using namespace app::storage;
using namespace std::chrono_literals;
using engine::net::Ipv4Address;
using engine::net::Port;
using engine::net::Prefix;

namespace {

/// Something else than the default in every field.
Rules unusual()
{
    Rules rules;
    rules.nat.tcp = {engine::nat::Behaviour::AddressDependent,
                     engine::nat::Behaviour::AddressAndPortDependent};
    rules.nat.udp = {engine::nat::Behaviour::AddressAndPortDependent,
                     engine::nat::Behaviour::EndpointIndependent};
    rules.nat.icmp.filtering = engine::nat::Behaviour::EndpointIndependent;
    rules.nat.timers = {3min, 7min, 5h, 50s, 6min, 90s, 11min, 2h};
    rules.nat.limits = {1000, 2000, 300};
    rules.nat.ports = {Port{2000}, Port{3000}};
    rules.nat.portParity = false;
    rules.nat.exceptions = {{engine::net::Prefix{engine::net::Ipv4Address{192, 0, 2, 9}, 32},
                             {Port{3074}, Port{3075}},
                             {engine::nat::Behaviour::EndpointIndependent,
                              engine::nat::Behaviour::EndpointIndependent}}};
    rules.nat.untranslated = {{engine::net::Prefix{engine::net::Ipv4Address{198, 51, 100, 0}, 24}},
                              {engine::net::Prefix{}, {Port{443}, Port{444}}}};
    rules.nat.preservePorts = true;
    rules.nat.hairpinning = false;
    rules.nat.inboundRefresh = false;
    rules.nat.clampMss = false;
    rules.nat.pings = engine::nat::PingsFromOutside::None;

    engine::policy::PortForward forward;
    forward.id = 4;
    forward.name = "it's a \"name\"; DROP TABLE port_forward";
    forward.enabled = false;
    forward.protocol = engine::net::IpProtocol::Gre;
    forward.internalAddress = Ipv4Address{192, 0, 2, 99};
    forward.hairpin = false;
    forward.allowedRemotes = Prefix{Ipv4Address{198, 51, 100, 0}, 24};
    rules.portForwards = {forward};
    forward.id = 5;
    forward.protocol = engine::net::IpProtocol::Udp;
    forward.externalPorts = {Port{1}, Port{65535}};
    forward.internalFirst = Port{1};
    rules.portForwards.push_back(forward);

    rules.oneToOnes = {
        {2, "server", false, Ipv4Address{192, 0, 2, 5}, Ipv4Address{255, 255, 255, 254}}};
    rules.deviceRules = {
        {1, "tv", Ipv4Address{192, 0, 2, 7}, engine::policy::DeviceAccess::VpnOnly, 12},
        {2, "", Ipv4Address{192, 0, 2, 8}, engine::policy::DeviceAccess::Block, std::nullopt}};
    rules.exposedHost = Ipv4Address{192, 0, 2, 9};
    engine::policy::PassthroughSwitch position;
    position.mode = engine::policy::PassthroughMode::Block;
    position.exceptions = {{Prefix{Ipv4Address{192, 0, 2, 1}, 32}, Prefix{Ipv4Address{}, 0},
                            engine::policy::PassthroughMode::Assist},
                           {Prefix{Ipv4Address{}, 0}, Prefix{Ipv4Address{203, 0, 113, 0}, 28},
                            engine::policy::PassthroughMode::Plain}};
    rules.passthrough.set(engine::net::VpnProtocol::Pptp, position);
    return rules;
}

}  // namespace

class RulesStoreTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void everyRule_afterReopening_isAsItWas()
    {
        const QTemporaryDir folder;
        const std::string path = folder.path().toStdString();
        const Rules rules = unusual();
        {
            auto store = RulesStore::openIn(path);
            for (const engine::Command& command :
                 {engine::Command{engine::SetNat{}}, engine::Command{engine::SetPortForwards{}},
                  engine::Command{engine::SetOneToOnes{}},
                  engine::Command{engine::SetDeviceRules{}},
                  engine::Command{engine::SetExposedHost{}},
                  engine::Command{
                      engine::SetPassthrough{engine::net::VpnProtocol::Pptp, {}, {}}}}) {
                QVERIFY(store.save(rules, command));
            }
            Settings settings;
            settings.retentionDays = 3;
            settings.retentionMegabytes = 77;
            settings.onLive = engine::policy::OnLive::Finish;
            settings.window = {{"theme", "dark"}, {"units", ""}};
            QVERIFY(store.saveSettings(settings));
            QVERIFY(store.saveDeviceName(engine::net::MacAddress{{2, 0, 0, 0, 0, 0xab}},
                                         "Anna-Laptop"));
            QVERIFY(store.saveDeviceName(engine::net::MacAddress{{2, 0, 0, 0, 0, 1}}, "gone"));
            QVERIFY(store.saveDeviceName(engine::net::MacAddress{{2, 0, 0, 0, 0, 1}}, ""));
        }
        auto store = RulesStore::openIn(path);
        const auto loaded = store.load();
        QVERIFY(loaded);
        QVERIFY(loaded->nat == rules.nat);
        QVERIFY(loaded->portForwards == rules.portForwards);
        QVERIFY(loaded->oneToOnes == rules.oneToOnes);
        QVERIFY(loaded->deviceRules == rules.deviceRules);
        QVERIFY(loaded->exposedHost == rules.exposedHost);
        for (const auto& text : engine::net::kVpnProtocols) {
            QVERIFY(loaded->passthrough.of(text.protocol) == rules.passthrough.of(text.protocol));
        }
        QCOMPARE(loaded->settings.retentionDays, 3U);
        QCOMPARE(loaded->settings.retentionMegabytes, 77U);
        QCOMPARE(loaded->settings.onLive, engine::policy::OnLive::Finish);
        QCOMPARE(loaded->settings.window.at("theme"), std::string("dark"));
        QCOMPARE(loaded->deviceNames.size(), 1U);
        QCOMPARE(loaded->deviceNames.begin()->second, std::string("Anna-Laptop"));
    }

    void rules_thatWereRemoved_stayRemoved()
    {
        auto store = RulesStore::openIn({});
        Rules rules = unusual();
        QVERIFY(store.save(rules, engine::SetPortForwards{}));
        rules.portForwards.erase(rules.portForwards.begin());
        QVERIFY(store.save(rules, engine::SetPortForwards{}));
        QCOMPARE(store.load()->portForwards.size(), 1U);
        QCOMPARE(store.load()->portForwards[0].id, 5U);
    }

    void commandsThatAreNoRules_areNotStored()
    {
        QVERIFY(!isRule(engine::CloseTunnel{1}));
        QVERIFY(!isRule(engine::ResolveHold{}));
        QVERIFY(isRule(engine::SetNat{}));
    }

    void restoring_bringsBackWhatTheRulesSay()
    {
        const Rules before = unusual();
        Rules rules = before;
        const engine::Command change = engine::SetPortForwards{};
        const auto back = restoring(before, change);
        record(rules, change);
        QVERIFY(rules.portForwards.empty());
        record(rules, *back);
        QVERIFY(rules.portForwards == before.portForwards);
        // Undo and redo end nothing.
        using engine::policy::OnLive;
        QVERIFY(std::get<engine::SetPortForwards>(*back).onLive == OnLive::Drop);
        QVERIFY(std::get<engine::SetPortForwards>(sparing(*back)).onLive == OnLive::Finish);
        QVERIFY(std::get<engine::SetExposedHost>(sparing(engine::SetExposedHost{})).onLive ==
                OnLive::Finish);
    }
};

QTEST_GUILESS_MAIN(RulesStoreTest)
#include "rules_store_test.moc"
