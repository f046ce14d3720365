#include "app/control/json.h"

#include "app/qt_text.h"
#include "app/words.h"

#include <cmath>
#include <concepts>
#include <limits>
#include <string_view>
#include <type_traits>
#include <variant>

namespace app::control {

using engine::DropReason;
using engine::Duration;
using engine::Err;
using engine::Instant;
using engine::Result;
using engine::net::Endpoint;
using engine::net::IpProtocol;
using engine::net::Ipv4Address;
using engine::net::MacAddress;
using engine::net::Port;
using engine::net::PortRange;
using engine::net::Prefix;
using engine::net::VpnProtocol;

namespace {

std::string plain(const QJsonValue& json)
{
    return json.toString().toStdString();
}

class Reader;
class Writer;

// ---- one description per structure ------------------------------------------------------------

template <typename A>
void describe(A& a, engine::DirectionTotals& v)
{
    a("packets", v.packets);
    a("bytes", v.bytes);
}
template <typename A>
void describe(A& a, engine::tunnel::DirectionCounters& v)
{
    a("packets", v.packets);
    a("bytes", v.bytes);
    a("lost", v.lost);
    a("reordered", v.reordered);
    a("duplicated", v.duplicated);
    a("lastPacket", v.lastPacket);
}
template <typename A>
void describe(A& a, engine::tunnel::Passage& v)
{
    a("kind", v.kind);
    a("internalId", v.internalId);
    a("externalId", v.externalId);
}
template <typename A>
void describe(A& a, engine::tunnel::TimelineEvent& v)
{
    a("at", v.at);
    a("kind", v.kind);
    a("from", v.from);
    a("to", v.to);
    a("a", v.a);
    a("b", v.b);
    a("repeats", v.repeats);
}
template <typename A>
void describe(A& a, engine::tunnel::Finding& v)
{
    a("kind", v.kind);
    a("at", v.at);
    a("a", v.a);
    a("b", v.b);
    a("packets", v.packets);
}
template <typename A>
void describe(A& a, engine::tunnel::Tunnel& v)
{
    a("serial", v.serial);
    a("index", v.id.index);
    a("generation", v.id.generation);
    a("protocol", v.protocol);
    a("confidence", v.confidence);
    a("phase", v.phase);
    a("device", v.device);
    a("server", v.server);
    a("external", v.external);
    a("transport", v.transport);
    a("passage", v.passage);
    a("serverName", v.serverName);
    a("product", v.product);
    a("started", v.started);
    a("ended", v.ended);
    a("endCause", v.endCause);
    a("endCode", v.endCode);
    a("outbound", v.outbound);
    a("inbound", v.inbound);
    a("roundTrip", v.roundTrip);
    a("innerAddress", v.innerAddress);
    a("innerMtu", v.innerMtu);
    a("rekeys", v.rekeys);
    a("retransmissions", v.retransmissions);
    a("sessions", v.sessions);
    a("expires", v.expires);
    if (a.full()) {
        a("timeline", v.timeline);
        a("findings", v.findings);
    }
}
template <typename A>
void describe(A& a, engine::SessionRecord& v)
{
    a("serial", v.serial);
    a("protocol", v.protocol);
    a("internal", v.internal);
    a("external", v.external);
    a("remote", v.remote);
    a("idOut", v.discriminatorOut);
    a("idIn", v.discriminatorIn);
    a("tcpState", v.tcpState);
    a("outboundInitiated", v.outboundInitiated);
    a("answered", v.answered);
    a("held", v.held);
    a("outbound", v.outbound);
    a("inbound", v.inbound);
    a("created", v.created);
    a("lastPacket", v.lastPacket);
    a("expires", v.expires);
    a("tunnel", v.tunnelSerial);
    a("forward", v.forwardId);
}
template <typename A>
void describe(A& a, engine::SessionQuery& v)
{
    a("device", v.device);
    a("tunnel", v.tunnelSerial);
    a("limit", v.limit);
}
template <typename A>
void describe(A& a, engine::Counters& v)
{
    a("outbound", v.outbound);
    a("inbound", v.inbound);
    a("hairpinned", v.hairpinned);
    a("sessionsCreated", v.sessionsCreated);
    a("sessionsEnded", v.sessionsEnded);
    a("mappingsCreated", v.mappingsCreated);
    a("consumed", v.consumed);
    a("generated", v.generated);
    a("synsAnswered", v.synsAnswered);
    a("synsProved", v.synsProved);
    a("helperEdits", v.helperEdits);
    a("eventsLost", v.eventsLost);
    a("drops", v.drops);
}
template <typename A>
void describe(A& a, engine::InternalSide& v)
{
    a("prefix", v.prefix);
    a("address", v.address);
    a("mtu", v.mtu);
}
template <typename A>
void describe(A& a, engine::ExternalSide& v)
{
    a("addresses", v.addresses);
    a("prefix", v.prefix);
    a("mtu", v.mtu);
}
template <typename A>
void describe(A& a, engine::DeviceStatus& v)
{
    a("address", v.address);
    a("sessions", v.sessions);
    a("tunnels", v.tunnels);
    a("outbound", v.outbound);
    a("inbound", v.inbound);
    a("firstSeen", v.firstSeen);
    a("lastSeen", v.lastSeen);
    a("refused", v.refused);
}
template <typename A>
void describe(A& a, engine::policy::PassthroughException& v)
{
    a("device", v.device);
    a("server", v.server);
    a("mode", v.mode);
}
template <typename A>
void describe(A& a, engine::policy::PassthroughSwitch& v)
{
    a("mode", v.mode);
    a("exceptions", v.exceptions);
}
template <typename A>
void describe(A& a, engine::SelfTestResult& v)
{
    a("outcome", v.outcome);
    a("at", v.at);
    a("why", v.why);
}
template <typename A>
void describe(A& a, engine::ProtocolStatus& v)
{
    a("position", v.position);
    a("liveTunnels", v.liveTunnels);
    a("heldTunnels", v.heldTunnels);
    a("heldUntil", v.heldUntil);
    a("tunnelsSeen", v.tunnelsSeen);
    a("refused", v.refused);
    a("selfTest", v.selfTest);
}
template <typename A>
void describe(A& a, engine::PortForwardStatus& v)
{
    a("id", v.id);
    a("hits", v.hits);
    a("liveSessions", v.liveSessions);
    a("obstacle", v.obstacle);
}
template <typename A>
void describe(A& a, engine::SynFloodStatus& v)
{
    a("server", v.server);
    a("since", v.since);
    a("answered", v.answered);
    a("proved", v.proved);
}
template <typename A>
void describe(A& a, engine::Snapshot& v)
{
    a("at", v.at);
    a("counters", v.counters);
    a("sessions", v.sessions);
    a("sessionLimit", v.sessionLimit);
    a("mappings", v.mappings);
    a("memory", v.memory);
    a("internal", v.internal);
    a("external", v.external);
    a("tunnels", v.tunnels);
    a("devices", v.devices);
    a("forwards", v.forwards);
    a("exposedSessions", v.exposedSessions);
    a("synFloods", v.synFloods);
    a("protocols", v.protocols);
}
template <typename A>
void describe(A& a, engine::policy::PortForward& v)
{
    a("id", v.id);
    a("name", v.name);
    a("enabled", v.enabled);
    a("protocol", v.protocol);
    a("externalPorts", v.externalPorts);
    a("internalAddress", v.internalAddress);
    a("internalFirst", v.internalFirst);
    a("hairpin", v.hairpin);
    a("allowedRemotes", v.allowedRemotes);
}
template <typename A>
void describe(A& a, engine::policy::OneToOne& v)
{
    a("id", v.id);
    a("name", v.name);
    a("enabled", v.enabled);
    a("internalAddress", v.internalAddress);
    a("externalAddress", v.externalAddress);
}
template <typename A>
void describe(A& a, engine::policy::DeviceRule& v)
{
    a("id", v.id);
    a("name", v.name);
    a("address", v.address);
    a("access", v.access);
    a("sessionLimit", v.sessionLimit);
}
template <typename A>
void describe(A& a, engine::nat::ProtocolBehaviour& v)
{
    a("mapping", v.mapping);
    a("filtering", v.filtering);
}
template <typename A>
void describe(A& a, engine::nat::Timers& v)
{
    a("udpOneWay", v.udpOneWay);
    a("udpTwoWay", v.udpTwoWay);
    a("tcpEstablished", v.tcpEstablished);
    a("tcpOpening", v.tcpOpening);
    a("tcpClosing", v.tcpClosing);
    a("icmpQuery", v.icmpQuery);
    a("portless", v.portless);
    a("esp", v.esp);
}
template <typename A>
void describe(A& a, engine::nat::Limits& v)
{
    a("sessionsPerDevice", v.sessionsPerDevice);
    a("portsPerDevice", v.portsPerDevice);
    a("newSessionsPerSecond", v.newSessionsPerSecond);
}
template <typename A>
void describe(A& a, engine::nat::BehaviourException& v)
{
    a("devices", v.devices);
    a("ports", v.ports);
    a("behaviour", v.behaviour);
}
template <typename A>
void describe(A& a, engine::nat::Untranslated& v)
{
    a("destinations", v.destinations);
    a("ports", v.ports);
}
template <typename A>
void describe(A& a, engine::nat::NatConfig& v)
{
    a("tcp", v.tcp);
    a("udp", v.udp);
    a("icmp", v.icmp);
    a("timers", v.timers);
    a("limits", v.limits);
    a("ports", v.ports);
    a("portParity", v.portParity);
    a("preservePorts", v.preservePorts);
    a("hairpinning", v.hairpinning);
    a("inboundRefresh", v.inboundRefresh);
    a("clampMss", v.clampMss);
    a("pings", v.pings);
    a("synProxy", v.synProxy);
    a("exceptions", v.exceptions);
    a("untranslated", v.untranslated);
}
template <typename A>
void describe(A& a, Settings& v)
{
    a("retentionDays", v.retentionDays);
    a("retentionMegabytes", v.retentionMegabytes);
    a("onLive", v.onLive);
    a("window", v.window);
}
template <typename A>
void describe(A& a, Rules& v)
{
    a("revision", v.revision);
    a("nat", v.nat);
    a("passthrough", v.passthrough);
    a("portForwards", v.portForwards);
    a("oneToOnes", v.oneToOnes);
    a("deviceRules", v.deviceRules);
    a("exposedHost", v.exposedHost);
    a("deviceNames", v.deviceNames);
    a("settings", v.settings);
}
template <typename A>
void describe(A& a, storage::HistoryQuery& v)
{
    a("from", v.from);
    a("to", v.to);
    a("text", v.text);
    a("device", v.device);
    a("protocol", v.protocol);
    a("limit", v.limit);
    a("offset", v.offset);
    a("timelines", v.timelines);
}
template <typename A>
void describe(A& a, storage::HistoricTunnel& v)
{
    a("id", v.id);
    a("run", v.run);
    describe(a, v.tunnel);
}
template <typename A>
void describe(A& a, storage::HistoricSession& v)
{
    a("id", v.id);
    a("run", v.run);
    describe(a, v.session);
}
template <typename A>
void describe(A& a, storage::MinuteCounters& v)
{
    a("minute", v.minute);
    a("outbound", v.outbound);
    a("inbound", v.inbound);
    a("sessions", v.sessions);
    a("tunnels", v.tunnels);
    a("drops", v.drops);
}
template <typename A>
void describe(A& a, UndoState& v)
{
    a("lastChange", v.lastChange);
    a("canUndo", v.canUndo);
    a("canRedo", v.canRedo);
}
template <typename A>
void describe(A& a, DeviceIdentity& v)
{
    a("address", v.address);
    a("mac", v.mac);
    a("name", v.name);
}

template <typename A>
void describe(A& a, engine::io::HeldSetting& v)
{
    a("kind", v.kind);
    a("interface", v.interface);
    a("detail", v.detail);
    a("there", v.there);
}

// Commands.
template <typename A>
void describe(A& a, engine::SetInternalSide& v)
{
    a("side", v.side);
}
template <typename A>
void describe(A& a, engine::SetExternalSide& v)
{
    a("side", v.side);
}
template <typename A>
void describe(A& a, engine::SetNat& v)
{
    a("config", v.config);
}
template <typename A>
void describe(A& a, engine::SetPassthrough& v)
{
    a("protocol", v.protocol);
    a("value", v.value);
    a("onLive", v.onLive);
}
template <typename A>
void describe(A& a, engine::ResolveHold& v)
{
    a("protocol", v.protocol);
    a("how", v.how);
}
template <typename A>
void describe(A& a, engine::SetPortForwards& v)
{
    a("forwards", v.forwards);
    a("onLive", v.onLive);
}
template <typename A>
void describe(A& a, engine::SetOneToOnes& v)
{
    a("oneToOnes", v.oneToOnes);
    a("onLive", v.onLive);
}
template <typename A>
void describe(A& a, engine::SetDeviceRules& v)
{
    a("rules", v.rules);
    a("onLive", v.onLive);
}
template <typename A>
void describe(A& a, engine::SetExposedHost& v)
{
    a("address", v.address);
    a("onLive", v.onLive);
}
template <typename A>
void describe(A& a, engine::SetReservedPorts& v)
{
    a("ports", v.ports);
}
template <typename A>
void describe(A& a, engine::CloseTunnel& v)
{
    a("serial", v.serial);
}
template <typename A>
void describe(A& a, engine::CloseSession& v)
{
    a("serial", v.serial);
}
template <typename A>
void describe(A& a, engine::RunSelfTest& v)
{
    a("protocol", v.protocol);
}

// Events.
template <typename A>
void describe(A& a, engine::SessionEnded& v)
{
    a("session", v.session);
}
template <typename A>
void describe(A& a, engine::TunnelChanged& v)
{
    a("tunnel", v.tunnel);
}
template <typename A>
void describe(A& a, engine::TunnelEnded& v)
{
    a("tunnel", v.tunnel);
}
template <typename A>
void describe(A& a, engine::Refused& v)
{
    a("reason", v.reason);
    a("device", v.device);
    a("remote", v.remote);
    a("protocol", v.protocol);
}
template <typename A>
void describe(A& a, engine::SwitchChanged& v)
{
    a("protocol", v.protocol);
    a("status", v.status);
}
template <typename A>
void describe(A& a, engine::SelfTestFinished& v)
{
    a("protocol", v.protocol);
    a("result", v.result);
}
template <typename A>
void describe(A& a, engine::ExternalAddressChanged& v)
{
    a("before", v.before);
    a("after", v.after);
    a("sessionsEnded", v.sessionsEnded);
}
template <typename A>
void describe(A& a, engine::DeviceSeen& v)
{
    a("device", v.device);
}
template <typename A>
void describe(A& a, engine::SynFlood& v)
{
    a("status", v.status);
    a("over", v.over);
}

constexpr std::array<std::string_view, 13> kCommandWords{
    "set-internal-side", "set-external-side",  "set-nat",         "set-passthrough",
    "resolve-hold",      "set-port-forwards",  "set-one-to-ones", "set-device-rules",
    "set-exposed-host",  "set-reserved-ports", "close-tunnel",    "close-session",
    "run-self-test"};
static_assert(kCommandWords.size() == std::variant_size_v<engine::Command>);
template <typename A>
void describe(A& a, engine::SessionsCounted& v)
{
    a("sessions", v.sessions);
}
constexpr std::array<std::string_view, 10> kEventWords{"session-ended",
                                                       "tunnel-changed",
                                                       "tunnel-ended",
                                                       "refused",
                                                       "switch-changed",
                                                       "self-test-finished",
                                                       "external-address-changed",
                                                       "device-seen",
                                                       "syn-flood",
                                                       "sessions-counted"};
static_assert(kEventWords.size() == std::variant_size_v<engine::Event>);

constexpr std::array<std::string_view, 3> kHoldWords{"release", "finish", "drop"};

template <typename T>
concept HasWord = std::is_enum_v<T> && !std::same_as<T, IpProtocol> && requires(T value)
{
    {
        wordOf(value)
        } -> std::same_as<std::string_view>;
};

// ---- writing ----------------------------------------------------------------------------------

class Writer {
public:
    explicit Writer(Detail detail) : m_detail(detail) {}
    [[nodiscard]] bool full() const { return m_detail == Detail::Full; }
    [[nodiscard]] QJsonObject take() { return std::move(m_object); }

    template <typename T>
    void operator()(const char* name, const T& value)
    {
        m_object.insert(QLatin1String(name), json(value));
    }

private:
    static QJsonValue json(bool value) { return value; }
    template <std::integral T>
    requires(!std::same_as<T, bool>) static QJsonValue json(T value)
    {
        return QJsonValue(static_cast<qint64>(value));
    }
    static QJsonValue json(const std::string& value) { return qt(value); }
    static QJsonValue json(const QString& value) { return value; }
    static QJsonValue json(Ipv4Address value)
    {
        return value.isUnspecified() ? QString() : qt(value.toString());
    }
    static QJsonValue json(const Endpoint& value) { return qt(value.toString()); }
    static QJsonValue json(const Prefix& value) { return qt(value.toString()); }
    static QJsonValue json(const MacAddress& value) { return qt(value.toString()); }
    static QJsonValue json(Port value) { return value.hostOrder(); }
    static QJsonValue json(const PortRange& value)
    {
        return QJsonArray{value.first.hostOrder(), value.last.hostOrder()};
    }
    static QJsonValue json(Instant value) { return QJsonValue(qint64{value.nanoseconds() / 1000}); }
    static QJsonValue json(Duration value) { return QJsonValue(qint64{value.count() / 1000}); }
    static QJsonValue json(VpnProtocol value) { return qt(engine::net::textOf(value).word); }
    static QJsonValue json(IpProtocol value) { return qt(wordOf(value)); }
    static QJsonValue json(DropReason value) { return qt(engine::nameOf(value)); }
    static QJsonValue json(engine::ResolveHold::How value)
    {
        return qt(kHoldWords[static_cast<std::size_t>(value)]);
    }
    template <HasWord T>
    static QJsonValue json(T value)
    {
        return qt(wordOf(value));
    }
    static QJsonValue json(const std::vector<std::uint8_t>& octets)
    {
        const QByteArray raw(static_cast<qsizetype>(octets.size()), '\0');
        QByteArray copy = raw;
        std::copy(octets.begin(), octets.end(), copy.begin());
        return QString::fromLatin1(copy.toHex());
    }
    template <typename T>
    QJsonValue json(const std::vector<T>& values) const
    {
        QJsonArray array;
        for (const T& value : values) {
            array.append(json(value));
        }
        return array;
    }
    QJsonValue json(const std::vector<std::pair<DropReason, std::uint64_t>>& drops) const
    {
        QJsonObject object;
        for (const auto& [reason, packets] : drops) {
            object.insert(qt(engine::nameOf(reason)), json(packets));
        }
        return object;
    }
    QJsonValue json(const std::array<std::uint64_t, engine::kDropReasonCount>& drops) const
    {
        QJsonObject object;
        for (const auto& text : engine::kDropReasons) {
            object.insert(qt(text.name), json(drops[static_cast<std::size_t>(text.reason)]));
        }
        return object;
    }
    QJsonValue json(
        const std::array<engine::ProtocolStatus, engine::net::kVpnProtocolCount>& protocols) const
    {
        QJsonObject object;
        for (const auto& text : engine::net::kVpnProtocols) {
            object.insert(qt(text.word), json(protocols[static_cast<std::size_t>(text.protocol)]));
        }
        return object;
    }
    QJsonValue json(const engine::policy::PassthroughPolicy& policy) const
    {
        QJsonObject object;
        for (const auto& text : engine::net::kVpnProtocols) {
            object.insert(qt(text.word), json(policy.of(text.protocol)));
        }
        return object;
    }
    QJsonValue json(const std::map<std::string, std::string>& values) const
    {
        QJsonObject object;
        for (const auto& [name, value] : values) {
            object.insert(qt(name), qt(value));
        }
        return object;
    }
    QJsonValue json(const std::map<MacAddress, std::string>& names) const
    {
        QJsonObject object;
        for (const auto& [mac, name] : names) {
            object.insert(qt(mac.toString()), qt(name));
        }
        return object;
    }
    template <typename T>
    QJsonValue json(const std::optional<T>& value) const
    {
        return value ? json(*value) : QJsonValue(QJsonValue::Null);
    }
    template <typename T>
    requires std::is_class_v<T> QJsonValue json(const T& value)
    const
    {
        Writer inner{m_detail};
        // describe() only reads here; it takes a reference so that one description serves both.
        describe(inner, const_cast<T&>(value));
        return inner.take();
    }

    QJsonObject m_object;
    Detail m_detail;
};

// ---- reading ----------------------------------------------------------------------------------

class Reader {
public:
    explicit Reader(const QJsonValue& json) : m_object(json.toObject())
    {
        if (!json.isObject()) m_wrong = QStringLiteral("(not an object)");
    }
    [[nodiscard]] bool full() const { return true; }
    [[nodiscard]] const QString& wrong() const { return m_wrong; }

    template <typename T>
    void operator()(const char* name, T& value)
    {
        const auto found = m_object.constFind(QLatin1String(name));
        if (found == m_object.constEnd() || !m_wrong.isEmpty()) return;
        if (!read(*found, value)) {
            m_wrong = m_wrong.isEmpty() ? QString::fromLatin1(name)
                                        : QString::fromLatin1(name) + QLatin1Char('.') + m_wrong;
        }
    }

private:
    static bool read(const QJsonValue& json, bool& value)
    {
        value = json.toBool();
        return json.isBool();
    }
    template <std::integral T>
    requires(!std::same_as<T, bool>) static bool read(const QJsonValue& json, T& value)
    {
        // toInteger() answers with its default when the number is no whole one.
        constexpr qint64 kNone = std::numeric_limits<qint64>::min();
        const qint64 number = json.toInteger(kNone);
        if (!json.isDouble() || number == kNone) return false;
        if constexpr (std::is_unsigned_v<T>) {
            if (number < 0) return false;
        }
        if constexpr (sizeof(T) < sizeof(qint64)) {
            if (number > static_cast<qint64>(std::numeric_limits<T>::max()) ||
                number < static_cast<qint64>(std::numeric_limits<T>::min())) {
                return false;
            }
        }
        value = static_cast<T>(number);
        return true;
    }
    static bool read(const QJsonValue& json, std::string& value)
    {
        value = plain(json);
        return json.isString();
    }
    static bool read(const QJsonValue& json, QString& value)
    {
        value = json.toString();
        return json.isString();
    }
    static bool read(const QJsonValue& json, Ipv4Address& value)
    {
        if (!json.isString()) return false;
        const std::string text = plain(json);
        if (text.empty()) {
            value = Ipv4Address{};
            return true;
        }
        const auto parsed = Ipv4Address::parse(text);
        if (parsed) value = *parsed;
        return parsed.has_value();
    }
    static bool read(const QJsonValue& json, Endpoint& value)
    {
        const QString text = json.toString();
        const auto colon = text.lastIndexOf(QLatin1Char(':'));
        if (colon < 0) return false;
        const auto address = Ipv4Address::parse(text.left(colon).toStdString());
        bool ok = false;
        const ushort port = text.mid(colon + 1).toUShort(&ok);
        if (!address || !ok) return false;
        value = {*address, Port{port}};
        return true;
    }
    static bool read(const QJsonValue& json, Prefix& value)
    {
        const auto parsed = Prefix::parse(plain(json));
        if (parsed) value = *parsed;
        return parsed.has_value();
    }
    static bool read(const QJsonValue& json, MacAddress& value)
    {
        const QByteArray octets =
            QByteArray::fromHex(json.toString().remove(QLatin1Char(':')).toLatin1());
        if (octets.size() != 6) return false;
        std::array<std::uint8_t, 6> array{};
        std::copy(octets.begin(), octets.end(), array.begin());
        value = MacAddress{array};
        return true;
    }
    static bool read(const QJsonValue& json, Port& value)
    {
        std::uint16_t number = 0;
        if (!read(json, number)) return false;
        value = Port{number};
        return true;
    }
    static bool read(const QJsonValue& json, PortRange& value)
    {
        const QJsonArray pair = json.toArray();
        return pair.size() == 2 && read(pair.at(0), value.first) && read(pair.at(1), value.last);
    }
    static bool readMicroseconds(const QJsonValue& json, Duration& value)
    {
        constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 1000;
        std::int64_t number = 0;
        if (!read(json, number) || number > kMost || number < -kMost) return false;
        value = std::chrono::microseconds(number);
        return true;
    }
    static bool read(const QJsonValue& json, Duration& value)
    {
        return readMicroseconds(json, value);
    }
    static bool read(const QJsonValue& json, Instant& value)
    {
        Duration since{0};
        if (!readMicroseconds(json, since)) return false;
        value = Instant{since};
        return true;
    }
    static bool read(const QJsonValue& json, VpnProtocol& value)
    {
        const auto parsed = engine::net::vpnProtocolFromWord(plain(json));
        if (parsed) value = *parsed;
        return parsed.has_value();
    }
    static bool read(const QJsonValue& json, IpProtocol& value)
    {
        const auto parsed = ipProtocolFromWord(plain(json));
        if (parsed) value = *parsed;
        return parsed.has_value();
    }
    static bool read(const QJsonValue& json, DropReason& value)
    {
        const std::string name = plain(json);
        for (const auto& text : engine::kDropReasons) {
            if (text.name == name) {
                value = text.reason;
                return true;
            }
        }
        return false;
    }
    static bool read(const QJsonValue& json, engine::ResolveHold::How& value)
    {
        const std::string word = plain(json);
        for (std::size_t i = 0; i < kHoldWords.size(); ++i) {
            if (kHoldWords[i] == word) {
                value = static_cast<engine::ResolveHold::How>(i);
                return true;
            }
        }
        return false;
    }
    template <HasWord T>
    static bool read(const QJsonValue& json, T& value)
    {
        const auto parsed = fromWord<T>(plain(json));
        if (parsed) value = *parsed;
        return parsed.has_value();
    }
    static bool read(const QJsonValue& json, std::vector<std::uint8_t>& octets)
    {
        const QByteArray raw = QByteArray::fromHex(json.toString().toLatin1());
        octets.assign(raw.begin(), raw.end());
        return json.isString();
    }
    template <typename T>
    bool read(const QJsonValue& json, std::vector<T>& values)
    {
        if (!json.isArray()) return false;
        values.clear();
        const QJsonArray array = json.toArray();
        for (const QJsonValue& item : array) {
            T value{};
            if (!read(item, value)) return false;
            values.push_back(std::move(value));
        }
        return true;
    }
    bool read(const QJsonValue& json, std::vector<std::pair<DropReason, std::uint64_t>>& drops)
    {
        const QJsonObject object = json.toObject();
        drops.clear();
        for (auto it = object.begin(); it != object.end(); ++it) {
            DropReason reason{};
            std::uint64_t packets = 0;
            // A reason that only a newer router knows is left out.
            if (!read(QJsonValue(it.key()), reason)) continue;
            if (!read(it.value(), packets)) return false;
            drops.emplace_back(reason, packets);
        }
        return json.isObject();
    }
    bool read(const QJsonValue& json, std::array<std::uint64_t, engine::kDropReasonCount>& drops)
    {
        std::vector<std::pair<DropReason, std::uint64_t>> list;
        if (!read(json, list)) return false;
        for (const auto& [reason, packets] : list) {
            drops[static_cast<std::size_t>(reason)] = packets;
        }
        return true;
    }
    bool read(const QJsonValue& json,
              std::array<engine::ProtocolStatus, engine::net::kVpnProtocolCount>& protocols)
    {
        const QJsonObject object = json.toObject();
        for (auto it = object.begin(); it != object.end(); ++it) {
            VpnProtocol protocol{};
            if (!read(QJsonValue(it.key()), protocol)) continue;
            if (!read(it.value(), protocols[static_cast<std::size_t>(protocol)])) return false;
        }
        return json.isObject();
    }
    bool read(const QJsonValue& json, engine::policy::PassthroughPolicy& policy)
    {
        const QJsonObject object = json.toObject();
        for (auto it = object.begin(); it != object.end(); ++it) {
            VpnProtocol protocol{};
            if (!read(QJsonValue(it.key()), protocol)) continue;
            engine::policy::PassthroughSwitch value;
            if (!read(it.value(), value)) return false;
            policy.set(protocol, std::move(value));
        }
        return json.isObject();
    }
    static bool read(const QJsonValue& json, std::map<std::string, std::string>& values)
    {
        const QJsonObject object = json.toObject();
        values.clear();
        for (auto it = object.begin(); it != object.end(); ++it) {
            values[it.key().toStdString()] = plain(it.value());
        }
        return json.isObject();
    }
    static bool read(const QJsonValue& json, std::map<MacAddress, std::string>& names)
    {
        const QJsonObject object = json.toObject();
        names.clear();
        for (auto it = object.begin(); it != object.end(); ++it) {
            MacAddress mac;
            if (!read(QJsonValue(it.key()), mac)) return false;
            names[mac] = plain(it.value());
        }
        return json.isObject();
    }
    template <typename T>
    bool read(const QJsonValue& json, std::optional<T>& value)
    {
        if (json.isNull()) {
            value.reset();
            return true;
        }
        T inner{};
        if (!read(json, inner)) return false;
        value = inner;
        return true;
    }
    template <typename T>
    requires std::is_class_v<T>
    bool read(const QJsonValue& json, T& value)
    {
        Reader inner{json};
        describe(inner, value);
        m_wrong = inner.wrong();
        return m_wrong.isEmpty();
    }

    QJsonObject m_object;
    QString m_wrong;
};

template <typename T>
QJsonObject written(const T& value, Detail detail = Detail::Full)
{
    Writer writer{detail};
    describe(writer, const_cast<T&>(value));
    return writer.take();
}

template <typename Variant, std::size_t N>
QJsonObject writtenVariant(const Variant& variant, const char* tag,
                           const std::array<std::string_view, N>& words)
{
    return std::visit(
        [&](const auto& value) {
            QJsonObject object = written(value);
            object.insert(QLatin1String(tag), qt(words[variant.index()]));
            return object;
        },
        variant);
}

template <typename Variant, std::size_t Index = 0, std::size_t N>
Result<Variant, QString> readVariant(const QJsonValue& json, const char* tag,
                                     const std::array<std::string_view, N>& words)
{
    if constexpr (Index == N) {
        return Err{QString::fromLatin1(tag)};
    } else {
        if (plain(json[QLatin1String(tag)]) != words[Index]) {
            return readVariant<Variant, Index + 1>(json, tag, words);
        }
        std::variant_alternative_t<Index, Variant> value{};
        Reader reader{json};
        describe(reader, value);
        if (!reader.wrong().isEmpty()) return Err{reader.wrong()};
        return Variant{std::move(value)};
    }
}

}  // namespace

QJsonObject toJson(const engine::tunnel::Tunnel& tunnel, Detail detail)
{
    return written(tunnel, detail);
}
QJsonObject toJson(const engine::SessionRecord& session)
{
    return written(session);
}
QJsonObject toJson(const engine::Counters& counters)
{
    return written(counters);
}
QJsonObject toJson(const engine::ProtocolStatus& status)
{
    return written(status);
}
QJsonObject toJson(const engine::Snapshot& snapshot, Detail detail)
{
    return written(snapshot, detail);
}
QJsonObject toJson(const engine::Event& event)
{
    return writtenVariant(event, "event", kEventWords);
}
QJsonObject toJson(const engine::Command& command)
{
    return writtenVariant(command, "command", kCommandWords);
}
QJsonObject toJson(const engine::policy::PassthroughSwitch& value)
{
    return written(value);
}
QJsonObject toJson(const Rules& rules)
{
    return written(rules);
}
QJsonObject toJson(const Settings& settings)
{
    return written(settings);
}
QJsonObject toJson(const storage::HistoryQuery& query)
{
    return written(query);
}
QJsonObject toJson(const storage::HistoricTunnel& row)
{
    return written(row);
}
QJsonObject toJson(const storage::HistoricSession& row)
{
    return written(row);
}
QJsonObject toJson(const storage::MinuteCounters& row)
{
    return written(row);
}
QJsonObject toJson(const UndoState& state)
{
    return written(state);
}
QJsonObject toJson(const DeviceIdentity& device)
{
    return written(device);
}
QJsonObject toJson(const engine::SessionQuery& query)
{
    return written(query);
}

QJsonObject toJson(const engine::io::HeldSetting& setting)
{
    return written(setting);
}

template <typename T>
Result<T, QString> fromJson(const QJsonValue& json)
{
    if constexpr (std::is_same_v<T, engine::Command>) {
        return readVariant<T>(json, "command", kCommandWords);
    } else if constexpr (std::is_same_v<T, engine::Event>) {
        return readVariant<T>(json, "event", kEventWords);
    } else {
        T value{};
        Reader reader{json};
        describe(reader, value);
        if (!reader.wrong().isEmpty()) return Err{reader.wrong()};
        return value;
    }
}

template Result<engine::tunnel::Tunnel, QString> fromJson(const QJsonValue&);
template Result<engine::SessionRecord, QString> fromJson(const QJsonValue&);
template Result<engine::Counters, QString> fromJson(const QJsonValue&);
template Result<engine::ProtocolStatus, QString> fromJson(const QJsonValue&);
template Result<engine::SynFloodStatus, QString> fromJson(const QJsonValue&);
template Result<engine::Snapshot, QString> fromJson(const QJsonValue&);
template Result<engine::Event, QString> fromJson(const QJsonValue&);
template Result<engine::Command, QString> fromJson(const QJsonValue&);
template Result<engine::policy::PassthroughSwitch, QString> fromJson(const QJsonValue&);
template Result<Rules, QString> fromJson(const QJsonValue&);
template Result<Settings, QString> fromJson(const QJsonValue&);
template Result<storage::HistoryQuery, QString> fromJson(const QJsonValue&);
template Result<storage::HistoricTunnel, QString> fromJson(const QJsonValue&);
template Result<storage::HistoricSession, QString> fromJson(const QJsonValue&);
template Result<storage::MinuteCounters, QString> fromJson(const QJsonValue&);
template Result<UndoState, QString> fromJson(const QJsonValue&);
template Result<DeviceIdentity, QString> fromJson(const QJsonValue&);
template Result<engine::SessionQuery, QString> fromJson(const QJsonValue&);
template Result<engine::io::HeldSetting, QString> fromJson(const QJsonValue&);

}  // namespace app::control
