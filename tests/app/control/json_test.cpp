#include "app/control/json.h"

#include "app/control/verbs.h"
#include "app/words.h"

#include <QJsonDocument>
#include <QtTest>

#include <variant>

using namespace app;
using namespace app::control;
using namespace std::chrono_literals;
using engine::Instant;
using engine::net::Ipv4Address;
using engine::net::Port;

namespace {

/// Through text and back, as over the socket.
template <typename T>
T travelled(const T& value)
{
    const QByteArray text = QJsonDocument(toJson(value)).toJson();
    auto read = fromJson<T>(QJsonDocument::fromJson(text).object());
    if (!read) qFatal("unreadable: %s", qPrintable(read.error()));
    return *read;
}

engine::tunnel::Tunnel tunnel()
{
    engine::tunnel::Tunnel value;
    value.serial = 0x1fffffffffffffULL;
    value.protocol = engine::net::VpnProtocol::SixInFour;
    value.phase = engine::tunnel::Phase::Rekeying;
    value.device = Ipv4Address{192, 0, 2, 1};
    value.server = {Ipv4Address{198, 51, 100, 1}, Port{500}};
    value.passage = {engine::tunnel::PassageKind::SpiPair, 0xffffffffU, 1};
    value.serverName = "ümlaut\n\x1b[31m";
    value.started = Instant{123456789us};
    value.outbound = {1, 2, 3, 4, 5, Instant{9s}};
    value.roundTrip = 1500us;
    value.timeline = {{Instant{1s}, engine::tunnel::EventKind::SpiBound,
                       engine::tunnel::Lane::Client, engine::tunnel::Lane::Server, 1, 2, 3}};
    value.findings = {
        {engine::tunnel::FindingKind::HighLoss, Instant{2s}, 1, 2, {{0x45, 0x00, 0xff}}}};
    return value;
}

}  // namespace

class JsonTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void tunnel_travels()
    {
        const auto before = tunnel();
        const auto after = travelled(before);
        QCOMPARE(toJson(after), toJson(before));
        QCOMPARE(after.serial, before.serial);
        QCOMPARE(after.serverName, before.serverName);
        QVERIFY(after.findings[0].packets == before.findings[0].packets);
        QVERIFY(!toJson(before, Detail::Summary).contains(QStringLiteral("timeline")));
    }

    void snapshot_travels()
    {
        engine::Snapshot before;
        before.at = Instant{5s};
        before.counters.drops[static_cast<std::size_t>(engine::DropReason::GreNoCall)] = 42;
        before.tunnels = {tunnel()};
        before.external.addresses = {Ipv4Address{203, 0, 113, 1}};
        before.protocols[2].refused = 17;
        before.protocols[2].selfTest = {engine::SelfTestResult::Outcome::Failed, Instant{1s},
                                        "why"};
        const QByteArray text = QJsonDocument(toJson(before, Detail::Full)).toJson();
        const auto after = fromJson<engine::Snapshot>(QJsonDocument::fromJson(text).object());
        QVERIFY(after);
        QCOMPARE(toJson(*after, Detail::Full), toJson(before, Detail::Full));
        QCOMPARE(after->counters.drops[static_cast<std::size_t>(engine::DropReason::GreNoCall)],
                 42U);
    }

    void everyCommand_travelsAndHasAPermission()
    {
        engine::policy::PortForward forward;
        forward.id = 3;
        forward.externalPorts = {Port{1}, Port{2}};
        const std::vector<engine::Command> commands{
            engine::SetInternalSide{},
            engine::SetExternalSide{},
            engine::SetNat{},
            engine::SetPassthrough{},
            engine::ResolveHold{engine::net::VpnProtocol::L2tp, engine::ResolveHold::How::Drop},
            engine::SetPortForwards{{forward}},
            engine::SetOneToOnes{{}, engine::policy::OnLive::Finish},
            engine::SetDeviceRules{
                {{1, "x", Ipv4Address{1, 2, 3, 4}, engine::policy::DeviceAccess::VpnOnly, 5}}},
            engine::SetExposedHost{Ipv4Address{1, 2, 3, 4}, engine::policy::OnLive::Finish},
            engine::SetReservedPorts{},
            engine::CloseTunnel{9},
            engine::CloseSession{8},
            engine::RunSelfTest{engine::net::VpnProtocol::Ah}};
        QCOMPARE(commands.size(), std::variant_size_v<engine::Command>);
        for (std::size_t i = 0; i < commands.size(); ++i) {
            QCOMPARE(commands[i].index(), i);
            const auto after = travelled(commands[i]);
            QCOMPARE(after.index(), i);
            QCOMPARE(toJson(after), toJson(commands[i]));
            std::visit(
                [&](const auto& sent) {
                    if constexpr (requires { sent.onLive; }) {
                        QCOMPARE(std::get<std::decay_t<decltype(sent)>>(after).onLive, sent.onLive);
                    }
                },
                commands[i]);
            const auto word =
                toJson(commands[i]).value(QStringLiteral("command")).toString().toStdString();
            QVERIFY2(permissionOf(word) != Permission::Undecided, word.c_str());
        }
        QCOMPARE(permissionOf("no-such-command"), Permission::Undecided);
    }

    void everyEvent_travels()
    {
        const std::vector<engine::Event> events{
            engine::SessionEnded{},
            engine::TunnelChanged{tunnel()},
            engine::TunnelEnded{tunnel()},
            engine::Refused{engine::DropReason::QuotaRate,
                            Ipv4Address{1, 1, 1, 1},
                            {},
                            engine::net::IpProtocol::Esp},
            engine::SwitchChanged{},
            engine::SelfTestFinished{},
            engine::ExternalAddressChanged{},
            engine::DeviceSeen{Ipv4Address{9, 9, 9, 9}},
            engine::SynFlood{{.server = {Ipv4Address{9, 9, 9, 9}, engine::net::Port{443}},
                              .answered = 3,
                              .proved = 2},
                             true},
            engine::SessionsCounted{5}};
        QCOMPARE(events.size(), std::variant_size_v<engine::Event>);
        for (const auto& event : events) {
            const auto after = travelled(event);
            QCOMPARE(after.index(), event.index());
            QCOMPARE(toJson(after), toJson(event));
        }
    }

    void rules_travel()
    {
        Rules before;
        before.revision = 12;
        before.deviceNames[engine::net::MacAddress{{1, 2, 3, 4, 5, 6}}] = "Anna";
        before.settings.window["a"] = "b";
        before.oneToOnes = {{1, "n", true, Ipv4Address{1, 2, 3, 4}, Ipv4Address{4, 3, 2, 1}}};
        QCOMPARE(toJson(travelled(before)), toJson(before));
    }

    void wrongFields_areNamed_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QString>("field");
        QTest::newRow("unknown command")
            << QByteArray(R"({"command":"reboot"})") << QStringLiteral("command");
        QTest::newRow("no command") << QByteArray("{}") << QStringLiteral("command");
        QTest::newRow("negative") << QByteArray(R"({"command":"close-tunnel","serial":-1})")
                                  << QStringLiteral("serial");
        QTest::newRow("fraction") << QByteArray(R"({"command":"close-tunnel","serial":1.5})")
                                  << QStringLiteral("serial");
        QTest::newRow("text") << QByteArray(R"({"command":"close-tunnel","serial":"1"})")
                              << QStringLiteral("serial");
        QTest::newRow("protocol") << QByteArray(R"({"command":"run-self-test","protocol":"x"})")
                                  << QStringLiteral("protocol");
        QTest::newRow("address") << QByteArray(
                                        R"({"command":"set-exposed-host","address":"1.2.3.256"})")
                                 << QStringLiteral("address");
        QTest::newRow("port")
            << QByteArray(R"({"command":"set-port-forwards","forwards":[{"internalFirst":70000}]})")
            << QStringLiteral("forwards.internalFirst");
        QTest::newRow("not a list")
            << QByteArray(R"({"command":"set-port-forwards","forwards":{}})")
            << QStringLiteral("forwards");
    }
    void wrongFields_areNamed()
    {
        QFETCH(QByteArray, text);
        QFETCH(QString, field);
        const auto read = fromJson<engine::Command>(QJsonDocument::fromJson(text).object());
        QVERIFY(!read);
        QCOMPARE(read.error(), field);
    }

    void everyWord_namesItsEnumerator()
    {
        for (std::size_t i = 0; i < engine::tunnel::kEventKindCount; ++i) {
            const auto kind = static_cast<engine::tunnel::EventKind>(i);
            QVERIFY(fromWord<engine::tunnel::EventKind>(wordOf(kind)) == kind);
        }
        for (std::size_t i = 0; i < engine::tunnel::kPhaseCount; ++i) {
            const auto phase = static_cast<engine::tunnel::Phase>(i);
            QVERIFY(fromWord<engine::tunnel::Phase>(wordOf(phase)) == phase);
        }
        for (int number = 0; number < 256; ++number) {
            const auto protocol = static_cast<engine::net::IpProtocol>(number);
            QVERIFY(ipProtocolFromWord(wordOf(protocol)) == protocol);
        }
    }
};

QTEST_GUILESS_MAIN(JsonTest)
#include "json_test.moc"
