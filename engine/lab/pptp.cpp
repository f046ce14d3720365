#include "engine/lab/pptp.h"

#include <algorithm>
#include <charconv>

namespace engine::lab {

namespace {

using pptp::Type;

constexpr std::uint8_t kOk = 1;
constexpr std::uint8_t kAlreadyThere = 3;  ///< RFC 2637 §2.2: a command channel exists already
/// RFC 2637 §3.1.4: the echo that keeps a control connection.
constexpr Duration kEchoEvery = 60s;
/// Ours: packets still under way after a call has ended are nobody's mistake.
constexpr Duration kLinger = 30s;
constexpr Duration kCallMustBeUpWithin = 30s;
constexpr Duration kAckDelay = 200ms;

std::string phoneNumberOf(Identity client)
{
    return "lab-" + std::to_string(client);
}

Identity clientOf(const Octets& message)
{
    const std::string number = textOf(wire::ConstBytes{message}.subspan(40, 64));
    Identity client = 0;
    if (number.size() > 4)
        std::from_chars(number.data() + 4, number.data() + number.size(), client);
    return client;
}

bool isRecent(const std::map<std::uint16_t, Instant>& past, std::uint16_t callId, Instant now)
{
    const auto found = past.find(callId);
    return found != past.end() && now - found->second < kLinger;
}

}  // namespace

PptpCall::~PptpCall()
{
    if (m_ackTimer) m_host->cancel(*m_ackTimer);
}

void PptpCall::begin(PppRole role, PppLink::Callbacks callbacks, const PppLink::Options& options)
{
    callbacks.send = [this](const Octets& frame) {
        send(frame);
    };
    m_link = std::make_unique<PppLink>(*m_host, role, std::move(callbacks), options);
    m_link->start();
}

void PptpCall::send(wire::ConstBytes frame)
{
    if (m_muted) return;
    pptp::Gre gre{.callId = m_parties.peer, .sequence = m_nextSequence++, .payload = frame};
    if (m_owesAck) gre.acknowledgment = m_heard;
    m_owesAck = false;
    m_host->sendIp(net::IpProtocol::Gre, m_parties.remote, pptp::encode(gre));
}

void PptpCall::acknowledge()
{
    m_ackTimer.reset();
    if (!m_owesAck || m_muted) return;
    m_owesAck = false;
    m_host->sendIp(net::IpProtocol::Gre, m_parties.remote,
                   pptp::encode({.callId = m_parties.peer, .acknowledgment = m_heard}));
}

void PptpCall::receive(const pptp::Gre& gre)
{
    if (!gre.sequence || m_link == nullptr) return;
    if (m_heard && static_cast<std::int32_t>(*gre.sequence - *m_heard) <= 0) return;
    m_heard = gre.sequence;
    m_owesAck = true;
    if (!m_ackTimer) m_ackTimer = m_host->after(kAckDelay, [this] { acknowledge(); });
    m_link->receive(gre.payload);
}

PptpServer::PptpServer(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_self(host.newIdentity())
{
    m_report.up = true;
    host.tcp().listen(pptp::kPort,
                      {.data = [this](TcpId id, wire::ConstBytes bytes) { take(id, bytes); },
                       .finished =
                           [this](TcpId id) {
                               forget(id);
                               m_host->tcp().close(id);
                           },
                       .ended =
                           [this](TcpId id, TcpEnd) {
                               forget(id);
                           }},
                      options.segmentSize);
    host.bindProtocol(net::IpProtocol::Gre, [this](net::Ipv4Address from, wire::ConstBytes bytes) {
        takeGre(from, bytes);
    });
}

void PptpServer::forget(TcpId id)
{
    m_streams.erase(id);
    std::erase_if(m_calls, [&](const auto& entry) {
        if (entry.second.control != id) return false;
        m_past[entry.first] = m_host->now();
        return true;
    });
}

std::uint16_t PptpServer::newCallId()
{
    std::uint16_t callId = 1;
    for (;;) {
        if (!m_options.sameCallIds) callId = static_cast<std::uint16_t>(m_host->random().next());
        if (callId != 0 && !m_calls.contains(callId) && !isRecent(m_past, callId, m_host->now())) {
            return callId;
        }
        ++callId;
    }
}

void PptpServer::take(TcpId id, wire::ConstBytes bytes)
{
    Octets& stream = m_streams[id];
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    bool isBroken = false;
    while (m_streams.contains(id)) {
        const auto message = pptp::cut(m_streams[id], isBroken);
        if (isBroken) {
            ++m_report.wrong;
            forget(id);
            m_host->tcp().abort(id);
            return;
        }
        if (!message) return;
        takeMessage(id, *message);
    }
}

void PptpServer::takeMessage(TcpId id, const Octets& message)
{
    TcpStack& tcp = m_host->tcp();
    const auto type = static_cast<Type>(wire::load16(message, 8));
    if (type == Type::StartRequest) {
        ++m_report.attempts;
        const auto remote = tcp.remoteOf(id);
        bool refused = false;
        for (const auto& [other, stream] : m_streams) {
            const auto neighbour = tcp.remoteOf(other);
            if (other != id && neighbour && remote && neighbour->address == remote->address) {
                refused = m_options.oneConnectionPerAddress;
            }
        }
        tcp.send(id, pptp::startReply(refused ? kAlreadyThere : kOk));
        if (refused) ++m_report.failures;
    } else if (type == Type::EchoRequest) {
        tcp.send(id, pptp::echoReply(wire::load32(message, 12)));
    } else if (type == Type::OutgoingCallRequest) {
        takeCall(id, message);
    } else if (type == Type::CallClearRequest) {
        // The client's own Call ID, as this server sees it.
        const std::uint16_t peer = wire::load16(message, 12);
        const auto found = std::find_if(m_calls.begin(), m_calls.end(), [&](const auto& entry) {
            return entry.second.control == id && entry.second.gre->parties().peer == peer;
        });
        if (found == m_calls.end()) {
            ++m_report.wrong;
            return;
        }
        tcp.send(id, pptp::callDisconnectNotify(found->first, 4));
        m_past[found->first] = m_host->now();
        m_calls.erase(found);
    } else if (type == Type::SetLinkInfo) {
        const auto found = m_calls.find(wire::load16(message, 12));
        if (found == m_calls.end() || found->second.control != id) ++m_report.wrong;
    } else if (type == Type::StopRequest) {
        tcp.send(id, pptp::stop(Type::StopReply));
        forget(id);
        tcp.close(id);
    }
}

void PptpServer::takeCall(TcpId id, const Octets& message)
{
    const auto remote = m_host->tcp().remoteOf(id);
    if (!remote) return;
    const std::uint16_t own = newCallId();
    const std::uint16_t peer = wire::load16(message, 12);
    Call call;
    call.control = id;
    call.client = clientOf(message);
    call.gre = std::make_unique<PptpCall>(
        *m_host, PptpCall::Parties{.remote = remote->address, .own = own, .peer = peer});
    if (!m_options.sendsGre) call.gre->mute();
    m_host->tcp().send(id, pptp::outgoingCallReply(own, peer, kOk));
    Call& kept = m_calls.emplace(own, std::move(call)).first->second;
    PptpCall* gre = kept.gre.get();
    const Identity client = kept.client;
    gre->begin(PppRole::Server,
               {.send = {},
                .up = [this] { ++m_report.established; },
                .refused = {},
                .data =
                    [this, gre, client](wire::ConstBytes data) {
                        for (const Octets& reply : answer(data, m_self, client, m_report)) {
                            gre->link().sendData(reply);
                        }
                    }},
               m_options.ppp);
}

void PptpServer::takeGre(net::Ipv4Address from, wire::ConstBytes bytes)
{
    const auto gre = pptp::decode(bytes);
    if (!gre) return;
    const auto found = m_calls.find(gre->callId);
    if (found == m_calls.end()) {
        ++(isRecent(m_past, gre->callId, m_host->now()) ? m_report.strays : m_report.wrong);
        return;
    }
    if (found->second.gre->parties().remote != from) {
        ++m_report.wrong;
        return;
    }
    found->second.gre->receive(*gre);
}

PptpClient::PptpClient(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_self(host.newIdentity())
{
    host.bindProtocol(net::IpProtocol::Gre, [this](net::Ipv4Address from, wire::ConstBytes bytes) {
        takeGre(from, bytes);
    });
    m_host->after(options.dialAfter, [this] { dial(); });
}

PeerReport PptpClient::report() const
{
    PeerReport report = m_report;
    report.up = callsUp() == m_options.calls;
    return report;
}

std::size_t PptpClient::callsUp() const
{
    return static_cast<std::size_t>(
        std::count_if(m_calls.begin(), m_calls.end(), [](const auto& entry) {
            return entry.second.gre != nullptr && entry.second.gre->link().isUp();
        }));
}

void PptpClient::dial()
{
    const std::uint64_t dialling = ++m_dialling;
    ++m_report.attempts;
    m_stream.clear();
    m_control =
        m_host->tcp().connect({m_options.server, pptp::kPort},
                              {.connected = [this](TcpId) { sendControl(pptp::startRequest()); },
                               .data =
                                   [this, dialling](TcpId, wire::ConstBytes bytes) {
                                       if (dialling == m_dialling) take(bytes);
                                   },
                               .ended =
                                   [this, dialling](TcpId, TcpEnd) {
                                       if (dialling == m_dialling) broken();
                                   }},
                              {.segmentSize = m_options.segmentSize});
    m_host->after(kCallMustBeUpWithin, [this, dialling] {
        if (dialling != m_dialling || callsUp() == m_options.calls) return;
        ++m_report.failures;
        hangUp();
    });
    m_host->after(kEchoEvery, [this, dialling] { echo(dialling); });
    if (m_options.callLength.count() > 0) {
        m_host->after(m_options.callLength, [this, dialling] {
            if (dialling == m_dialling) hangUp();
        });
    }
}

void PptpClient::echo(std::uint64_t dialling)
{
    if (dialling != m_dialling) return;
    sendControl(pptp::echoRequest(static_cast<std::uint32_t>(m_host->random().next())));
    m_host->after(kEchoEvery, [this, dialling] { echo(dialling); });
}

void PptpClient::hangUp()
{
    for (const auto& [own, call] : m_calls)
        sendControl(pptp::callClearRequest(own));
    sendControl(pptp::stop(Type::StopRequest));
    const TcpId control = m_control;
    m_host->after(2s, [this, control] { m_host->tcp().close(control); });
    broken();
}

void PptpClient::broken()
{
    ++m_dialling;
    for (const auto& [own, call] : m_calls)
        m_past[own] = m_host->now();
    m_calls.clear();
    m_host->after(m_options.redialAfter, [this] { dial(); });
}

void PptpClient::take(wire::ConstBytes bytes)
{
    m_stream.insert(m_stream.end(), bytes.begin(), bytes.end());
    const std::uint64_t dialling = m_dialling;
    while (dialling == m_dialling) {
        bool isBroken = false;
        const auto message = pptp::cut(m_stream, isBroken);
        if (isBroken) {
            ++m_report.wrong;
            m_host->tcp().abort(m_control);
            return;
        }
        if (!message) return;
        takeMessage(*message);
    }
}

void PptpClient::takeMessage(const Octets& message)
{
    const auto type = static_cast<Type>(wire::load16(message, 8));
    if (type == Type::StartReply) {
        if (message[14] != kOk) {
            ++m_report.failures;
            m_host->tcp().close(m_control);
            return;
        }
        for (std::uint8_t i = 0; i < m_options.calls; ++i) {
            std::uint16_t own = 0;
            do {
                own = m_options.callId ? static_cast<std::uint16_t>(*m_options.callId + i)
                                       : static_cast<std::uint16_t>(m_host->random().next());
            } while (!m_options.callId && (own == 0 || m_calls.contains(own)));
            m_calls[own];
            sendControl(pptp::outgoingCallRequest(own, ++m_serial, phoneNumberOf(m_self)));
        }
    } else if (type == Type::EchoRequest) {
        sendControl(pptp::echoReply(wire::load32(message, 12)));
    } else if (type == Type::OutgoingCallReply) {
        const std::uint16_t own = wire::load16(message, 14);
        if (!m_calls.contains(own) || message[16] != kOk) {
            ++(message[16] != kOk ? m_report.failures : m_report.wrong);
            return;
        }
        callAgreed(own, wire::load16(message, 12));
    } else if (type == Type::CallDisconnectNotify) {
        // It carries the server's own Call ID.
        const std::uint16_t peer = wire::load16(message, 12);
        std::erase_if(m_calls, [&](const auto& entry) {
            const bool ended = entry.second.gre && entry.second.gre->parties().peer == peer;
            if (ended) m_past[entry.first] = m_host->now();
            return ended;
        });
    }
}

void PptpClient::callAgreed(std::uint16_t own, std::uint16_t peer)
{
    sendControl(pptp::setLinkInfo(peer));
    Call& call = m_calls[own];
    call.speaker = std::make_unique<Speaker>(m_self, m_options.talk);
    call.gre = std::make_unique<PptpCall>(
        *m_host, PptpCall::Parties{.remote = m_options.server, .own = own, .peer = peer});
    const std::uint64_t dialling = m_dialling;
    const Speaker* speaker = call.speaker.get();
    call.gre->begin(PppRole::Client,
                    {.send = {},
                     .up =
                         [this, own, dialling] {
                             ++m_report.established;
                             talk(own, dialling);
                         },
                     .refused = [this] { ++m_report.failures; },
                     .data =
                         [this, speaker](wire::ConstBytes data) {
                             speaker->hear(data, m_report);
                         }},
                    PppLink::Options{});
}

void PptpClient::talk(std::uint16_t own, std::uint64_t dialling)
{
    if (dialling != m_dialling) return;
    const auto found = m_calls.find(own);
    if (found == m_calls.end() || !found->second.gre) return;
    found->second.gre->link().sendData(found->second.speaker->next(m_report));
    m_host->after(found->second.speaker->pause(m_host->random()),
                  [this, own, dialling] { talk(own, dialling); });
}

void PptpClient::takeGre(net::Ipv4Address from, wire::ConstBytes bytes)
{
    const auto gre = pptp::decode(bytes);
    if (!gre || from != m_options.server) {
        ++m_report.wrong;
        return;
    }
    const auto found = m_calls.find(gre->callId);
    if (found == m_calls.end() || !found->second.gre) {
        // Before our copy of the reply has come, or after the end, it is merely early or late.
        const bool excusable =
            found != m_calls.end() || isRecent(m_past, gre->callId, m_host->now());
        ++(excusable ? m_report.strays : m_report.wrong);
        return;
    }
    found->second.gre->receive(*gre);
}

}  // namespace engine::lab
