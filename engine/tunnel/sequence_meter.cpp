#include "engine/tunnel/sequence_meter.h"

#include <algorithm>

namespace engine::tunnel {
namespace {

using Bytes = std::span<const std::uint8_t>;

// Numbers start here inside, so that a window before the first number needs no special case.
constexpr std::uint64_t kBase = std::uint64_t{1} << 20;

std::uint16_t big16(Bytes bytes, std::size_t at)
{
    return static_cast<std::uint16_t>((bytes[at] << 8) | bytes[at + 1]);
}
std::uint32_t big32(Bytes bytes, std::size_t at)
{
    return (std::uint32_t{big16(bytes, at)} << 16) | big16(bytes, at + 2);
}
std::uint64_t little64(Bytes bytes, std::size_t at)
{
    std::uint64_t value = 0;
    for (std::size_t i = 8; i-- > 0;)
        value = (value << 8) | bytes[at + i];
    return value;
}

std::optional<SequenceReading> readGreV1(Bytes payload)
{
    // RFC 2637 §4.1: version 1 with a key; the sequence number is there if S is set.
    if (payload.size() < 12 || (payload[1] & 0x07) != 1 || (payload[0] & 0x10) == 0) {
        return std::nullopt;
    }
    return SequenceReading{.number = big32(payload, 8), .keepalive = big16(payload, 4) == 0};
}

std::optional<SequenceReading> readGreV0(Bytes payload)
{
    if (payload.size() < 4 || (payload[1] & 0x07) != 0 || (payload[0] & 0x10) == 0) {
        return std::nullopt;
    }
    std::size_t at = 4;
    if ((payload[0] & 0xc0) != 0) at += 4;  // checksum and offset, RFC 1701
    if ((payload[0] & 0x20) != 0) at += 4;  // key, RFC 2890 §2.1
    if (payload.size() < at + 4) return std::nullopt;
    return SequenceReading{.number = big32(payload, at)};
}

std::optional<SequenceReading> readEsp(Bytes payload)
{
    if (payload.size() < 8 || big32(payload, 0) == 0) return std::nullopt;
    return SequenceReading{.stream = big32(payload, 0), .number = big32(payload, 4)};
}

std::optional<SequenceReading> readWireGuard(Bytes payload)
{
    constexpr std::size_t kKeepaliveSize = 32;
    // Cloudflare's dialect sets the two top bits of the type.
    if (payload.size() < kKeepaliveSize || (payload[0] != 4 && payload[0] != 0xc4)) {
        return std::nullopt;
    }
    return SequenceReading{.stream = big32(payload, 4),
                           .number = little64(payload, 8),
                           .bits = 64,
                           .keepalive = payload.size() == kKeepaliveSize};
}

std::optional<SequenceReading> readOpenVpn(Bytes payload)
{
    constexpr std::uint8_t kDataV2 = 9;
    if (payload.size() < 8 || (payload[0] >> 3) != kDataV2) return std::nullopt;
    return SequenceReading{.stream = static_cast<std::uint32_t>(payload[0] & 0x07),
                           .number = big32(payload, 4)};
}

std::optional<SequenceReading> readDtls(Bytes payload)
{
    constexpr std::uint8_t kApplicationData = 23;
    if (payload.size() < 13 || payload[0] != kApplicationData) return std::nullopt;
    const std::uint64_t number = (std::uint64_t{big16(payload, 5)} << 32) | big32(payload, 7);
    return SequenceReading{.stream = big16(payload, 3), .number = number, .bits = 48};
}

std::optional<SequenceReading> readL2tp(Bytes payload)
{
    // RFC 2661 §3.1: T clear for data, S for sequence numbers, L puts a length before the IDs.
    if (payload.size() < 8) return std::nullopt;
    const std::uint16_t flags = big16(payload, 0);
    if ((flags & 0x8000) != 0 || (flags & 0x000f) != 2 || (flags & 0x0800) == 0) {
        return std::nullopt;
    }
    const std::size_t ids = (flags & 0x4000) != 0 ? 4 : 2;
    if (payload.size() < ids + 6) return std::nullopt;
    return SequenceReading{
        .stream = big32(payload, ids), .number = big16(payload, ids + 4), .bits = 16};
}

}  // namespace

std::optional<SequenceReading> readSequence(SequenceKind kind, Bytes payload)
{
    switch (kind) {
    case SequenceKind::None: return std::nullopt;
    case SequenceKind::GreV1: return readGreV1(payload);
    case SequenceKind::GreV0: return readGreV0(payload);
    case SequenceKind::Esp:
    case SequenceKind::EspInUdp: return readEsp(payload);
    case SequenceKind::WireGuard: return readWireGuard(payload);
    case SequenceKind::OpenVpnUdp: return readOpenVpn(payload);
    case SequenceKind::Dtls: return readDtls(payload);
    case SequenceKind::L2tp: return readL2tp(payload);
    }
    return std::nullopt;
}

std::int64_t SequenceMeter::distance(const SequenceReading& reading, std::uint64_t base)
{
    const unsigned unused = 64U - reading.bits;
    // Shifted to the top, the difference's sign bit is where a signed number has it.
    const std::uint64_t difference = (reading.number + kBase - base) << unused;
    return static_cast<std::int64_t>(difference) >> unused;
}

bool SequenceMeter::count(Instant now, const SequenceReading& reading)
{
    if (!m_running || reading.stream != m_stream) return follow(now, reading);
    const std::int64_t step = distance(reading, m_highest);
    if (step > kFarJump || step <= -static_cast<std::int64_t>(kWindow)) return follow(now, reading);
    m_following = 0;
    const std::uint64_t number = m_highest + static_cast<std::uint64_t>(step);
    if (step > 0) {
        advanceTo(number);
        mark(number);
    } else if (isMarked(number)) {
        ++m_duplicated;
    } else {
        mark(number);
        ++m_reordered;
    }
    if (now - m_markTime >= kSettleTime) settle(now);
    return false;
}

bool SequenceMeter::follow(Instant now, const SequenceReading& reading)
{
    const std::int64_t step = distance(reading, m_candidateNumber);
    const bool goesOn =
        m_following > 0 && reading.stream == m_candidate && step > 0 && step <= kNearJump;
    m_following = goesOn ? static_cast<std::uint8_t>(m_following + 1) : std::uint8_t{1};
    m_candidate = reading.stream;
    m_candidateNumber = reading.number + kBase;
    if (m_following < kPacketsToFollow) return false;

    const bool isRekey =
        m_running && m_stream != reading.stream && !(m_hasPrevious && m_previous == reading.stream);
    if (m_running) {
        settleUpTo(m_highest);
        if (m_stream != reading.stream) {
            m_previous = m_stream;
            m_hasPrevious = true;
        }
    }
    m_running = true;
    m_following = 0;
    m_stream = reading.stream;
    m_highest = m_candidateNumber;
    m_settled = m_highest;
    m_markNumber = m_highest;
    m_markTime = now;
    m_window.fill(0);
    mark(m_highest);
    return isRekey;
}

void SequenceMeter::advanceTo(std::uint64_t number)
{
    if (number - m_highest >= kWindow) {
        settleUpTo(m_highest);
        m_lost += number - kWindow - m_highest;
        m_settled = number - kWindow;
        m_window.fill(0);
    } else {
        for (std::uint64_t n = m_highest + 1; n <= number; ++n) {
            // The bit of n still stands for the number a whole window before it.
            const std::uint64_t leaving = n - kWindow;
            if (leaving > m_settled) {
                if (!isMarked(leaving)) ++m_lost;
                m_settled = leaving;
            }
            unmark(n);
        }
    }
    m_highest = number;
}

void SequenceMeter::settleUpTo(std::uint64_t number)
{
    const std::uint64_t last = std::min(number, m_highest);
    while (m_settled < last) {
        ++m_settled;
        if (!isMarked(m_settled)) ++m_lost;
    }
}

void SequenceMeter::settle(Instant now)
{
    if (!m_running || now - m_markTime < kSettleTime) return;
    settleUpTo(m_markNumber);
    m_markNumber = m_highest;
    m_markTime = now;
}

}  // namespace engine::tunnel
