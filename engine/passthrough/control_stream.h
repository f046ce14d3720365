#pragma once

#include "engine/passthrough/flow.h"
#include "engine/passthrough/pptp_message.h"

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <vector>

namespace engine::passthrough::pptp {

/// Who understands what a ControlStream has put together.
class ControlReader {
public:
    ControlReader() = default;
    ControlReader(const ControlReader&) = delete;
    ControlReader& operator=(const ControlReader&) = delete;
    ControlReader(ControlReader&&) = delete;
    ControlReader& operator=(ControlReader&&) = delete;
    virtual ~ControlReader() = default;

    /// The Call ID that takes the place of `id` in a message of this type. If `highSent` is given
    /// the first octet has left already, in the segment before, and has to stay that. Nothing: the
    /// segment must not travel now.
    virtual std::optional<std::uint16_t> translate(net::Direction direction, MessageType type,
                                                   std::uint16_t id,
                                                   std::optional<std::uint8_t> highSent) = 0;
    /// The first octet alone, when a segment ends between the two.
    virtual std::optional<std::uint8_t> translateHigh(net::Direction direction, MessageType type,
                                                      std::uint8_t high) = 0;
    /// A whole message, as the sender wrote it.
    virtual void complete(net::Direction direction, MessageType type, wire::ConstBytes message) = 0;
};

/// One direction of a control connection, read by position in the stream. Segments may split a
/// message anywhere, carry several, come again or overlap; the first copy of an octet counts. What
/// was replaced once is replaced again, in the same way, in every segment that carries the same
/// position.
///
/// Octets are read in order. Those that come early may travel if they belong to the message that is
/// being read and nothing in them can need replacing; else they are a Gap and have to come again.
///
/// Holds at most 2 KiB.
class ControlStream {
public:
    explicit ControlStream(net::Direction direction) : m_direction(direction) {}

    enum class Outcome : std::uint8_t {
        Taken,
        Gap,        ///< octets before these have not been seen, and these cannot wait
        Stale,      ///< so old that it is not known any more what was replaced in it
        Conflict,   ///< an octet differs from its first copy
        Malformed,  ///< no control message can look like that
        Refused,    ///< the reader had nothing to put in
    };
    /// Reads what is new in a segment. After Malformed or Refused the octets from the one that did
    /// not please on count as not seen.
    Outcome take(std::uint32_t sequence, wire::ConstBytes bytes, ControlReader& reader);

    /// The edits that this segment needs; also for one that take() has been shown before.
    void appendEdits(std::uint32_t sequence, wire::ConstBytes bytes,
                     std::vector<Edit>& edits) const;

    [[nodiscard]] bool started() const { return m_started; }
    /// The position the next new octet has.
    [[nodiscard]] std::uint32_t next() const { return m_next; }
    /// Begins to read here, in the middle of nothing.
    void startAt(std::uint32_t sequence);
    /// Goes on where another instance has stopped: what came before is too old to be shown again.
    void resumeAt(std::uint32_t sequence)
    {
        startAt(sequence);
        m_forgotten = sequence;
    }
    /// The position of the next message, if no part of it has come.
    [[nodiscard]] std::optional<std::uint32_t> betweenMessages() const
    {
        if (!m_started || m_have > 0 || m_skip > 0) return std::nullopt;
        return m_next;
    }

private:
    /// Ours: a peer has at most this many replaced octets on the way.
    static constexpr std::size_t kPatches = 96;
    /// Ours: how much is kept to compare overlapping segments with.
    static constexpr std::size_t kHistory = 768;

    struct Patch {
        std::uint32_t sequence = 0;
        std::uint8_t octet = 0;
    };

    [[nodiscard]] bool agreesWithHistory(std::uint32_t sequence, wire::ConstBytes bytes) const;
    void remember(wire::ConstBytes bytes);
    void patch(std::uint32_t sequence, std::uint8_t before, std::uint8_t after);
    bool resolveCallId(std::uint32_t messageStart, ControlReader& reader);
    Outcome takeEarly(std::size_t ahead, wire::ConstBytes bytes);
    [[nodiscard]] bool agreesWithEarly(std::size_t at, wire::ConstBytes bytes) const;

    net::Direction m_direction;
    bool m_started = false;
    bool m_callIdDone = false;
    std::optional<std::uint8_t> m_highSent;
    std::uint32_t m_next = 0;
    std::uint16_t m_have = 0;    ///< octets of the current message
    std::uint16_t m_length = 0;  ///< its length, once the header is there
    std::uint16_t m_skip = 0;    ///< octets of an unknown message still to come
    std::uint16_t m_type = 0;
    std::array<std::uint8_t, kLongestMessage> m_message{};
    std::bitset<kLongestMessage> m_early;  ///< octets of m_message beyond m_have

    std::array<Patch, kPatches> m_patches{};
    std::size_t m_patchCount = 0;              ///< ever made
    std::optional<std::uint32_t> m_forgotten;  ///< replaced octets before this are not known

    std::array<std::uint8_t, kHistory> m_history{};
    std::size_t m_historySize = 0;
    std::size_t m_historyEnd = 0;
};

static_assert(sizeof(ControlStream) <= 2048);

}  // namespace engine::passthrough::pptp
