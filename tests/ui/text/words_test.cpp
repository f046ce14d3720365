#include "ui/text/words.h"

#include "engine/base/drop_reason.h"
#include "ui/format/format.h"
#include "ui/text/csv.h"
#include "ui/text/english_plurals.h"
#include "ui/text/tunnel_words.h"

#include <QtTest>

#include <set>

using namespace std::chrono_literals;
using engine::CommandError;
using engine::tunnel::EventKind;
using engine::tunnel::FindingKind;
using engine::tunnel::PassageKind;
using engine::tunnel::Phase;

class WordsTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void initTestCase() { ui::installEnglishPlurals(); }

    void csvCell_isQuotedAndNeverAFormula()
    {
        QCOMPARE(ui::csvCell(QStringLiteral("plain, text")), QStringLiteral("\"plain, text\""));
        QCOMPARE(ui::csvCell(QStringLiteral("a \"b\"")), QStringLiteral("\"a \"\"b\"\"\""));
        QCOMPARE(ui::csvCell({}), QStringLiteral("\"\""));
        for (const char* begin : {"=", "+", "-", "@", "\t", "\r", "\n"}) {
            const QString cell = QLatin1String(begin) + QStringLiteral("cmd|' /C calc'!A0");
            QCOMPARE(ui::csvCell(cell), QStringLiteral("\"'") + cell + QLatin1Char('"'));
        }
    }

    void everyDropReason_hasItsOwnSentence()
    {
        std::set<QString> sentences;
        for (const auto& text : engine::kDropReasons)
            sentences.insert(ui::sentenceOf(text.reason));
        QCOMPARE(sentences.size(), engine::kDropReasonCount);
        QVERIFY(sentences.count(QString()) == 0);
    }

    void everyCommandError_hasItsOwnSentence()
    {
        std::set<QString> sentences;
        const int count = static_cast<int>(CommandError::NoSelfTest) + 1;
        for (int i = 0; i < count; ++i)
            sentences.insert(ui::sentenceOf(static_cast<CommandError>(i)));
        QCOMPARE(static_cast<int>(sentences.size()), count);
        QVERIFY(sentences.count(QString()) == 0);
        QVERIFY(ui::sentenceOf(CommandError::PortIsProtocol)
                    .contains(QStringLiteral("protocol number 47")));
    }

    void everyPhaseEventFindingAndPassage_hasWords()
    {
        for (std::size_t i = 0; i < engine::tunnel::kPhaseCount; ++i) {
            QVERIFY(!ui::wordOf(static_cast<Phase>(i)).isEmpty());
            QVERIFY(!ui::sentenceOf(static_cast<Phase>(i)).isEmpty());
        }
        for (std::size_t i = 0; i < engine::tunnel::kEventKindCount; ++i) {
            for (const auto& protocol : engine::net::kVpnProtocols) {
                for (const std::uint32_t a : {0U, 1U, 7U, 0xffffffffU}) {
                    engine::tunnel::TimelineEvent event;
                    event.kind = static_cast<EventKind>(i);
                    event.a = a;
                    event.b = a;
                    const QString text = ui::sentenceOf(event, protocol.protocol);
                    QVERIFY2(
                        !text.isEmpty() && !text.contains(QLatin1Char('%') + QString::number(1)),
                        qPrintable(text));
                }
            }
        }
        std::set<QString> titles;
        for (std::size_t i = 0; i < engine::tunnel::kFindingKindCount; ++i) {
            const auto kind = static_cast<FindingKind>(i);
            titles.insert(ui::titleOf(kind));
            QVERIFY(!ui::adviceOn(kind).isEmpty());
            for (const std::uint32_t a : {0U, 1U, 40U}) {
                engine::tunnel::Finding finding;
                finding.kind = kind;
                finding.a = a;
                const QString text = ui::sentenceOf(finding);
                QVERIFY2(!text.isEmpty() && !text.contains(QStringLiteral("(s)")) &&
                             !text.contains(QStringLiteral("%n")),
                         qPrintable(text));
            }
        }
        QCOMPARE(titles.size(), engine::tunnel::kFindingKindCount);
        for (int i = 0; i <= static_cast<int>(PassageKind::OnlyClient); ++i) {
            engine::tunnel::Tunnel tunnel;
            tunnel.passage = {static_cast<PassageKind>(i), 3, 51702};
            QVERIFY(!ui::passageText(tunnel.passage, engine::net::VpnProtocol::Pptp).isEmpty());
            QVERIFY(!ui::passageSentence(tunnel, {}).isEmpty());
        }
        QCOMPARE(ui::passageText({PassageKind::CallId, 3, 51702}, engine::net::VpnProtocol::Pptp),
                 QStringLiteral("Call ID 3 → 51702"));
        QCOMPARE(ui::passageText({PassageKind::CallId, 3, 3}, engine::net::VpnProtocol::Pptp),
                 QStringLiteral("Call ID 3"));
    }

    void endOfARefusedTunnel_saysTheFinding()
    {
        engine::tunnel::Tunnel tunnel;
        tunnel.protocol = engine::net::VpnProtocol::Ah;
        tunnel.phase = Phase::Failed;
        tunnel.ended = engine::Instant{1h};
        tunnel.endCause = engine::tunnel::EventKind::FindingRaised;
        QVERIFY(!ui::endSentence(tunnel).isEmpty());
        tunnel.findings.push_back({.kind = FindingKind::AhCannotPass});
        QVERIFY(ui::endSentence(tunnel).contains(ui::titleOf(FindingKind::AhCannotPass)));
        QCOMPARE(ui::passageText({}, tunnel.protocol), QStringLiteral("Cannot pass"));
        tunnel.phase = Phase::Established;
        QVERIFY(ui::endSentence(tunnel).isEmpty());
    }

    void shortDuration_isOneUnit()
    {
        const ui::Format format;
        QCOMPARE(format.shortDuration(23h + 59min), QStringLiteral("23\u00a0h"));
        QCOMPARE(format.shortDuration(50h), QStringLiteral("2\u00a0d"));
        QCOMPARE(format.shortDuration(61s), QStringLiteral("1\u00a0min"));
        QCOMPARE(format.shortDuration(59s), QStringLiteral("59\u00a0s"));
    }

    void everyProtocol_saysWhatTheRouterDoes()
    {
        std::set<QString> sentences;
        for (const auto& text : engine::net::kVpnProtocols) {
            QVERIFY(!ui::sentenceOf(text.protocol).isEmpty());
            QVERIFY(!ui::technicalsOf(text.protocol).isEmpty());
        }
    }

    // Shape and word tell states apart without colour.
    void tunnelStates_differInWordAndShapeOrMeaning()
    {
        std::set<QString> words;
        for (int i = 0; i < ui::kTunnelStateCount; ++i)
            words.insert(ui::wordOf(static_cast<ui::TunnelState>(i)));
        QCOMPARE(static_cast<int>(words.size()), ui::kTunnelStateCount);
    }

    void state_withoutPackets_isSilent()
    {
        engine::tunnel::Tunnel tunnel;
        tunnel.phase = Phase::Established;
        const engine::Instant now{1h};
        tunnel.inbound.lastPacket = tunnel.outbound.lastPacket = now - ui::kSilentAfter;
        QCOMPARE(ui::stateOf(tunnel, now), ui::TunnelState::BothWays);
        tunnel.inbound.lastPacket = tunnel.outbound.lastPacket = now - ui::kSilentAfter - 1us;
        QCOMPARE(ui::stateOf(tunnel, now), ui::TunnelState::Silent);
    }

    void summary_ofAPptpTunnel_isASentence()
    {
        ui::Presentation p;
        p.now = engine::Instant{3h};
        engine::tunnel::Tunnel tunnel;
        tunnel.device = {192, 0, 2, 21};
        p.devices[tunnel.device].name = QStringLiteral("Anna-Laptop");
        tunnel.confidence = engine::tunnel::Confidence::Certain;
        tunnel.phase = Phase::Established;
        tunnel.serverName = "vpn.acme.example";
        tunnel.started = p.now - (2h + 14min);
        tunnel.passage = {PassageKind::CallId, 3, 51702};
        const QString text = ui::summaryOf(tunnel, p).replace(QChar(0xa0), QLatin1Char(' '));
        QCOMPARE(text,
                 QStringLiteral("Anna-Laptop has had a PPTP tunnel to vpn.acme.example for 2 h 14 "
                                "min. The router rewrites its call ID 3 to 51702, so that several "
                                "devices can share the address with this server."));
    }

    void plurals_followTheNumber()
    {
        QCOMPARE(QCoreApplication::translate("x", "%n tunnel(s)", nullptr, 1),
                 QStringLiteral("1 tunnel"));
        QCOMPARE(QCoreApplication::translate("x", "%n tunnel(s)", nullptr, 4),
                 QStringLiteral("4 tunnels"));
    }

    void evidence_ofTruncatedPackets_isTotal()
    {
        for (std::size_t length = 0; length < 64; ++length) {
            engine::tunnel::Finding finding;
            finding.packets = {std::vector<std::uint8_t>(length, 0x4f)};
            if (length > 9) finding.packets[0][9] = 6;
            const QStringList lines = ui::evidenceOf(finding);
            QCOMPARE(lines.isEmpty(), length < 20);
        }
    }

    void bytes_areRounded_data()
    {
        QTest::addColumn<quint64>("octets");
        QTest::addColumn<QString>("decimal");
        QTest::addColumn<QString>("binary");
        QTest::newRow("none") << quint64{0} << "0 B"
                              << "0 B";
        QTest::newRow("just below a thousand") << quint64{999} << "999 B"
                                               << "999 B";
        QTest::newRow("a thousand") << quint64{1000} << "1 kB"
                                    << "1000 B";
        QTest::newRow("some") << quint64{12'345'678} << "12.3 MB"
                              << "11.8 MiB";
        QTest::newRow("many") << quint64{5'000'000'000'000} << "5 TB"
                              << "4.55 TiB";
        QTest::newRow("rounds up to the next unit") << quint64{999'999} << "1 MB"
                                                    << "977 KiB";
    }
    void bytes_areRounded()
    {
        QFETCH(quint64, octets);
        QFETCH(QString, decimal);
        QFETCH(QString, binary);
        const auto plain = [](QString text) {
            return text.replace(QChar(0xa0), QLatin1Char(' '));
        };
        QCOMPARE(plain(ui::Format(QLocale::c(), ui::ByteUnits::Decimal, true).bytes(octets)),
                 decimal);
        QCOMPARE(plain(ui::Format(QLocale::c(), ui::ByteUnits::Binary, true).bytes(octets)),
                 binary);
    }

    void durations_showTwoUnits_data()
    {
        QTest::addColumn<qint64>("seconds");
        QTest::addColumn<QString>("text");
        QTest::newRow("nothing") << qint64{0} << "0 s";
        QTest::newRow("seconds") << qint64{59} << "59 s";
        QTest::newRow("a minute") << qint64{60} << "1 min";
        QTest::newRow("minutes") << qint64{61} << "1 min 1 s";
        QTest::newRow("many minutes") << qint64{3599} << "59 min";
        QTest::newRow("hours") << qint64{8040} << "2 h 14 min";
        QTest::newRow("days") << qint64{90000} << "1 d 1 h";
        QTest::newRow("before now") << qint64{-5} << "0 s";
    }
    void durations_showTwoUnits()
    {
        QFETCH(qint64, seconds);
        QFETCH(QString, text);
        QCOMPARE(ui::Format(QLocale::c(), ui::ByteUnits::Decimal, true)
                     .duration(std::chrono::seconds(seconds))
                     .replace(QChar(0xa0), QLatin1Char(' ')),
                 text);
    }

    void rates_inBitsAndBytes()
    {
        const auto plain = [](QString text) {
            return text.replace(QChar(0xa0), QLatin1Char(' '));
        };
        QCOMPARE(plain(ui::Format(QLocale::c(), ui::ByteUnits::Decimal, true).rate(5'125'000)),
                 QStringLiteral("41 Mbit/s"));
        QCOMPARE(plain(ui::Format(QLocale::c(), ui::ByteUnits::Decimal, false).rate(5'120'000)),
                 QStringLiteral("5.12 MB/s"));
        QCOMPARE(plain(ui::Format(QLocale::c(), ui::ByteUnits::Decimal, true).rate(-3)),
                 QStringLiteral("0 bit/s"));
    }

    // Names come from the network: nothing in them may act on the screen.
    void safeText_removesWhatActs()
    {
        QCOMPARE(ui::safeText(QString::fromUtf8("a\x1b[31m\nb\u202Egnp.exe\u2066")),
                 QStringLiteral("a[31mbgnp.exe"));
        QVERIFY(ui::safeText(QString(5000, QLatin1Char('x'))).size() <= 97);
        QCOMPARE(ui::safeText(std::string("\xff\xfe<b>")).right(3), QStringLiteral("<b>"));
    }
};

QTEST_GUILESS_MAIN(WordsTest)
#include "words_test.moc"
