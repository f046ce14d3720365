#pragma once

#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/net/endpoint.h"
#include "engine/wire/tcp_view.h"

#include <cstddef>
#include <cstdint>
#include <optional>

/// Answering a SYN without remembering it (RFC 4987 §3.6): what has to be known again when the
/// caller acknowledges is in the sequence number that it was answered with.
namespace engine::nat {

/// What a SYN says that an answer can keep. Sizes are rounded down to those that a cookie knows;
/// timestamps and explicit congestion notification are not offered, so neither side uses them.
struct SynOptions {
    static constexpr std::uint8_t kNoScale = 15;
    std::uint16_t maximumSegmentSize = 536;  ///< RFC 9293 §3.7.1: without the option
    std::uint8_t windowScale = kNoScale;
    bool sackPermitted = false;
    friend bool operator==(const SynOptions&, const SynOptions&) = default;
};

/// The options of a SYN, as far as an answer with so many octets of options can take them up. What
/// a SYN itself says always fits into the octets that it used to say it.
[[nodiscard]] SynOptions optionsOf(const wire::TcpView& syn, std::size_t room);

/// Who calls whom, and from which number on.
struct SynCall {
    net::Endpoint client;
    net::Endpoint server;          ///< as the client knows it
    std::uint32_t clientSequence;  ///< of its SYN
};

/// Initial sequence numbers that prove, when they are acknowledged, that whoever sent a SYN also
/// gets what is sent to its address. The upper 24 bits are a keyed hash of the call, the options
/// and the time; the lower ones hold the options and which of two periods it was, covered by some
/// of the hash, so that nothing of it can be foreseen. Holds no state but the key.
class SynCookies {
public:
    /// Ours: how long a key period lasts. A cookie is good for the period it was made in and for
    /// the next one, which is longer than a caller takes to answer and short for whoever guesses.
    static constexpr Duration kPeriod = std::chrono::seconds(32);
    static constexpr Duration kLifetime = 2 * kPeriod;

    explicit SynCookies(HashKey key) : m_key(key) {}

    [[nodiscard]] std::uint32_t make(Instant now, const SynCall& call,
                                     const SynOptions& options) const;
    /// The options of the SYN that this cookie answered; none if it never was one of this call, or
    /// is too old.
    [[nodiscard]] std::optional<SynOptions> check(Instant now, const SynCall& call,
                                                  std::uint32_t cookie) const;

private:
    [[nodiscard]] std::uint32_t hash(std::int64_t period, const SynCall& call,
                                     std::uint32_t said) const;

    HashKey m_key;
};

/// What an answer to a SYN says.
struct SynAnswer {
    std::uint32_t sequence = 0;  ///< the cookie
    std::uint16_t maximumSegmentSize = 536;
    std::uint8_t windowScale = 0;  ///< said only if the SYN had one
    SynOptions asked;
};

/// Writes the SYN-ACK over the whole packet of the SYN, which has no less room; what remains of it.
/// The window is closed: nobody is there yet to whom data could be passed on, and to keep it would
/// be the state that a flood is after.
[[nodiscard]] wire::MutableBytes answerInPlace(wire::MutableBytes syn, const SynAnswer& answer);

}  // namespace engine::nat
