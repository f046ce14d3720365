#include "app/window_values.h"

#include "app/qt_text.h"
#include "app/version.h"
#include "engine/io/interfaces.h"
#include "engine/lab/scenario.h"

#include <QCoreApplication>
#include <QDateTime>

#include <sqlite3.h>

#include <algorithm>
#include <chrono>

namespace app {

namespace {

QDateTime dateOf(engine::Instant instant)
{
    return instant == engine::Instant{}
               ? QDateTime()
               : QDateTime::fromMSecsSinceEpoch(instant.nanoseconds() / 1'000'000);
}

engine::Instant instantOf(const QDateTime& date)
{
    return date.isValid() ? engine::Instant{std::chrono::milliseconds(date.toMSecsSinceEpoch())}
                          : engine::Instant{};
}

QString nameOf(engine::net::Ipv4Address address, const std::vector<DeviceIdentity>& devices)
{
    const auto found = std::ranges::find(devices, address, &DeviceIdentity::address);
    return found == devices.end() ? QString() : found->name;
}

/// Pins and notes: "mark DEVICE SERVER PROTOCOL" is "+note" with a pin, "-note" without.
constexpr std::string_view kMarkPrefix = "mark ";

ui::TunnelMarks marksOf(const Settings& settings)
{
    ui::TunnelMarks marks;
    for (const auto& [name, value] : settings.window) {
        if (!name.starts_with(kMarkPrefix) || value.empty()) continue;
        const QStringList words = qt(name).split(QLatin1Char(' '));
        if (words.size() != 4) continue;
        const auto device = engine::net::Ipv4Address::parse(words[1].toStdString());
        const auto server = engine::net::Ipv4Address::parse(words[2].toStdString());
        const auto protocol = engine::net::vpnProtocolFromWord(words[3].toStdString());
        if (device && server && protocol)
            marks[{*device, *server, *protocol}] = {value.front() == '+', qt(value.substr(1))};
    }
    return marks;
}

std::string valueOf(const Settings& settings, const std::string& name)
{
    const auto found = settings.window.find(name);
    return found == settings.window.end() ? std::string{} : found->second;
}

}  // namespace

ui::RuleSet ruleSet(const Rules& rules)
{
    return {rules.portForwards, rules.oneToOnes, rules.deviceRules, rules.exposedHost, rules.nat};
}

std::vector<ui::DeviceName> deviceNames(const std::vector<DeviceIdentity>& devices)
{
    std::vector<ui::DeviceName> names;
    for (const auto& device : devices) {
        names.push_back({device.address, device.name, qt(device.mac.toString()), QString(), true});
    }
    return names;
}

ui::WindowSettings windowSettings(const Settings& settings)
{
    ui::WindowSettings window;
    const std::string theme = valueOf(settings, "theme");
    if (theme == "light") window.theme = ui::ThemeChoice::Light;
    if (theme == "dark") window.theme = ui::ThemeChoice::Dark;
    if (valueOf(settings, "units") == "binary") window.units = ui::ByteUnits::Binary;
    window.ratesInBits = valueOf(settings, "rates") != "bytes";
    window.reducedMotion = valueOf(settings, "motion") == "reduced";
    window.marks = marksOf(settings);
    window.retentionDays = settings.retentionDays;
    window.retentionMegabytes = settings.retentionMegabytes;
    window.onLive = settings.onLive;
    return window;
}

Settings settingsOf(Settings former, const ui::WindowSettings& window)
{
    former.retentionDays = window.retentionDays;
    former.retentionMegabytes = window.retentionMegabytes;
    former.onLive = window.onLive;
    switch (window.theme) {
    case ui::ThemeChoice::System: former.window["theme"] = "system"; break;
    case ui::ThemeChoice::Light: former.window["theme"] = "light"; break;
    case ui::ThemeChoice::Dark: former.window["theme"] = "dark"; break;
    }
    former.window["units"] = window.units == ui::ByteUnits::Binary ? "binary" : "decimal";
    former.window["rates"] = window.ratesInBits ? "bits" : "bytes";
    // The store keeps every name that it has seen; what is gone is empty.
    for (auto& [name, value] : former.window) {
        if (name.starts_with(kMarkPrefix)) value.clear();
    }
    for (const auto& [key, mark] : window.marks) {
        const std::string name = std::string{kMarkPrefix} + key.device.toString() + ' ' +
                                 key.server.toString() + ' ' +
                                 std::string{engine::net::textOf(key.protocol).word};
        former.window[name] = (mark.pinned ? "+" : "-") + mark.note.toStdString();
    }
    former.window["motion"] = window.reducedMotion ? "reduced" : "full";
    return former;
}

storage::HistoryQuery historyQuery(const ui::HistoryQuery& query)
{
    storage::HistoryQuery result;
    result.from = instantOf(query.from);
    result.to = instantOf(query.to);
    result.text = query.text.toStdString();
    result.device = query.device;
    result.protocol = query.protocol;
    result.limit = query.limit;
    return result;
}

std::vector<ui::HistoryTunnel> historyTunnels(const std::vector<storage::HistoricTunnel>& rows,
                                              const std::vector<DeviceIdentity>& devices)
{
    std::vector<ui::HistoryTunnel> result;
    for (const auto& row : rows) {
        const auto& tunnel = row.tunnel;
        ui::HistoryTunnel shown;
        // Serials begin anew with each run; the database's number never does.
        shown.serial = static_cast<std::uint64_t>(row.id);
        shown.protocol = tunnel.protocol;
        shown.confidence = tunnel.confidence;
        shown.phase = tunnel.phase;
        shown.endCause = tunnel.endCause;
        shown.device = tunnel.device;
        shown.deviceName = nameOf(tunnel.device, devices);
        shown.server = tunnel.server;
        shown.serverName = qt(tunnel.serverName);
        shown.passage = tunnel.passage;
        shown.started = dateOf(tunnel.started);
        shown.ended = dateOf(tunnel.ended);
        shown.bytesOutbound = tunnel.outbound.bytes;
        shown.bytesInbound = tunnel.inbound.bytes;
        shown.detail = tunnel;
        result.push_back(std::move(shown));
    }
    return result;
}

std::vector<ui::HistoryConnection> historyConnections(
    const std::vector<storage::HistoricSession>& rows, const std::vector<DeviceIdentity>& devices)
{
    std::vector<ui::HistoryConnection> result;
    for (const auto& row : rows) {
        const auto& session = row.session;
        ui::HistoryConnection shown;
        shown.serial = static_cast<std::uint64_t>(row.id);
        shown.protocol = session.protocol;
        shown.internal = session.internal;
        shown.deviceName = nameOf(session.internal.address, devices);
        shown.external = session.external;
        shown.remote = session.remote;
        shown.started = dateOf(session.created);
        shown.ended = dateOf(session.lastPacket);
        shown.bytesOutbound = session.outbound.bytes;
        shown.bytesInbound = session.inbound.bytes;
        shown.tunnelSerial = session.tunnelSerial;
        result.push_back(std::move(shown));
    }
    return result;
}

std::vector<ui::LabScenario> labScenarios()
{
    std::vector<ui::LabScenario> scenarios;
    for (const engine::lab::Scenario& one : engine::lab::scenarios())
        scenarios.push_back({qt(one.name), qt(one.lesson), one.length});
    return scenarios;
}

ui::LabStatus labStatus(const LabProgress& progress)
{
    ui::LabStatus status;
    status.played = progress.played;
    status.over = progress.over;
    for (const engine::lab::Check& check : progress.checks)
        status.claims.push_back({qt(check.what), check.passed, qt(check.detail)});
    return status;
}

std::vector<ui::InterfaceChoice> interfaceChoices()
{
    std::vector<ui::InterfaceChoice> choices;
    for (const auto& card : engine::io::listInterfaces()) {
        if (card.loopback) continue;
        ui::InterfaceChoice choice;
        choice.name = qt(card.name);
        if (card.wireless) choice.description = QCoreApplication::translate("app", "Wi-Fi");
        for (const auto& address : card.addresses) {
            choice.addresses += qt(address.address.toString()) + QLatin1Char('/') +
                                QString::number(address.prefix.length());
        }
        choice.hardwareAddress = qt(card.mac.toString());
        choice.linkUp = card.up && card.carrier;
        choice.hasDefaultRoute = !card.gateway.isUnspecified();
        if (!card.up) {
            choice.whyNot = QCoreApplication::translate("app", "It is switched off.");
        } else if (card.addresses.empty()) {
            choice.whyNot = QCoreApplication::translate("app", "It has no IPv4 address.");
        }
        choice.usable = choice.whyNot.isEmpty();
        choices.push_back(std::move(choice));
    }
    return choices;
}

ui::HostHoldings hostHoldings(const std::vector<engine::io::HeldSetting>& held,
                              ui::HostHoldings::Holder holder)
{
    ui::HostHoldings holdings;
    if (held.empty()) return holdings;
    holdings.holder = holder;
    for (const auto& setting : held) {
        holdings.settings.push_back({static_cast<ui::HostSetting::Kind>(setting.kind),
                                     QString::fromStdString(setting.interface),
                                     QString::fromStdString(setting.detail), setting.there});
    }
    return holdings;
}

std::vector<ui::VersionLine> versionLines()
{
    return {
        {QStringLiteral("Underpass"), QLatin1String(kVersion), QStringLiteral("GPL-3.0-or-later")},
        {QStringLiteral("Qt"), QLatin1String(qVersion()), QStringLiteral("LGPL-3.0")},
        {QStringLiteral("SQLite"), QLatin1String(sqlite3_libversion()),
         QStringLiteral("public domain")},
        {QStringLiteral("QCustomPlot"), QStringLiteral("2.1"), QStringLiteral("GPL-3.0-or-later")}};
}

}  // namespace app
