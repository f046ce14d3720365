#include "engine/lab/ppp_link.h"

#include <algorithm>

namespace engine::lab {

namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kLcp = 0xc021;
constexpr std::uint16_t kChap = 0xc223;
constexpr std::uint16_t kIpcp = 0x8021;
constexpr std::uint16_t kCompressed = 0x00fd;
constexpr std::uint8_t kConfigureRequest = 1;
constexpr std::uint8_t kConfigureAck = 2;
constexpr std::uint8_t kConfigureNak = 3;
constexpr std::uint8_t kEchoRequest = 9;
constexpr std::uint8_t kEchoReply = 10;
constexpr std::uint8_t kChallenge = 1;
constexpr std::uint8_t kResponse = 2;
constexpr std::uint8_t kSuccess = 3;
constexpr std::uint8_t kFailure = 4;
/// RFC 1661 §4.6: the restart timer's usual value.
constexpr Duration kRestart = 3s;
constexpr Duration kEchoEvery = 30s;

/// RFC 1332 §3.3.
Octets address(net::Ipv4Address inner)
{
    return Writer{}.put8(3).put8(6).put32(inner.hostOrder()).take();
}

}  // namespace

PppLink::PppLink(Host& host, PppRole role, Callbacks callbacks, const Options& options)
    : m_host(&host), m_role(role), m_callbacks(std::move(callbacks)), m_options(options)
{}

PppLink::~PppLink()
{
    if (m_timer) m_host->cancel(*m_timer);
}

void PppLink::start()
{
    if (m_role == PppRole::Client) request();
}

void PppLink::sendFrame(std::uint16_t protocol, wire::ConstBytes body)
{
    m_callbacks.send(Writer{}.put8(0xff).put8(3).put16(protocol).put(body).take());
}

void PppLink::sendControl(std::uint16_t protocol, std::uint8_t code, std::uint8_t id,
                          wire::ConstBytes options)
{
    sendFrame(protocol, Writer{}.put8(code).put8(id).put16(4 + options.size()).put(options).take());
}

void PppLink::request()
{
    m_timer.reset();
    Duration again = kRestart;
    switch (m_step) {
    case Step::Lcp:
    case Step::Chap:
        // Maximum receive unit and a magic number.
        sendControl(kLcp, kConfigureRequest, ++m_id,
                    Writer{}
                        .put8(1)
                        .put8(4)
                        .put16(1400)
                        .put8(5)
                        .put8(6)
                        .put32(m_host->random().next())
                        .take());
        break;
    case Step::Ipcp: sendControl(kIpcp, kConfigureRequest, ++m_id, address(m_inner)); break;
    case Step::Up:
        sendControl(kLcp, kEchoRequest, ++m_id, Writer{}.put32(0).take());
        again = kEchoEvery;
        break;
    case Step::Refused: return;
    }
    m_timer = m_host->after(again, [this] { request(); });
}

void PppLink::receive(wire::ConstBytes frame)
{
    if (frame.size() >= 2 && frame[0] == 0xff && frame[1] == 3) frame = frame.subspan(2);
    if (frame.size() < 2) return;
    const std::uint16_t protocol = wire::load16(frame, 0);
    const wire::ConstBytes body = frame.subspan(2);
    if (protocol == kCompressed) {
        // Data may overtake the last acknowledgement; it proves that the other side is up.
        if (m_step == Step::Ipcp) becomeUp();
        if (m_step == Step::Up && body.size() >= 2) m_callbacks.data(body.subspan(2));
        return;
    }
    if (body.size() < 4 || wire::load16(body, 2) < 4 || wire::load16(body, 2) > body.size()) return;
    const wire::ConstBytes options = body.subspan(4, wire::load16(body, 2) - 4U);
    if (protocol == kLcp) takeLcp(body[0], body[1], options);
    if (protocol == kChap) takeChap(body[0], body[1]);
    if (protocol == kIpcp) takeIpcp(body[0], body[1], options);
}

void PppLink::takeLcp(std::uint8_t code, std::uint8_t id, wire::ConstBytes options)
{
    if (code == kEchoRequest) sendControl(kLcp, kEchoReply, id, options);
    if (code == kConfigureRequest) {
        sendControl(kLcp, kConfigureAck, id, options);
        if (m_role == PppRole::Server) {
            m_step = Step::Lcp;
            // MS-CHAPv2 wanted.
            sendControl(kLcp, kConfigureRequest, ++m_id,
                        Writer{}.put8(3).put8(5).put16(kChap).put8(0x81).take());
        } else if (m_step == Step::Lcp) {
            m_step = Step::Chap;
        }
    }
    if (code == kConfigureAck && m_role == PppRole::Server && m_step == Step::Lcp) {
        m_step = Step::Chap;
        sendControl(kChap, kChallenge, ++m_id,
                    Writer{}
                        .put8(16)
                        .put64(m_host->random().next())
                        .put64(m_host->random().next())
                        .putText("lab")
                        .take());
    }
}

void PppLink::takeChap(std::uint8_t code, std::uint8_t id)
{
    if (code == kChallenge && m_role == PppRole::Client) {
        m_step = Step::Chap;
        sendControl(
            kChap, kResponse, id,
            Writer{}.put8(49).fill(49, static_cast<std::uint8_t>(id + 1)).putText("user").take());
    } else if (code == kResponse && m_role == PppRole::Server) {
        const bool right = m_options.secret == PppSecret::Right;
        sendControl(kChap, right ? kSuccess : kFailure, id,
                    octetsOf(right ? "S=0000000000000000000000000000000000000000 M=Welcome"
                                   : "E=691 R=0 C=00000000000000000000000000000000 V=3 M=Denied"));
        if (right) {
            m_step = Step::Ipcp;
        } else if (m_callbacks.refused) {
            m_callbacks.refused();
        }
    } else if (code == kSuccess && m_step == Step::Chap) {
        m_step = Step::Ipcp;
        if (m_timer) m_host->cancel(*m_timer);
        request();
    } else if (code == kFailure && m_role == PppRole::Client) {
        m_step = Step::Refused;
        if (m_callbacks.refused) m_callbacks.refused();
    }
}

void PppLink::takeIpcp(std::uint8_t code, std::uint8_t id, wire::ConstBytes options)
{
    if (m_step != Step::Ipcp && m_step != Step::Up) return;
    if (code == kConfigureNak && m_role == PppRole::Client && options.size() >= 6) {
        m_inner = net::Ipv4Address{wire::load32(options, 2)};
        if (m_step == Step::Ipcp) {
            if (m_timer) m_host->cancel(*m_timer);
            request();
        }
    }
    if (code == kConfigureRequest && m_role == PppRole::Server) {
        const Octets wanted = address(m_options.client);
        if (!std::ranges::equal(options, wanted)) {
            sendControl(kIpcp, kConfigureNak, id, wanted);
            return;
        }
    }
    if (code == kConfigureRequest) {
        sendControl(kIpcp, kConfigureAck, id, options);
        if (m_role == PppRole::Server) {
            sendControl(kIpcp, kConfigureRequest, ++m_id, address(m_options.server));
        } else if (m_step == Step::Ipcp) {
            becomeUp();
        }
    }
    if (code == kConfigureAck && m_role == PppRole::Server && m_step == Step::Ipcp) becomeUp();
}

void PppLink::becomeUp()
{
    m_step = Step::Up;
    if (m_timer) m_host->cancel(*m_timer);
    m_timer.reset();
    if (m_role == PppRole::Client) m_timer = m_host->after(kEchoEvery, [this] { request(); });
    if (m_callbacks.up) m_callbacks.up();
}

void PppLink::sendData(wire::ConstBytes data)
{
    m_coherency = static_cast<std::uint16_t>((m_coherency + 1) & 0x0fffU);
    sendFrame(kCompressed, Writer{}.put16(0x9000U | m_coherency).put(data).take());
}

}  // namespace engine::lab
