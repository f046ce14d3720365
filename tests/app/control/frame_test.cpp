#include "app/control/frame.h"

#include "app/control/json.h"
#include "app/control/verbs.h"

#include <QJsonArray>
#include <QRandomGenerator>
#include <QtTest>

#include <array>

using namespace app::control;

namespace {

QByteArray header(quint32 size, char flags)
{
    QByteArray octets;
    for (const int shift : {24, 16, 8, 0}) {
        octets.append(static_cast<char>((size >> shift) & 0xff));
    }
    octets.append(flags);
    return octets;
}

}  // namespace

class FrameTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void message_splitAtEveryOctet_arrivesWhole()
    {
        const QJsonObject message{{QStringLiteral("verb"), QStringLiteral("status")},
                                  {QStringLiteral("id"), 7}};
        const QByteArray octets = framed(message);
        for (qsizetype cut = 0; cut <= octets.size(); ++cut) {
            FrameReader reader(kMostRequest);
            reader.append(octets.left(cut));
            if (cut < octets.size()) QVERIFY(!*reader.next());
            reader.append(octets.mid(cut));
            const auto whole = reader.next();
            QVERIFY(whole && *whole);
            QCOMPARE(**whole, message);
            QVERIFY(!reader.isInside());
        }
    }

    void longMessage_travelsInSeveralFrames()
    {
        QJsonArray rows;
        for (int i = 0; i < 20000; ++i) {
            rows.append(QStringLiteral("row %1").arg(i));
        }
        const QJsonObject message{{QStringLiteral("rows"), rows}};
        const QByteArray octets = framed(message);
        QVERIFY(octets.size() > 3 * kMostPayload);
        FrameReader reader(kMostAnswer);
        reader.append(octets + octets);
        QCOMPARE(**reader.next(), message);
        QCOMPARE(**reader.next(), message);
        QVERIFY(!*reader.next());
    }

    // A change of one port forward brings all of them along.
    void requestWithAThousandForwards_fits()
    {
        engine::SetPortForwards wish;
        for (std::uint16_t i = 0; i < 1000; ++i) {
            const engine::net::Port port{static_cast<std::uint16_t>(20000 + i)};
            wish.forwards.push_back(
                {.id = i + 1U,
                 .name = std::string(40, 'n'),
                 .externalPorts = {port, port},
                 .internalAddress = engine::net::Ipv4Address{192, 168, 100, 200},
                 .internalFirst = port});
        }
        const QJsonObject message{{QStringLiteral("verb"), QStringLiteral("apply")},
                                  {QStringLiteral("arguments"), toJson(engine::Command{wish})}};
        FrameReader reader(kMostRequest);
        reader.append(framed(message));
        const auto whole = reader.next();
        QVERIFY(whole && *whole);
        QCOMPARE(**whole, message);
    }

    void hostileFrames_data()
    {
        QTest::addColumn<QByteArray>("octets");
        QTest::addColumn<int>("error");
        QTest::newRow("length beyond the limit")
            << header(kMostPayload + 1, 0) << int(FrameError::TooLong);
        QTest::newRow("length of four gigabytes")
            << header(0xffffffffU, 0) << int(FrameError::TooLong);
        QTest::newRow("unknown flag") << header(2, 2) + "{}" << int(FrameError::UnknownFlags);
        QTest::newRow("no JSON") << header(3, 0) + "abc" << int(FrameError::NotAnObject);
        QTest::newRow("an array") << header(2, 0) + "[]" << int(FrameError::NotAnObject);
        QTest::newRow("nothing") << header(0, 0) << int(FrameError::NotAnObject);
        QTest::newRow("endless empty frames")
            << header(0, 1) + header(0, 1) << int(FrameError::NotAnObject);
        QByteArray deep(30000, '[');
        QTest::newRow("deep nesting") << header(30000, 0) + deep << int(FrameError::NotAnObject);
        QTest::newRow("message beyond the limit")
            << (header(kMostPayload, 1) + QByteArray(kMostPayload, ' ')).repeated(4) +
                   header(1, 0) + "{"
            << int(FrameError::TooLong);
    }
    void hostileFrames()
    {
        QFETCH(QByteArray, octets);
        QFETCH(int, error);
        FrameReader reader(kMostRequest);
        reader.append(octets);
        const auto result = reader.next();
        QVERIFY(!result);
        QCOMPARE(int(result.error()), error);
        // It stays in error: nothing says where the next frame would begin.
        reader.append(framed({}));
        QVERIFY(!reader.next());
    }

    void randomOctets_neverCrash()
    {
        QRandomGenerator random(4711);
        for (int round = 0; round < 20000; ++round) {
            FrameReader reader(kMostRequest);
            QByteArray octets(random.bounded(64), '\0');
            for (char& octet : octets) {
                octet = static_cast<char>(random.bounded(256));
            }
            // Half of them with a length that can be right.
            if (round % 2 == 0)
                octets = header(static_cast<quint32>(random.bounded(40)), 0) + octets;
            reader.append(octets);
            for (int i = 0; i < 10; ++i) {
                const auto message = reader.next();
                if (!message || !*message) break;
            }
        }
    }

    void everyVerb_hasAPermission()
    {
        QCOMPARE(undecidedVerb(kVerbs), std::string_view{});
        // And a verb that nobody thought about would be found.
        const std::array forgotten{kVerbs[0], VerbText{Verb::Watch, "forgotten"}};
        QCOMPARE(undecidedVerb(forgotten), std::string_view("forgotten"));
        QVERIFY(!allows(Permission::Admin, Permission::Undecided));
        QVERIFY(!allows(Permission::Admin, Permission::Nobody));
        QVERIFY(!allows(Permission::Undecided, Permission::Read));
        QVERIFY(allows(Permission::Write, Permission::Read));
        QVERIFY(!allows(Permission::Write, Permission::Admin));
    }
};

QTEST_GUILESS_MAIN(FrameTest)
#include "frame_test.moc"
