// underpassctl as scripts see it: what it prints, where, and its exit status.
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QProcess>
#include <QTemporaryDir>
#include <QtTest>

namespace {

struct Ended {
    int status = -1;
    QString out;
    QString err;
};

Ended run(const QStringList& arguments)
{
    QProcess process;
    process.start(QStringLiteral(UNDERPASSCTL), arguments);
    if (!process.waitForFinished(60000)) return {};
    return {process.exitCode(), QString::fromUtf8(process.readAllStandardOutput()),
            QString::fromUtf8(process.readAllStandardError())};
}

/// A pcap file of raw IPv4 packets.
class Recording {
public:
    explicit Recording(const QString& path) : m_file(path)
    {
        if (!m_file.open(QIODevice::WriteOnly)) qFatal("no file");
        put32(0xa1b2c3d4U);
        put32(0x00040002U);  // version 2.4, little-endian halves
        put32(0);
        put32(0);
        put32(65535);
        put32(101);  // LINKTYPE_RAW
    }
    void add(quint32 second, const QByteArray& packet)
    {
        put32(1'700'000'000U + second);
        put32(0);
        put32(static_cast<quint32>(packet.size()));
        put32(static_cast<quint32>(packet.size()));
        m_file.write(packet);
    }

private:
    void put32(quint32 value)
    {
        char octets[4]{};
        for (int i = 0; i < 4; ++i) {
            octets[i] = static_cast<char>((value >> (8 * i)) & 0xff);
        }
        m_file.write(octets, 4);
    }
    QFile m_file;
};

QByteArray udp(const char* from, quint16 fromPort, const char* to, quint16 toPort,
               const QByteArray& payload)
{
    const auto half = [](int value) {
        return QByteArray(1, static_cast<char>(value >> 8)) +
               QByteArray(1, static_cast<char>(value & 0xff));
    };
    const auto address = [](const char* text) {
        QByteArray octets;
        for (const QByteArray& part : QByteArray(text).split('.')) {
            octets.append(static_cast<char>(part.toInt()));
        }
        return octets;
    };
    const int length = 28 + static_cast<int>(payload.size());
    return QByteArray("\x45\x00", 2) + half(length) + QByteArray("\0\0\0\0\x40\x11\0\0", 8) +
           address(from) + address(to) + half(fromPort) + half(toPort) + half(length - 20) +
           half(0) + payload;
}

/// WireGuard: an initiation, the answer that names it, and data both ways.
void addWireGuard(Recording& recording, const char* client, const char* server)
{
    QByteArray initiation(148, '\x11');
    initiation.replace(0, 8, QByteArray("\x01\0\0\0\xaa\xbb\xcc\xdd", 8));
    QByteArray response(92, '\x22');
    response.replace(0, 12, QByteArray("\x02\0\0\0\x01\x02\x03\x04\xaa\xbb\xcc\xdd", 12));
    QByteArray outbound(96, '\x33');
    outbound.replace(0, 16, QByteArray("\x04\0\0\0\x01\x02\x03\x04\0\0\0\0\0\0\0\0", 16));
    QByteArray inbound(96, '\x44');
    inbound.replace(0, 16, QByteArray("\x04\0\0\0\xaa\xbb\xcc\xdd\0\0\0\0\0\0\0\0", 16));
    recording.add(1, udp(client, 40000, server, 51820, initiation));
    recording.add(1, udp(server, 51820, client, 40000, response));
    recording.add(2, udp(client, 40000, server, 51820, outbound));
    recording.add(2, udp(server, 51820, client, 40000, inbound));
}

}  // namespace

class CtlTest final : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;

private Q_SLOTS:
    void wrongInput_isOneSentenceAndStatus2_data()
    {
        QTest::addColumn<QStringList>("arguments");
        const auto row = [](const char* name, const char* arguments) {
            QTest::newRow(name) << QString::fromLatin1(arguments).split(QLatin1Char(' '),
                                                                        Qt::SkipEmptyParts);
        };
        row("no verb", "");
        row("unknown verb", "reboot");
        row("no socket", "--control= status");
        row("unknown option", "status --frobnicate");
        row("unknown mode", "passthrough set pptp off");
        row("unknown protocol", "passthrough set pptpp block");
        row("bad address", "connections list --device 1.2.3");
        row("bad limit", "connections list --limit many");
        row("bad date", "history tunnels --from yesterday");
        row("GRE as a port", "rules forwards add tcp --port 47 --to 192.0.2.1");
        row("range upside down", "rules forwards add tcp --port 90-80 --to 192.0.2.1");
        row("ports of GRE", "rules forwards add gre --port 1 --to 192.0.2.1");
        row("no such file", "recognise /no/such/file.pcap");
        row("a folder", "recognise /tmp");
        row("bad time", "lab watch --for soon");
        row("unknown scenario", "lab watch --scenario nowhere --for 1s");
        row("unknown scenario to the end", "lab run pptp-eight nowhere");
    }
    void wrongInput_isOneSentenceAndStatus2()
    {
        QFETCH(QStringList, arguments);
        const Ended ended = run(arguments);
        QCOMPARE(ended.status, 2);
        QVERIFY(ended.out.isEmpty());
        QVERIFY(ended.err.startsWith(QStringLiteral("underpassctl: ")));
        QCOMPARE(ended.err.count(QLatin1Char('\n')), 1);
    }

    void portFortySeven_isExplained()
    {
        const Ended ended =
            run({QStringLiteral("rules"), QStringLiteral("forwards"), QStringLiteral("add"),
                 QStringLiteral("udp"), QStringLiteral("--port"), QStringLiteral("47"),
                 QStringLiteral("--to"), QStringLiteral("192.0.2.1")});
        QVERIFY(ended.err.contains(QStringLiteral("protocol 47")));
    }

    void noRouter_isStatus1()
    {
        const Ended ended = run({QStringLiteral("status"), QStringLiteral("--control"),
                                 m_folder.filePath(QStringLiteral("none.sock"))});
        QCOMPARE(ended.status, 1);
        QVERIFY(ended.err.contains(QStringLiteral("No router answers")));
    }

    void helpAndVersion_areStatus0()
    {
        const Ended help = run({QStringLiteral("--help")});
        QCOMPARE(help.status, 0);
        for (const char* verb : {"status", "tunnels", "connections", "passthrough", "counters",
                                 "history", "rules", "recognise", "selftest", "lab", "host"}) {
            QVERIFY2(help.out.contains(QLatin1String(verb)), verb);
        }
        QVERIFY(help.out.contains(QStringLiteral("Exit status")));
        QCOMPARE(run({QStringLiteral("--version")}).status, 0);
    }

    void unknownVerb_isNamed()
    {
        QVERIFY(run({QStringLiteral("reboot")}).err.contains(QStringLiteral("no verb reboot")));
        QVERIFY(run({QStringLiteral("tunnels"), QStringLiteral("burn")})
                    .err.contains(QStringLiteral("no verb burn")));
        QVERIFY(run({QStringLiteral("tunnels")}).err.contains(QStringLiteral("required")));
    }

    void labList_isTextForPeopleAndJsonForScripts()
    {
        QVERIFY(run({QStringLiteral("lab"), QStringLiteral("list")})
                    .out.startsWith(QStringLiteral("SCENARIO")));
        const auto rows =
            QJsonDocument::fromJson(
                run({QStringLiteral("--json"), QStringLiteral("lab"), QStringLiteral("list")})
                    .out.toUtf8())
                .array();
        QVERIFY(rows.size() > 10);
        QCOMPARE(rows.at(0)[QLatin1String("name")].toString(), QStringLiteral("overview"));
    }

    void recognise_findsTheTunnelOfARecording()
    {
        const QString path = m_folder.filePath(QStringLiteral("wireguard.pcap"));
        {
            Recording recording(path);
            recording.add(
                0, udp("192.168.1.5", 5353, "198.51.100.53", 53,
                       QByteArray("\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01x\0\0\x01\0\x01", 19)));
            addWireGuard(recording, "192.168.1.5", "198.51.100.9");
        }
        const Ended table = run({QStringLiteral("recognise"), path});
        QCOMPARE(table.status, 0);
        QCOMPARE(table.out.count(QLatin1Char('\n')), 2);
        QVERIFY(table.out.contains(QStringLiteral("WireGuard")));

        const Ended json = run({QStringLiteral("recognise"), path, QStringLiteral("--json")});
        const QJsonArray rows = QJsonDocument::fromJson(json.out.toUtf8()).array();
        QCOMPARE(rows.size(), 1);
        QCOMPARE(rows.at(0)[QLatin1String("protocol")].toString(), QStringLiteral("wireguard"));
        QCOMPARE(rows.at(0)[QLatin1String("device")].toString(), QStringLiteral("192.168.1.5"));
        QCOMPARE(rows.at(0)[QLatin1String("server")].toString(),
                 QStringLiteral("198.51.100.9:51820"));
    }

    void recognise_findsNothingWhereNothingIs()
    {
        const QString path = m_folder.filePath(QStringLiteral("dns.pcap"));
        {
            Recording recording(path);
            for (quint16 i = 0; i < 50; ++i) {
                recording.add(i, udp("192.168.1.5", static_cast<quint16>(5000 + i), "198.51.100.53",
                                     53, QByteArray(30, static_cast<char>(i))));
            }
        }
        const Ended ended = run({QStringLiteral("recognise"), path});
        QCOMPARE(ended.status, 0);
        QVERIFY(ended.out.startsWith(QStringLiteral("No VPN tunnels in 50 packets")));
    }

    void recognise_ofAFileThatIsCutOff_tellsWhatItFoundAndComplains()
    {
        const QString path = m_folder.filePath(QStringLiteral("cut.pcap"));
        {
            Recording recording(path);
            addWireGuard(recording, "192.168.1.5", "198.51.100.9");
        }
        QFile file(path);
        QVERIFY(file.resize(file.size() - 20));
        const Ended ended = run({QStringLiteral("recognise"), path});
        QCOMPARE(ended.status, 1);
        QVERIFY(ended.out.contains(QStringLiteral("WireGuard")));
        QCOMPARE(ended.err.count(QLatin1Char('\n')), 1);
    }

    void labRun_tellsClaimsOfTheNamedScenarios()
    {
        const Ended ended = run({QStringLiteral("lab"), QStringLiteral("run"),
                                 QStringLiteral("hairpin"), QStringLiteral("blocked")});
        QCOMPARE(ended.status, 0);
        QVERIFY(ended.out.contains(QStringLiteral("hairpin")));
        QVERIFY(ended.out.contains(QStringLiteral("blocked")));
        QVERIFY(!ended.out.contains(QStringLiteral("overview")));
        QVERIFY(ended.out.contains(QStringLiteral("every packet got exactly one verdict")));
    }

    void labWatch_showsTunnelsAndEnds()
    {
        const Ended ended = run({QStringLiteral("lab"), QStringLiteral("watch"),
                                 QStringLiteral("--for"), QStringLiteral("4s")});
        QCOMPARE(ended.status, 0);
        QVERIFY2(ended.out.contains(QStringLiteral("PROTOCOL")), qPrintable(ended.out));
    }
};

QTEST_GUILESS_MAIN(CtlTest)
#include "ctl_test.moc"
