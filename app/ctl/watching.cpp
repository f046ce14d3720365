#include "app/control/json.h"
#include "app/ctl/context.h"
#include "app/ctl/text.h"
#include "app/qt_text.h"
#include "app/words.h"
#include "ui/text/finding_words.h"
#include "ui/text/flood_words.h"

#include <QDateTime>

#include <CLI/Validators.hpp>
#include <algorithm>
#include <memory>

namespace app::ctl {

namespace {

QString field(const QJsonObject& object, const char* name)
{
    const QJsonValue value = object.value(QLatin1String(name));
    return value.isDouble() ? QString::number(value.toInteger()) : value.toString();
}

/// One sentence per flood of connection attempts that is going on.
QString floodsOf(const QJsonObject& snapshot)
{
    QString text;
    for (const QJsonValue& one : snapshot.value(QStringLiteral("synFloods")).toArray()) {
        const auto flood = control::fromJson<engine::SynFloodStatus>(one);
        if (flood) text += ui::sentenceOf(*flood) + QLatin1Char('\n');
    }
    return text;
}

engine::Instant wallNow()
{
    return engine::Instant{std::chrono::milliseconds(QDateTime::currentMSecsSinceEpoch())};
}

int status(Context& context)
{
    auto answer = context.ask(QStringLiteral("status"));
    if (!answer) return context.status();
    answer->remove(QStringLiteral("id"));
    if (context.json) {
        printJson(*answer);
        return 0;
    }
    const QJsonObject external = answer->value(QStringLiteral("external")).toObject();
    const QJsonObject internal = answer->value(QStringLiteral("internal")).toObject();
    QStringList addresses;
    for (const QJsonValue& address : external.value(QStringLiteral("addresses")).toArray()) {
        addresses += address.toString();
    }
    const auto traffic = [&](const char* direction) {
        const QJsonObject totals = answer->value(QLatin1String(direction)).toObject();
        return QStringLiteral("%1 packets, %2")
            .arg(totals.value(QStringLiteral("packets")).toInteger())
            .arg(octets(
                static_cast<std::uint64_t>(totals.value(QStringLiteral("bytes")).toInteger())));
    };
    QString text;
    text +=
        QStringLiteral("%1 %2: %3\n")
            .arg(field(*answer, "program"), field(*answer, "version"),
                 answer->value(QStringLiteral("lab")).toBool() ? QStringLiteral("the built-in lab")
                 : answer->value(QStringLiteral("running")).toBool() ? QStringLiteral("sharing")
                                                                     : QStringLiteral("stopped"));
    text += QStringLiteral("internal  %1  %2, network %3\n")
                .arg(field(*answer, "internalInterface"), field(internal, "address"),
                     field(internal, "prefix"));
    text += QStringLiteral("external  %1  %2\n")
                .arg(field(*answer, "externalInterface"),
                     addresses.isEmpty() ? QStringLiteral("no address")
                                         : addresses.join(QStringLiteral(", ")));
    text += QStringLiteral("sessions  %1 of %2\n")
                .arg(field(*answer, "sessions"), field(*answer, "sessionLimit"));
    text += QStringLiteral("tunnels   %1\n").arg(field(*answer, "tunnels"));
    text += QStringLiteral("devices   %1\n").arg(field(*answer, "devices"));
    text += QStringLiteral("outbound  %1\n").arg(traffic("outbound"));
    text += QStringLiteral("inbound   %1\n").arg(traffic("inbound"));
    text += floodsOf(*answer);
    print(text);
    return 0;
}

int tunnelsList(Context& context)
{
    const auto answer = context.ask(QStringLiteral("tunnels"));
    if (!answer) return context.status();
    const QJsonArray rows = answer->value(QStringLiteral("rows")).toArray();
    if (context.json) {
        printJson(rows);
        return 0;
    }
    Table table(tunnelHeadings());
    for (const QJsonValue& row : rows) {
        if (const auto tunnel = control::fromJson<engine::tunnel::Tunnel>(row)) {
            table.add(tunnelCells(*tunnel, wallNow()));
        }
    }
    print(table.isEmpty() ? QStringLiteral("No VPN tunnels at the moment.\n") : table.text());
    return 0;
}

QString describe(const engine::tunnel::TimelineEvent& event)
{
    QString text = qt(wordOf(event.kind));
    using engine::tunnel::EventKind;
    switch (event.kind) {
    case EventKind::IdRewritten:
        text = QStringLiteral("ID %1 became %2").arg(event.a).arg(event.b);
        break;
    case EventKind::PhaseChanged:
        text = QStringLiteral("%1 -> %2")
                   .arg(qt(wordOf(static_cast<engine::tunnel::Phase>(event.a))),
                        qt(wordOf(static_cast<engine::tunnel::Phase>(event.b))));
        break;
    case EventKind::Resumed:
        if (event.a == engine::tunnel::kResumedAfterRestart) {
            text = QStringLiteral("taken over after the router was restarted");
        }
        break;
    case EventKind::FindingRaised:
        text = QStringLiteral("found: ") +
               qt(wordOf(static_cast<engine::tunnel::FindingKind>(event.a)));
        break;
    case EventKind::ControlOpened:
    case EventKind::ControlMessage:
    case EventKind::CallAgreed:
    case EventKind::DataFirstOutbound:
    case EventKind::DataFirstInbound:
    case EventKind::NatDetected:
    case EventKind::FloatedTo4500:
    case EventKind::KeyExchange:
    case EventKind::SpiBound:
    case EventKind::SpiRebound:
    case EventKind::Rekeyed:
    case EventKind::Keepalive:
    case EventKind::Retransmitted:
    case EventKind::AuthenticationFailed:
    case EventKind::PortFloated:
    case EventKind::LegacyPort500:
    case EventKind::WentSilent:
    case EventKind::LossHigh:
    case EventKind::Held:
    case EventKind::Released:
    case EventKind::DroppedBySwitch:
    case EventKind::PeerClosed:
    case EventKind::TimedOut:
    case EventKind::ResetBy:
    case EventKind::IcmpError:
    case EventKind::ExternalAddressChanged:
    case EventKind::LikelyDeleted:
        if (event.a != 0 || event.b != 0)
            text += QStringLiteral("  %1 %2").arg(event.a).arg(event.b);
        break;
    }
    if (event.repeats > 1) text += QStringLiteral("  x%1").arg(event.repeats);
    return text;
}

/// A packet of which the beginning has been kept: its addresses and its octets.
QString packetText(const std::vector<std::uint8_t>& packet)
{
    QString text;
    if (packet.size() >= 20) {
        const auto address = [&](std::size_t at) {
            return qt(
                engine::net::Ipv4Address{packet[at], packet[at + 1], packet[at + 2], packet[at + 3]}
                    .toString());
        };
        text = QStringLiteral("%1 -> %2, protocol %3, %4 bytes: ")
                   .arg(address(12), address(16))
                   .arg(packet[9])
                   .arg((packet[2] << 8) | packet[3]);
    }
    constexpr std::size_t kShown = 48;
    for (std::size_t i = 0; i < packet.size() && i < kShown; ++i)
        text += QStringLiteral("%1").arg(packet[i], 2, 16, QLatin1Char('0'));
    return text;
}

QString tunnelText(const engine::tunnel::Tunnel& tunnel)
{
    QString text;
    const auto line = [&text](const char* name, const QString& value) {
        text += QString::fromLatin1(name).leftJustified(12) + value + QLatin1Char('\n');
    };
    line("tunnel", QString::number(tunnel.serial));
    line("protocol", QStringLiteral("%1 (%2)").arg(qt(engine::net::textOf(tunnel.protocol).name),
                                                   qt(wordOf(tunnel.confidence))));
    line("state", qt(wordOf(tunnel.phase)));
    line("device", qt(tunnel.device.toString()));
    line("server",
         qt(tunnel.server.toString()) +
             (tunnel.serverName.empty()
                  ? QString()
                  : QStringLiteral("  ") + harmless(QString::fromStdString(tunnel.serverName))));
    line("seen as", qt(tunnel.external.toString()));
    line("passes", qt(passageText(tunnel.passage)));
    if (!tunnel.product.empty()) line("product", harmless(QString::fromStdString(tunnel.product)));
    line("started", moment(tunnel.started.nanoseconds() / 1000));
    if (tunnel.ended != engine::Instant{}) {
        line("ended", moment(tunnel.ended.nanoseconds() / 1000) + QStringLiteral("  ") +
                          qt(wordOf(tunnel.endCause)));
    }
    const auto direction = [](const engine::tunnel::DirectionCounters& counters) {
        return QStringLiteral("%1 packets, %2, lost %3, out of order %4, twice %5")
            .arg(counters.packets)
            .arg(octets(counters.bytes))
            .arg(counters.lost)
            .arg(counters.reordered)
            .arg(counters.duplicated);
    };
    line("outbound", direction(tunnel.outbound));
    line("inbound", direction(tunnel.inbound));
    if (tunnel.roundTrip > engine::Duration{0}) {
        line("round trip", QStringLiteral("%1 ms").arg(
                               static_cast<double>(tunnel.roundTrip.count()) / 1e6, 0, 'f', 1));
    }
    if (!tunnel.innerAddress.isUnspecified()) line("inside", qt(tunnel.innerAddress.toString()));
    if (tunnel.innerMtu != 0) line("inner MTU", QString::number(tunnel.innerMtu));
    line("rekeys", QString::number(tunnel.rekeys));
    for (const auto& finding : tunnel.findings) {
        line("finding", ui::titleOf(finding.kind) + QStringLiteral(". ") + ui::sentenceOf(finding));
        line("what to do", ui::adviceOn(finding.kind));
        for (const auto& packet : finding.packets)
            line("proof", packetText(packet));
    }
    if (!tunnel.timeline.empty()) text += QLatin1Char('\n');
    for (const auto& event : tunnel.timeline) {
        const double after = static_cast<double>((event.at - tunnel.started).count()) / 1e9;
        const QString lanes =
            event.from == event.to
                ? qt(wordOf(event.from))
                : qt(wordOf(event.from)) + QStringLiteral(" -> ") + qt(wordOf(event.to));
        text += QStringLiteral("%1 s  %2  %3\n")
                    .arg(after, 9, 'f', 3)
                    .arg(lanes, -16)
                    .arg(describe(event));
    }
    return text;
}

int tunnelShow(Context& context, std::uint64_t serial)
{
    const auto answer = context.ask(QStringLiteral("tunnels"),
                                    {{QStringLiteral("serial"), static_cast<qint64>(serial)}});
    if (!answer) return context.status();
    QJsonArray rows = answer->value(QStringLiteral("rows")).toArray();
    if (rows.isEmpty()) {
        return context.fail(
            QStringLiteral("There is no live tunnel %1; history may know it.").arg(serial));
    }
    if (context.json) {
        printJson(rows.first());
        return 0;
    }
    const auto tunnel = control::fromJson<engine::tunnel::Tunnel>(rows.first());
    if (!tunnel) return context.fail(QStringLiteral("The router's answer cannot be read."));
    print(tunnelText(*tunnel));
    return 0;
}

int connections(Context& context, const engine::SessionQuery& query)
{
    const auto answer = context.ask(QStringLiteral("sessions"), control::toJson(query));
    if (!answer) return context.status();
    const QJsonArray rows = answer->value(QStringLiteral("rows")).toArray();
    if (context.json) {
        printJson(rows);
        return 0;
    }
    Table table({QStringLiteral("ID"), QStringLiteral("PROTOCOL"), QStringLiteral("INTERNAL"),
                 QStringLiteral("EXTERNAL"), QStringLiteral("REMOTE"), QStringLiteral("STATE"),
                 QStringLiteral("OUT"), QStringLiteral("IN"), QStringLiteral("EXPIRES"),
                 QStringLiteral("TUNNEL")});
    for (const QJsonValue& row : rows) {
        const auto session = control::fromJson<engine::SessionRecord>(row);
        if (!session) continue;
        const QString state = session->protocol == engine::net::IpProtocol::Tcp
                                  ? qt(wordOf(session->tcpState))
                              : session->answered ? QStringLiteral("two-way")
                                                  : QStringLiteral("one-way");
        table.add({QString::number(session->serial), qt(wordOf(session->protocol)),
                   qt(session->internal.toString()), qt(session->external.toString()),
                   qt(session->remote.toString()), session->held ? QStringLiteral("held") : state,
                   octets(session->outbound.bytes), octets(session->inbound.bytes),
                   span(session->expires - wallNow()),
                   session->tunnelSerial == 0 ? QStringLiteral("-")
                                              : QString::number(session->tunnelSerial)});
    }
    print(table.isEmpty() ? QStringLiteral("No sessions at the moment.\n") : table.text());
    return 0;
}

int counters(Context& context, bool all)
{
    const auto answer = context.ask(QStringLiteral("snapshot"));
    if (!answer) return context.status();
    const QJsonObject snapshot = answer->value(QStringLiteral("value")).toObject();
    const QJsonObject value = snapshot.value(QStringLiteral("counters")).toObject();
    if (context.json) {
        printJson(value);
        return 0;
    }
    Table traffic({QStringLiteral("TRAFFIC"), QStringLiteral("PACKETS"), QStringLiteral("BYTES")});
    for (const char* name : {"outbound", "inbound", "hairpinned"}) {
        const QJsonObject totals = value.value(QLatin1String(name)).toObject();
        traffic.add({QLatin1String(name), field(totals, "packets"), field(totals, "bytes")});
    }
    Table others({QStringLiteral("EVENT"), QStringLiteral("COUNT")});
    for (const char* name :
         {"sessionsCreated", "sessionsEnded", "mappingsCreated", "consumed", "generated",
          "synsAnswered", "synsProved", "helperEdits", "eventsLost"}) {
        others.add({QLatin1String(name), field(value, name)});
    }
    Table drops({QStringLiteral("DROPPED"), QStringLiteral("PACKETS"), QStringLiteral("WHY")});
    const QJsonObject reasons = value.value(QStringLiteral("drops")).toObject();
    for (const auto& text : engine::kDropReasons) {
        const qint64 packets = reasons.value(qt(text.name)).toInteger();
        if (packets == 0 && !all) continue;
        drops.add({qt(text.name), QString::number(packets), qt(text.sentence)});
    }
    QString floods = floodsOf(snapshot);
    if (!floods.isEmpty()) floods += QLatin1Char('\n');
    print(floods + traffic.text() + QLatin1Char('\n') + others.text() + QLatin1Char('\n') +
          (drops.isEmpty() ? QStringLiteral("Nothing was dropped.\n") : drops.text()));
    return 0;
}

/// What the history verbs are told on the command line.
struct HistoryWords {
    std::string text;
    std::string device;
    std::string protocol;
    std::string from;
    std::string to;
    std::uint32_t limit = 100;
    std::uint32_t page = 1;
};

std::optional<storage::HistoryQuery> queryOf(Context& context, const HistoryWords& words)
{
    storage::HistoryQuery query;
    query.text = words.text;
    query.limit = words.limit;
    query.offset = (words.page - 1) * words.limit;
    query.timelines = context.json;
    if (!words.device.empty()) {
        query.device = engine::net::Ipv4Address::parse(words.device);
        if (!query.device) {
            context.fail(QStringLiteral("%1 is no IPv4 address.").arg(qt(words.device)),
                         kExitUsage);
            return std::nullopt;
        }
    }
    if (!words.protocol.empty()) {
        query.protocol = engine::net::vpnProtocolFromWord(words.protocol);
        if (!query.protocol) {
            context.fail(QStringLiteral("%1 is no VPN protocol.").arg(qt(words.protocol)),
                         kExitUsage);
            return std::nullopt;
        }
    }
    for (const auto& [text, instant] :
         {std::pair{&words.from, &query.from}, std::pair{&words.to, &query.to}}) {
        if (text->empty()) continue;
        const QDateTime moment = QDateTime::fromString(qt(*text), Qt::ISODate);
        if (!moment.isValid()) {
            context.fail(
                QStringLiteral("%1 is no date like 2026-01-31 or 2026-01-31T15:00.").arg(qt(*text)),
                kExitUsage);
            return std::nullopt;
        }
        *instant = engine::Instant{std::chrono::milliseconds(moment.toMSecsSinceEpoch())};
    }
    return query;
}

int historyTunnels(Context& context, const HistoryWords& words)
{
    const auto query = queryOf(context, words);
    if (!query) return context.status();
    const auto answer = context.ask(QStringLiteral("history-tunnels"), control::toJson(*query));
    if (!answer) return context.status();
    const QJsonArray rows = answer->value(QStringLiteral("rows")).toArray();
    if (context.json) {
        printJson(rows);
        return 0;
    }
    Table table(QStringList{QStringLiteral("STARTED")} + tunnelHeadings() +
                QStringList{QStringLiteral("END")});
    for (const QJsonValue& row : rows) {
        const auto historic = control::fromJson<storage::HistoricTunnel>(row);
        if (!historic) continue;
        const auto& tunnel = historic->tunnel;
        const bool over = tunnel.ended != engine::Instant{};
        table.add(QStringList{moment(tunnel.started.nanoseconds() / 1000)} +
                  tunnelCells(tunnel, wallNow()) +
                  QStringList{over ? qt(wordOf(tunnel.endCause)) : QStringLiteral("live")});
    }
    print(table.isEmpty() ? QStringLiteral("History has no such tunnel.\n") : table.text());
    return 0;
}

int historyConnections(Context& context, const HistoryWords& words)
{
    const auto query = queryOf(context, words);
    if (!query) return context.status();
    const auto answer = context.ask(QStringLiteral("history-sessions"), control::toJson(*query));
    if (!answer) return context.status();
    const QJsonArray rows = answer->value(QStringLiteral("rows")).toArray();
    if (context.json) {
        printJson(rows);
        return 0;
    }
    Table table({QStringLiteral("STARTED"), QStringLiteral("PROTOCOL"), QStringLiteral("INTERNAL"),
                 QStringLiteral("EXTERNAL"), QStringLiteral("REMOTE"), QStringLiteral("FOR"),
                 QStringLiteral("OUT"), QStringLiteral("IN")});
    for (const QJsonValue& row : rows) {
        const auto historic = control::fromJson<storage::HistoricSession>(row);
        if (!historic) continue;
        const auto& session = historic->session;
        table.add({moment(session.created.nanoseconds() / 1000), qt(wordOf(session.protocol)),
                   qt(session.internal.toString()), qt(session.external.toString()),
                   qt(session.remote.toString()), span(session.lastPacket - session.created),
                   octets(session.outbound.bytes), octets(session.inbound.bytes)});
    }
    print(table.isEmpty() ? QStringLiteral("History has no such connection.\n") : table.text());
    return 0;
}

}  // namespace

void addWatching(CLI::App& app, Context& context)
{
    app.add_subcommand("status", "The router at a glance")->callback([&context] {
        context.action = [&context] {
            return status(context);
        };
    });

    auto* tunnels = app.add_subcommand("tunnels", "VPN tunnels that are live or ended just now");
    tunnels->require_subcommand(1);
    tunnels->add_subcommand("list", "One line per tunnel")->callback([&context] {
        context.action = [&context] {
            return tunnelsList(context);
        };
    });
    auto* show = tunnels->add_subcommand("show", "Everything about one tunnel, with its timeline");
    const auto serial = std::make_shared<std::uint64_t>(0);
    show->add_option("ID", *serial, "Number in the list")->required();
    show->callback([&context, serial] {
        context.action = [&context, serial] {
            return tunnelShow(context, *serial);
        };
    });
    auto* close = tunnels->add_subcommand("close", "End one tunnel");
    close->add_option("ID", *serial, "Number in the list")->required();
    close->callback([&context, serial] {
        context.action = [&context, serial] {
            return context.apply(engine::CloseTunnel{*serial});
        };
    });

    auto* sessions = app.add_subcommand("connections", "Sessions of the NAT");
    sessions->require_subcommand(1);
    auto* list = sessions->add_subcommand("list", "One line per session");
    const auto device = std::make_shared<std::string>();
    const auto limit = std::make_shared<std::uint32_t>(1000);
    list->add_option("--device", *device, "Only those of this internal address");
    list->add_option("--limit", *limit, "At most so many")->check(CLI::Range(1U, 1'000'000U));
    list->callback([&context, device, limit] {
        context.action = [&context, device, limit] {
            engine::SessionQuery query;
            query.limit = *limit;
            if (!device->empty()) {
                const auto address = engine::net::Ipv4Address::parse(*device);
                if (!address) {
                    return context.fail(QStringLiteral("%1 is no IPv4 address.").arg(qt(*device)),
                                        kExitUsage);
                }
                query.device = *address;
            }
            return connections(context, query);
        };
    });

    auto* end = sessions->add_subcommand("close", "End one session");
    end->add_option("ID", *serial, "Number in the list")->required();
    end->callback([&context, serial] {
        context.action = [&context, serial] {
            return context.apply(engine::CloseSession{*serial});
        };
    });

    auto* count = app.add_subcommand("counters", "Packets, octets and every reason for a drop");
    const auto all = std::make_shared<bool>(false);
    count->add_flag("--all", *all, "Reasons that never occurred, too");
    count->callback([&context, all] {
        context.action = [&context, all] {
            return counters(context, *all);
        };
    });

    auto* history = app.add_subcommand("history", "What the databases remember");
    history->require_subcommand(1);
    const auto words = std::make_shared<HistoryWords>();
    const auto addOptions = [words](CLI::App* command) {
        command->add_option("--text", words->text, "Part of an address or a name");
        command->add_option("--device", words->device, "Internal address");
        command->add_option("--from", words->from, "Date or date and time");
        command->add_option("--to", words->to, "Date or date and time");
        command->add_option("--limit", words->limit, "Rows per page")
            ->check(CLI::Range(1U, 100'000U));
        command->add_option("--page", words->page, "Which page")->check(CLI::Range(1U, 10'000U));
    };
    auto* oldTunnels = history->add_subcommand("tunnels", "Tunnels, newest first");
    addOptions(oldTunnels);
    oldTunnels->add_option("--protocol", words->protocol, "Only this VPN protocol");
    oldTunnels->callback([&context, words] {
        context.action = [&context, words] {
            return historyTunnels(context, *words);
        };
    });
    auto* oldSessions = history->add_subcommand("connections", "Connections, newest first");
    addOptions(oldSessions);
    oldSessions->callback([&context, words] {
        context.action = [&context, words] {
            return historyConnections(context, *words);
        };
    });
}

}  // namespace app::ctl
