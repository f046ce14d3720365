#include "engine/lab/dns.h"

#include <algorithm>

namespace engine::lab {

namespace {

constexpr net::Port kDnsPort{53};
constexpr std::size_t kHeader = 12;

Octets queryFor(std::uint16_t id, const std::string& label)
{
    Writer writer;
    writer.put16(id).put16(0x0100).put16(1).put16(0).put16(0).put16(0);
    writer.put8(label.size()).putText(label);
    for (const std::string_view part : {"lab", "example"})
        writer.put8(part.size()).putText(part);
    return writer.put8(0).put16(1).put16(1).take();
}

std::uint32_t addressFor(wire::ConstBytes question)
{
    std::uint32_t sum = 0;
    for (const std::uint8_t octet : question)
        sum = sum * 31 + octet;
    return (sum & 0xffU) | 0xc6336400U;
}

}  // namespace

DnsServer::DnsServer(Host& host) : m_host(&host)
{
    m_report.up = true;
    host.bindUdp(kDnsPort, [this](const net::Endpoint& from, wire::ConstBytes query) {
        if (query.size() < kHeader) return;
        ++m_report.received;
        const wire::ConstBytes question = query.subspan(kHeader);
        Writer writer;
        writer.put16(wire::load16(query, 0)).put16(0x8180).put16(1).put16(1).put16(0).put16(0);
        writer.put(question).put16(0xc00c).put16(1).put16(1).put32(60).put16(4);
        writer.put32(addressFor(question));
        ++m_report.sent;
        m_host->sendUdp(kDnsPort, from, writer.take());
    });
}

DnsClient::DnsClient(Host& host, const Options& options)
    : m_host(&host), m_options(options), m_self(host.newIdentity())
{
    const auto first = static_cast<std::uint32_t>(options.every / 1ms);
    m_host->after(m_host->random().below(first + 1) * Duration{1ms}, [this] { ask(); });
}

void DnsClient::ask()
{
    const net::Port port = m_host->freePort();
    const auto id = static_cast<std::uint16_t>(m_host->random().next());
    const Octets query =
        queryFor(id, "h" + std::to_string(m_self) + "n" + std::to_string(++m_serial));
    ++m_report.attempts;
    ++m_report.sent;
    m_host->bindUdp(port, [this, port, query](const net::Endpoint& from, wire::ConstBytes reply) {
        const wire::ConstBytes question = wire::ConstBytes{query}.subspan(kHeader);
        const bool right = from == net::Endpoint{m_options.server, kDnsPort} &&
                           reply.size() == query.size() + 16 &&
                           wire::load16(reply, 0) == wire::load16(query, 0) &&
                           std::equal(question.begin(), question.end(), reply.begin() + kHeader) &&
                           wire::load32(reply, reply.size() - 4) == addressFor(question);
        ++(right ? m_report.received : m_report.wrong);
        m_report.up = right;
        m_host->unbindUdp(port);
    });
    m_host->sendUdp(port, {m_options.server, kDnsPort}, query);
    const auto spread = static_cast<std::uint32_t>(m_options.every / 1ms) / 2;
    m_host->after(m_options.every * 3 / 4 + m_host->random().below(spread + 1) * Duration{1ms},
                  [this, port] {
                      m_host->unbindUdp(port);
                      ask();
                  });
}

}  // namespace engine::lab
