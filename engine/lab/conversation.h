#pragma once

#include "engine/base/random.h"
#include "engine/base/time.h"
#include "engine/lab/octets.h"
#include "engine/lab/peer.h"

#include <cstdint>
#include <vector>

namespace engine::lab {

using namespace std::chrono_literals;

/// How a client and its server talk once their tunnel is up: every `every` (plus up to `jitter`)
/// the client sends `size` octets and the server answers with `replies` messages of `replySize`.
struct Talk {
    Duration every = 1s;
    Duration jitter{0};
    std::uint16_t size = 120;
    std::uint16_t replySize = 240;
    std::uint8_t replies = 1;
};

/// User messages that know whom they are from and for, so that whoever gets one can tell whether it
/// was meant for him: identities, a serial number, how many replies are wanted, padding made from
/// both identities, and a check word over everything.
struct Message {
    static constexpr std::size_t kHeader = 32;
    Identity from = 0;
    Identity to = 0;  ///< zero: whoever the server is
    std::uint32_t serial = 0;
    std::uint16_t replySize = 0;
    std::uint8_t replies = 0;
};

[[nodiscard]] Octets encode(const Message& message, std::size_t size);

enum class Heard : std::uint8_t { Fine, Garbled };
/// Reads a message and checks every octet of it. Octets behind it are ignored.
[[nodiscard]] Heard decode(wire::ConstBytes bytes, Message& message);

/// The client's half of a conversation. Counts into a report it is given.
class Speaker {
public:
    Speaker(Identity self, const Talk& talk) : m_self(self), m_talk(talk) {}
    [[nodiscard]] Identity self() const { return m_self; }
    [[nodiscard]] const Talk& talk() const { return m_talk; }
    [[nodiscard]] Duration pause(Random& random) const;
    [[nodiscard]] Octets next(PeerReport& report);
    void hear(wire::ConstBytes bytes, PeerReport& report) const;

private:
    Identity m_self;
    Talk m_talk;
    std::uint32_t m_serial = 0;
};

/// The server's half: checks that the message comes from the client that this session belongs to
/// and gives the replies to send back the same way.
[[nodiscard]] std::vector<Octets> answer(wire::ConstBytes bytes, Identity server,
                                         Identity expectedClient, PeerReport& report);

/// Makes octets unreadable without `key`, and readable again: a stand-in for encryption that, like
/// it, tells whether the key was right. Adds kSealOverhead octets.
inline constexpr std::size_t kSealOverhead = 8;
[[nodiscard]] Octets seal(std::uint64_t key, wire::ConstBytes clear);
[[nodiscard]] bool unseal(std::uint64_t key, wire::ConstBytes sealed, Octets& clear);

}  // namespace engine::lab
