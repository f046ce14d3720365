#include "engine/lab/web.h"

#include <charconv>

namespace engine::lab {

namespace {

/// What the download of so many octets under that tag must hold.
Octets contentOf(std::uint64_t tag, std::uint32_t size)
{
    Writer writer;
    for (std::uint64_t block = 0; writer.size() < size; ++block) {
        writer.put64(sipHash(HashKey{tag, 0x776562}, block, size));
    }
    Octets content = writer.take();
    content.resize(size);
    return content;
}

template <typename Number>
Number numberAfter(const std::string& text, std::string_view mark)
{
    Number number = 0;
    const auto at = text.find(mark);
    if (at == std::string::npos) return number;
    const char* begin = text.data() + at + mark.size();
    std::from_chars(begin, text.data() + text.size(), number);
    return number;
}

}  // namespace

WebServer::WebServer(Host& host, net::Port port) : m_host(&host)
{
    m_report.up = true;
    host.tcp().listen(port, {.data = [this](TcpId id, wire::ConstBytes bytes) { take(id, bytes); },
                             .ended =
                                 [this](TcpId id, TcpEnd) {
                                     m_requests.erase(id);
                                 }});
}

void WebServer::take(TcpId id, wire::ConstBytes bytes)
{
    std::string& request = m_requests[id];
    for (const std::uint8_t octet : bytes)
        request += static_cast<char>(octet);
    if (request.size() > 4096) {
        m_host->tcp().abort(id);
        return;
    }
    if (request.find("\r\n\r\n") == std::string::npos) return;
    ++m_report.received;
    const auto size = numberAfter<std::uint32_t>(request, "GET /");
    const auto tag = numberAfter<std::uint64_t>(request, "?");
    m_host->tcp().send(id, octetsOf("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) +
                                    "\r\nConnection: close\r\n\r\n"));
    m_host->tcp().send(id, contentOf(tag, size));
    m_host->tcp().close(id);
    m_requests.erase(id);
    ++m_report.sent;
}

WebClient::WebClient(Host& host, const Options& options) : m_host(&host), m_options(options)
{
    const auto first = static_cast<std::uint32_t>(options.every / 1ms);
    m_host->after(m_host->random().below(first + 1) * Duration{1ms}, [this] { fetch(); });
}

void WebClient::fetch()
{
    Download download;
    download.tag = m_host->random().next();
    download.size = m_options.size / 2 + m_host->random().below(m_options.size + 1);
    ++m_report.attempts;
    const std::string request =
        "GET /" + std::to_string(download.size) + "?" + std::to_string(download.tag) +
        " HTTP/1.1\r\nHost: " + m_options.server.address.toString() + "\r\nUser-Agent: lab\r\n\r\n";
    const TcpId id = m_host->tcp().connect(
        m_options.server,
        {.connected =
             [this, request](TcpId connection) {
                 ++m_report.sent;
                 m_host->tcp().send(connection, octetsOf(request));
             },
         .data = [this](TcpId connection, wire::ConstBytes bytes) { take(connection, bytes); },
         .ended =
             [this](TcpId connection, TcpEnd why) {
                 judge(connection, why);
             }});
    m_downloads.emplace(id, std::move(download));
    const auto spread = static_cast<std::uint32_t>(m_options.every / 1ms) / 2;
    m_host->after(m_options.every * 3 / 4 + m_host->random().below(spread + 1) * Duration{1ms},
                  [this] { fetch(); });
}

void WebClient::take(TcpId id, wire::ConstBytes bytes)
{
    Octets& received = m_downloads[id].received;
    received.insert(received.end(), bytes.begin(), bytes.end());
    m_octets += bytes.size();
}

void WebClient::judge(TcpId id, TcpEnd why)
{
    const auto found = m_downloads.find(id);
    if (found == m_downloads.end()) return;
    const Download download = std::move(found->second);
    m_downloads.erase(found);
    if (why != TcpEnd::Closed) {
        ++m_report.failures;
        m_report.up = false;
        return;
    }
    const Octets content = contentOf(download.tag, download.size);
    const bool right = download.received.size() > content.size() &&
                       std::equal(content.rbegin(), content.rend(), download.received.rbegin());
    ++(right ? m_report.received : m_report.wrong);
    if (right) ++m_report.established;
    m_report.up = right;
}

}  // namespace engine::lab
