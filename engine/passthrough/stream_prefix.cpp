#include "engine/passthrough/stream_prefix.h"

#include <algorithm>

namespace engine::passthrough {
namespace {

constexpr std::uint8_t kSyn = 0x02;

}  // namespace

void StreamPrefix::add(const Segment& segment)
{
    const bool isSyn = (segment.tcpFlags & kSyn) != 0;
    std::uint32_t start = segment.sequence + (isSyn ? 1U : 0U);
    if (!m_begun) {
        if (!isSyn && segment.payload.empty()) return;
        m_begun = true;
        m_first = start;
    }
    if (segment.payload.empty()) return;
    // Before the beginning only a repeated SYN or keepalive can be; half the number space is
    // before.
    const std::uint32_t offset = start - m_first;
    if (offset >= 0x80000000U) return;
    m_furthest = std::max(m_furthest, offset + static_cast<std::uint32_t>(segment.payload.size()));
    if (offset >= m_limit) return;
    const std::size_t last =
        std::min<std::size_t>(m_limit, std::size_t{offset} + segment.payload.size());
    if (last <= m_whole) return;
    if (m_bytes.size() < last) m_bytes.resize(last);

    // Octets that are there already stay: a repetition cannot change what was read.
    std::size_t at = std::max<std::size_t>(offset, m_whole);
    while (at < last) {
        const Piece* covering = nullptr;
        std::size_t until = last;
        for (std::size_t i = 0; i < m_pieceCount; ++i) {
            const Piece& piece = m_pieces[i];
            if (piece.first <= at && at < piece.last) covering = &piece;
            if (piece.first > at) until = std::min(until, piece.first);
        }
        if (covering != nullptr) {
            at = covering->last;
            continue;
        }
        std::copy(segment.payload.begin() + static_cast<std::ptrdiff_t>(at - offset),
                  segment.payload.begin() + static_cast<std::ptrdiff_t>(until - offset),
                  m_bytes.begin() + static_cast<std::ptrdiff_t>(at));
        at = until;
    }
    if (offset <= m_whole) {
        m_whole = last;
    } else if (m_pieceCount < kMostPieces) {
        m_pieces[m_pieceCount++] = {offset, last};
    }
    // Pieces that the whole part has reached belong to it.
    for (bool grown = true; grown;) {
        grown = false;
        for (std::size_t i = 0; i < m_pieceCount; ++i) {
            if (m_pieces[i].first > m_whole) continue;
            m_whole = std::max(m_whole, m_pieces[i].last);
            m_pieces[i] = m_pieces[--m_pieceCount];
            grown = true;
            break;
        }
    }
}

}  // namespace engine::passthrough
