#pragma once

#include "engine/passthrough/flow.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace engine::passthrough {

/// The first octets of one direction of a TCP stream, put together from segments that may be split
/// anywhere, come twice, overlap or come out of order. Keeps at most `limit` octets; what is behind
/// is not looked at. The first content for an octet stays.
class StreamPrefix {
public:
    explicit StreamPrefix(std::size_t limit = 1024) : m_limit(limit) {}

    /// Takes a segment of this direction. The stream begins at the SYN's number plus one or, if no
    /// SYN was seen, at the first segment with payload.
    void add(const Segment& segment);

    /// What is there without a hole, from the stream's first octet on.
    [[nodiscard]] wire::ConstBytes bytes() const
    {
        return wire::ConstBytes(m_bytes).first(m_whole);
    }
    [[nodiscard]] bool isFull() const { return m_whole >= m_limit; }
    /// Octets of the stream up to the end of the furthest segment seen, also beyond the limit.
    [[nodiscard]] std::uint32_t furthest() const { return m_furthest; }

private:
    /// Octets that are there behind a hole.
    struct Piece {
        std::size_t first = 0;
        std::size_t last = 0;  ///< one beyond
    };
    /// Ours: more holes than this within the first octets are no reordering but an attempt.
    static constexpr std::size_t kMostPieces = 8;

    std::size_t m_limit;
    bool m_begun = false;
    std::uint32_t m_first = 0;  ///< sequence number of the first octet
    std::size_t m_whole = 0;
    std::uint32_t m_furthest = 0;
    std::vector<std::uint8_t> m_bytes;
    std::array<Piece, kMostPieces> m_pieces{};
    std::size_t m_pieceCount = 0;
};

}  // namespace engine::passthrough
