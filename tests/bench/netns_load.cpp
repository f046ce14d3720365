// The two ends of netns_bench.py: small, so that the router between them is what is measured.
//   netns_load serve ADDRESS PORT              answers TCP (one octet each way) and echoes UDP
//   netns_load connect ADDRESS PORT SECONDS N  N connections in flight: prints "made failed"
//   netns_load rtt ADDRESS PORT SECONDS        UDP round trips: prints "p50 p99" in microseconds
//   netns_load send ADDRESS PORT SECONDS SIZE  UDP as fast as it goes: prints the packets sent
//   netns_load count PORT SECONDS              prints the UDP packets received
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

Clock::time_point endAfter(const char* seconds)
{
    return Clock::now() + std::chrono::milliseconds(static_cast<long>(std::atof(seconds) * 1000));
}

sockaddr_in addressOf(const char* address, const char* port)
{
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
    ::inet_pton(AF_INET, address, &in.sin_addr);
    return in;
}

const sockaddr* raw(const sockaddr_in& in)
{
    const void* pointer = &in;
    return static_cast<const sockaddr*>(pointer);
}

void add(int poll, int fd, std::uint32_t events)
{
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

int serve(const char* address, const char* port)
{
    const auto at = addressOf(address, port);
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int udp = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const int one = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (::bind(listener, raw(at), sizeof at) != 0 || ::listen(listener, 4096) != 0 ||
        ::bind(udp, raw(at), sizeof at) != 0) {
        return 1;
    }
    const int poll = ::epoll_create1(0);
    add(poll, listener, EPOLLIN);
    add(poll, udp, EPOLLIN);
    std::puts("ready");
    std::fflush(stdout);
    std::array<epoll_event, 256> events{};
    std::array<char, 2048> buffer{};
    for (;;) {
        const int count = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd == listener) {
                for (int c; (c = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
                    add(poll, c, EPOLLIN);
                }
            } else if (fd == udp) {
                sockaddr_in from{};
                void* pointer = &from;
                socklen_t length = sizeof from;
                for (;;) {
                    const auto got = ::recvfrom(udp, buffer.data(), buffer.size(), 0,
                                                static_cast<sockaddr*>(pointer), &length);
                    if (got < 0) break;
                    ::sendto(udp, buffer.data(), static_cast<std::size_t>(got), 0, raw(from),
                             length);
                }
            } else {
                const auto got = ::read(fd, buffer.data(), buffer.size());
                if (got <= 0) {
                    ::close(fd);
                } else if (::write(fd, buffer.data(), 1) < 0) {
                    ::close(fd);
                }
            }
        }
    }
}

int connectMany(const char* address, const char* port, const char* seconds, const char* width)
{
    const auto at = addressOf(address, port);
    const int poll = ::epoll_create1(0);
    const auto begin = [&] {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        // Ends by reset, so that ports are free again at once.
        const linger hard{1, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        (void)::connect(fd, raw(at), sizeof at);
        add(poll, fd, EPOLLOUT);
    };
    for (int i = 0; i < std::atoi(width); ++i)
        begin();
    std::uint64_t made = 0;
    std::uint64_t failed = 0;
    std::array<epoll_event, 256> events{};
    const auto end = endAfter(seconds);
    while (Clock::now() < end) {
        const int count = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), 100);
        for (int i = 0; i < count; ++i) {
            auto& event = events[static_cast<std::size_t>(i)];
            const int fd = event.data.fd;
            if ((event.events & (EPOLLERR | EPOLLHUP)) == 0 && (event.events & EPOLLOUT) != 0 &&
                ::write(fd, "x", 1) == 1) {
                event.events = EPOLLIN;
                ::epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event);
                continue;
            }
            char octet = 0;
            (::read(fd, &octet, 1) == 1 ? made : failed) += 1;
            ::close(fd);
            begin();
        }
    }
    std::printf("%llu %llu\n", static_cast<unsigned long long>(made),
                static_cast<unsigned long long>(failed));
    return 0;
}

int roundTrips(const char* address, const char* port, const char* seconds)
{
    const auto at = addressOf(address, port);
    const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
    const timeval wait{0, 200000};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)::connect(fd, raw(at), sizeof at);
    std::vector<double> micros;
    std::array<char, 64> buffer{};
    const auto end = endAfter(seconds);
    for (auto now = Clock::now(); now < end;) {
        if (::send(fd, buffer.data(), 18, 0) < 0) return 1;
        const bool answered = ::recv(fd, buffer.data(), buffer.size(), 0) > 0;
        const auto then = Clock::now();
        if (answered)
            micros.push_back(std::chrono::duration<double, std::micro>(then - now).count());
        now = then;
    }
    if (micros.empty()) return 1;
    std::sort(micros.begin(), micros.end());
    std::printf("%.1f %.1f\n", micros[micros.size() / 2], micros[micros.size() * 99 / 100]);
    return 0;
}

int sendMany(const char* address, const char* port, const char* seconds, const char* size)
{
    const auto at = addressOf(address, port);
    const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
    (void)::connect(fd, raw(at), sizeof at);
    std::vector<char> data(static_cast<std::size_t>(std::atoi(size)));
    std::array<iovec, 64> parts{};
    std::array<mmsghdr, 64> messages{};
    for (std::size_t i = 0; i < messages.size(); ++i) {
        parts[i] = {data.data(), data.size()};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::uint64_t sent = 0;
    const auto end = endAfter(seconds);
    while (Clock::now() < end) {
        const int now = ::sendmmsg(fd, messages.data(), messages.size(), 0);
        if (now > 0) sent += static_cast<std::uint64_t>(now);
    }
    std::printf("%llu\n", static_cast<unsigned long long>(sent));
    return 0;
}

int countMany(const char* port, const char* seconds)
{
    const auto at = addressOf("0.0.0.0", port);
    const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
    const int buffer = 8 << 20;
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    const timeval wait{0, 100000};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (::bind(fd, raw(at), sizeof at) != 0) return 1;
    std::puts("ready");
    std::fflush(stdout);
    std::array<std::array<char, 64>, 64> data{};
    std::array<iovec, 64> parts{};
    std::array<mmsghdr, 64> messages{};
    for (std::size_t i = 0; i < messages.size(); ++i) {
        parts[i] = {data[i].data(), data[i].size()};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::uint64_t got = 0;
    const auto end = endAfter(seconds);
    while (Clock::now() < end) {
        const int now = ::recvmmsg(fd, messages.data(), messages.size(), MSG_WAITFORONE, nullptr);
        if (now > 0) got += static_cast<std::uint64_t>(now);
    }
    std::printf("%llu\n", static_cast<unsigned long long>(got));
    return 0;
}

}  // namespace

int main(int count, char** words)
{
    const std::string mode = count > 1 ? words[1] : "";
    if (mode == "serve" && count == 4) return serve(words[2], words[3]);
    if (mode == "connect" && count == 6) return connectMany(words[2], words[3], words[4], words[5]);
    if (mode == "rtt" && count == 5) return roundTrips(words[2], words[3], words[4]);
    if (mode == "send" && count == 6) return sendMany(words[2], words[3], words[4], words[5]);
    if (mode == "count" && count == 4) return countMany(words[2], words[3]);
    std::fputs("netns_load serve|connect|rtt|send|count ...\n", stderr);
    return 2;
}
