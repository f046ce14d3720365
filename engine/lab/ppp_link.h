#pragma once

#include "engine/lab/host.h"
#include "engine/lab/octets.h"

#include <functional>
#include <optional>

namespace engine::lab {

enum class PppRole : std::uint8_t { Client, Server };
enum class PppSecret : std::uint8_t { Right, Wrong };

/// One end of a PPP link (RFC 1661) as far as a router between the two can see it: LCP, CHAP, IPCP
/// in the shapes of real clients, then user data under MPPE's protocol number. The client drives
/// and repeats; the server answers, and names the address that the client has to ask for. Frames
/// begin with FF 03.
class PppLink {
public:
    struct Callbacks {
        std::function<void(Octets frame)> send;
        std::function<void()> up;
        std::function<void()> refused;
        std::function<void(wire::ConstBytes data)> data;
    };
    struct Options {
        PppSecret secret = PppSecret::Right;
        net::Ipv4Address server{10, 0, 0, 1};  ///< inside the tunnel
        net::Ipv4Address client{10, 0, 0, 2};  ///< what the server gives every client
    };
    PppLink(Host& host, PppRole role, Callbacks callbacks, const Options& options);
    ~PppLink();
    PppLink(const PppLink&) = delete;
    PppLink& operator=(const PppLink&) = delete;
    PppLink(PppLink&&) = delete;
    PppLink& operator=(PppLink&&) = delete;

    void start();
    void receive(wire::ConstBytes frame);
    void sendData(wire::ConstBytes data);
    [[nodiscard]] bool isUp() const { return m_step == Step::Up; }

private:
    enum class Step : std::uint8_t { Lcp, Chap, Ipcp, Up, Refused };
    void sendFrame(std::uint16_t protocol, wire::ConstBytes body);
    void sendControl(std::uint16_t protocol, std::uint8_t code, std::uint8_t id,
                     wire::ConstBytes options);
    void request();
    void takeLcp(std::uint8_t code, std::uint8_t id, wire::ConstBytes options);
    void takeChap(std::uint8_t code, std::uint8_t id);
    void takeIpcp(std::uint8_t code, std::uint8_t id, wire::ConstBytes options);
    void becomeUp();

    Host* m_host;
    PppRole m_role;
    Callbacks m_callbacks;
    Options m_options;
    net::Ipv4Address m_inner;  ///< the client's, as far as it has been told
    Step m_step = Step::Lcp;
    std::uint8_t m_id = 0;
    std::uint16_t m_coherency = 0;
    std::optional<Host::TimerId> m_timer;
};

}  // namespace engine::lab
