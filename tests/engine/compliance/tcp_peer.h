#pragma once

#include "engine/wire/checksum.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/engine/compliance/bed.h"

namespace bed {

/// One end of a TCP connection that sends data, acknowledges selectively, repeats what was lost,
/// scales windows and closes: enough of RFC 9293, 2018 and 7323 to notice when somebody in between
/// has confused the numbers. `complaint` says so.
class TcpPeer {
public:
    struct Habits {
        std::optional<std::uint8_t> scale;  ///< offered, or used when offered
        bool sack = true;
        std::uint16_t segment = 1440;   ///< leaves room for a selective acknowledgement
        std::uint32_t buffer = 40'000;  ///< the window in octets, as far as it can be said
    };

    TcpPeer(Endpoint self, Endpoint far, std::uint32_t first, Habits habits, Bytes data)
        : own(self), other(far), m_first(first), m_habits(habits), m_data(std::move(data))
    {
        m_una = m_next = m_first;
    }

    Endpoint own;
    Endpoint other;
    Bytes got;
    std::string complaint;
    bool isOpen = false;
    bool wasReset = false;
    bool gotFin = false;
    unsigned sacksSeen = 0;

    [[nodiscard]] bool allAcknowledged() const { return isOpen && m_una == endOfData(); }
    [[nodiscard]] bool isClosed() const
    {
        return gotFin && m_finWanted && m_una == endOfData() + 1;
    }
    [[nodiscard]] std::uint32_t sendNext() const { return m_next; }
    [[nodiscard]] std::uint32_t receiveNext() const { return m_expected; }
    void wantFin() { m_finWanted = true; }

    Bytes syn()
    {
        m_next = m_first + 1;
        return segment(flag::kSyn, m_first, {}, synOptions(m_habits.scale, m_habits.sack));
    }
    Bytes reset() { return segment(flag::kRst | flag::kAck, m_next, {}, {}); }

    /// What it answers to a packet.
    std::vector<Bytes> receive(Bytes packet)
    {
        std::vector<Bytes> out;
        if (!isSound(packet)) return complain("a wrong checksum");
        const auto ip = view(packet);
        const auto tcp = *wire::TcpView::parse(ip.payload());
        if (tcp.has(flag::kRst)) {
            if (tcp.sequence() != m_expected && isOpen) return complain("a reset out of line");
            wasReset = true;
            return out;
        }
        if (tcp.has(flag::kSyn)) return meet(packet);
        if (!isOpen && !m_answered) return complain("a segment before any SYN");
        const std::uint32_t acknowledged = tcp.acknowledgement();
        if (before(m_next, acknowledged))
            return complain("an acknowledgement of what was not sent");
        if (before(m_una, acknowledged)) {
            m_una = acknowledged;
            isOpen = true;
        } else if (m_answered) {
            isOpen = isOpen || acknowledged == m_una;
        }
        readSacks(tcp);
        const std::uint32_t window = std::uint32_t{tcp.window()} << (m_scaling ? m_otherScale : 0);
        m_window = window;
        const auto payload = tcp.payload();
        const bool fin = tcp.has(flag::kFin);
        if (!payload.empty() || fin) {
            const std::uint32_t last =
                tcp.sequence() + static_cast<std::uint32_t>(payload.size()) + (fin ? 1U : 0U);
            if (before(m_expected + room() + 1, last)) return complain("beyond the window");
            take(tcp.sequence(), {payload.begin(), payload.end()}, fin);
            out.push_back(acknowledge());
        } else if (tcp.sequence() + 1 == m_expected) {
            out.push_back(acknowledge());  // somebody asks whether we are there
        }
        for (Bytes& more : send())
            out.push_back(std::move(more));
        return out;
    }

    /// A timer has run out: everything that is not acknowledged again, but for what the other side
    /// says it has; a question if its window is closed.
    std::vector<Bytes> again()
    {
        std::vector<Bytes> out;
        if (!isOpen) {
            if (m_next != m_first && !m_answered) out.push_back(syn());
            return out;
        }
        if (m_una == m_next && m_window == 0 && m_una != endOfData()) {
            out.push_back(segment(flag::kAck, m_una - 1, {}, {}));
            return out;
        }
        for (std::uint32_t at = m_una; before(at, m_next);) {
            if (at == endOfData()) {
                out.push_back(segment(flag::kFin | flag::kAck, at, {}, sackOption()));
                break;
            }
            if (m_sacked && !before(at, m_sacked->first) && before(at, m_sacked->second)) {
                at = m_sacked->second;
                continue;
            }
            auto length =
                std::min<std::uint32_t>(m_habits.segment, std::min(endOfData(), m_next) - at);
            if (m_sacked && before(at, m_sacked->first)) {
                length = std::min(length, m_sacked->first - at);
            }
            out.push_back(segment(flag::kAck, at, dataAt(at, length), sackOption()));
            at += length;
        }
        return out;
    }

    /// Whatever the window allows.
    std::vector<Bytes> send()
    {
        std::vector<Bytes> out;
        if (!isOpen) return out;
        while (before(m_next, endOfData())) {
            const std::uint32_t underWay = m_next - m_una;
            if (underWay >= m_window) break;
            const auto length = std::min(
                {std::uint32_t{m_habits.segment}, endOfData() - m_next, m_window - underWay});
            out.push_back(segment(flag::kAck | flag::kPsh, m_next, dataAt(m_next, length), {}));
            m_next += length;
        }
        if (m_finWanted && m_next == endOfData()) {
            out.push_back(segment(flag::kFin | flag::kAck, m_next, {}, {}));
            ++m_next;
        }
        return out;
    }

private:
    static bool before(std::uint32_t a, std::uint32_t b)
    {
        return static_cast<std::int32_t>(a - b) < 0;
    }
    std::vector<Bytes> complain(const char* what)
    {
        if (complaint.empty()) complaint = what;
        return {};
    }
    [[nodiscard]] std::uint32_t endOfData() const
    {
        return m_first + 1 + static_cast<std::uint32_t>(m_data.size());
    }
    [[nodiscard]] Bytes dataAt(std::uint32_t at, std::uint32_t length) const
    {
        const auto from = m_data.begin() + static_cast<std::ptrdiff_t>(at - m_first - 1);
        return {from, from + static_cast<std::ptrdiff_t>(length)};
    }
    /// The window as it can be said in sixteen bits.
    [[nodiscard]] std::uint32_t room() const
    {
        const unsigned shift = m_scaling ? m_habits.scale.value_or(0) : 0;
        return std::min<std::uint32_t>(m_habits.buffer >> shift, 0xffff) << shift;
    }

    std::vector<Bytes> meet(Bytes packet)
    {
        const auto ip = view(packet);
        const auto tcp = *wire::TcpView::parse(ip.payload());
        const bool answers = tcp.has(flag::kAck);
        if (answers && tcp.acknowledgement() != m_first + 1) return complain("a foreign SYN-ACK");
        if (isOpen || m_answered) {
            if (answers || tcp.sequence() + 1 != m_expected) return complain("a second SYN");
            return {segment(flag::kSyn | flag::kAck, m_first, {}, answerOptions())};
        }
        m_expected = m_firstOther = tcp.sequence() + 1;
        m_otherScale = tcp.windowScale().value_or(0);
        m_scaling = tcp.windowScale().has_value() && m_habits.scale.has_value();
        m_sacking = tcp.option(wire::tcp_option::kSackPermitted, 0).has_value() && m_habits.sack;
        m_window = tcp.window();  // a SYN's is never scaled
        m_next = m_first + 1;
        if (answers) {
            m_una = m_next;
            isOpen = true;
            std::vector<Bytes> out{acknowledge()};
            for (Bytes& more : send())
                out.push_back(std::move(more));
            return out;
        }
        m_answered = true;
        return {segment(flag::kSyn | flag::kAck, m_first, {}, answerOptions())};
    }
    [[nodiscard]] Bytes answerOptions() const
    {
        return synOptions(m_scaling ? m_habits.scale : std::nullopt, m_sacking);
    }
    [[nodiscard]] Bytes synOptions(std::optional<std::uint8_t> scale, bool sack) const
    {
        Bytes options{2, 4, static_cast<std::uint8_t>(m_habits.segment >> 8),
                      static_cast<std::uint8_t>(m_habits.segment)};
        if (sack) options.insert(options.end(), {4, 2});
        if (scale) options.insert(options.end(), {3, 3, *scale});
        return options;
    }

    void take(std::uint32_t sequence, Bytes octets, bool fin)
    {
        const auto offset = static_cast<std::int32_t>(sequence - m_firstOther);
        if (fin) m_finAt = offset + static_cast<std::int32_t>(octets.size());
        if (offset >= 0) m_pieces[static_cast<std::uint32_t>(offset)] = std::move(octets);
        for (auto piece = m_pieces.begin();
             piece != m_pieces.end() && piece->first <= got.size();) {
            if (piece->first + piece->second.size() > got.size()) {
                const auto known = static_cast<std::ptrdiff_t>(got.size() - piece->first);
                got.insert(got.end(), piece->second.begin() + known, piece->second.end());
            }
            piece = m_pieces.erase(piece);
        }
        m_expected = m_firstOther + static_cast<std::uint32_t>(got.size());
        if (m_finAt && *m_finAt == static_cast<std::int32_t>(got.size())) {
            gotFin = true;
            ++m_expected;
        }
    }
    [[nodiscard]] Bytes sackOption() const
    {
        if (!m_sacking || m_pieces.empty()) return {};
        const std::uint32_t from = m_firstOther + m_pieces.begin()->first;
        std::uint32_t to = from;
        for (const auto& [offset, octets] : m_pieces) {
            if (m_firstOther + offset > to) break;
            to = std::max(to, m_firstOther + offset + static_cast<std::uint32_t>(octets.size()));
        }
        // At an odd offset, as nobody forbids.
        Bytes option{1, 5, 10};
        for (const std::uint32_t edge : {from, to}) {
            for (int shift = 24; shift >= 0; shift -= 8)
                option.push_back(static_cast<std::uint8_t>(edge >> shift));
        }
        return option;
    }
    void readSacks(const wire::TcpView& tcp)
    {
        const auto data = tcp.option(wire::tcp_option::kSack, 8);
        if (!data) return;
        ++sacksSeen;
        const std::uint32_t from = wire::load32(*data, 0);
        const std::uint32_t to = wire::load32(*data, 4);
        if (!before(from, to) || before(from, m_una) || before(m_next, to)) {
            complain("a selective acknowledgement of what was not sent");
            return;
        }
        m_sacked = {from, to};
    }
    Bytes acknowledge() { return segment(flag::kAck, m_next, {}, sackOption()); }

    Bytes segment(std::uint8_t flags, std::uint32_t sequence, const Bytes& payload, Bytes options)
    {
        while (options.size() % 4 != 0)
            options.push_back(0);
        Bytes tcp(20 + options.size() + payload.size());
        const unsigned shift =
            m_scaling && (flags & flag::kSyn) == 0 ? m_habits.scale.value_or(0) : 0;
        wire::store16(tcp, 0, own.port.hostOrder());
        wire::store16(tcp, 2, other.port.hostOrder());
        wire::store32(tcp, 4, sequence);
        const bool acknowledges = m_expected != 0 || m_answered;
        if (acknowledges && (flags & flag::kSyn) != 0) flags |= flag::kAck;
        wire::store32(tcp, 8, acknowledges ? m_expected : 0);
        tcp[12] = static_cast<std::uint8_t>((20 + options.size()) / 4 << 4);
        tcp[13] = flags;
        wire::store16(
            tcp, 14,
            static_cast<std::uint16_t>(std::min<std::uint32_t>(m_habits.buffer >> shift, 0xffff)));
        std::copy(options.begin(), options.end(), tcp.begin() + 20);
        std::copy(payload.begin(), payload.end(),
                  tcp.begin() + 20 + static_cast<std::ptrdiff_t>(options.size()));
        wire::ChecksumSum sum;
        sum.addPseudoHeader(own.address, other.address, IpProtocol::Tcp, tcp.size());
        sum.add(tcp);
        wire::store16(tcp, 16, sum.checksum());
        return wire::buildIpv4(own.address, other.address, IpProtocol::Tcp, tcp);
    }

    std::uint32_t m_first;
    Habits m_habits;
    Bytes m_data;
    std::uint32_t m_una = 0;
    std::uint32_t m_next = 0;
    std::uint32_t m_expected = 0;
    std::uint32_t m_firstOther = 0;
    std::uint32_t m_window = 0;
    std::uint8_t m_otherScale = 0;
    bool m_scaling = false;
    bool m_sacking = false;
    bool m_answered = false;  ///< as a server
    bool m_finWanted = false;
    std::optional<std::int32_t> m_finAt;
    std::map<std::uint32_t, Bytes> m_pieces;
    std::optional<std::pair<std::uint32_t, std::uint32_t>> m_sacked;
};

}  // namespace bed
