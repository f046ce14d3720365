#include "engine/lab/ping.h"

namespace engine::lab {

Pinger::Pinger(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_speaker(host.newIdentity(), {})
{
    if (m_options.identifier == 0) {
        m_options.identifier = static_cast<std::uint16_t>(host.random().next() | 1U);
    }
    host.addIcmpHandler([this](const Host::IcmpNews& news) { hear(news); });
    const auto first = static_cast<std::uint32_t>(options.every / 1ms);
    m_host->after(m_host->random().below(first + 1) * Duration{1ms}, [this] { ping(); });
}

void Pinger::ping()
{
    ++m_sequence;
    m_sentAt = m_host->now();
    // Both identities are the sender's: the echo comes back as it was sent.
    ++m_report.sent;
    const Octets body =
        encode(Message{.from = m_speaker.self(), .to = m_speaker.self(), .serial = m_sequence}, 56);
    m_host->sendIp(net::IpProtocol::Icmp, m_options.target,
                   encodeIcmp(8, 0, std::uint32_t{m_options.identifier} << 16 | m_sequence, body));
    m_host->after(m_options.every, [this] { ping(); });
}

void Pinger::hear(const Host::IcmpNews& news)
{
    if (news.type != 0 || news.rest >> 16 != m_options.identifier) return;
    const bool right = news.from == m_options.target;
    if (!right) ++m_report.wrong;
    if (!right) return;
    m_speaker.hear(news.body, m_report);
    m_report.up = true;
    if ((news.rest & 0xffffU) == m_sequence) m_roundTrip = m_host->now() - m_sentAt;
}

}  // namespace engine::lab
