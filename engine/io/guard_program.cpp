#include "engine/io/guard_program.h"

#include "engine/wire/bytes.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/icmp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

namespace engine::io {

namespace {

constexpr std::uint8_t kProtocolIcmp = 1;
constexpr std::uint8_t kProtocolTcp = 6;
constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::int32_t kFragmentBits = 0x3fff;  ///< "more" and the offset
constexpr std::int32_t kFragmentOffset = 0x1fff;
/// More than any packet has.
constexpr std::int32_t kNoLimit = 0x10000;

/// Instructions with jumps to labels, resolved by finish(). Registers are plain numbers 0 to 10.
class Assembler {
public:
    enum class Label : std::uint8_t {
        Pass,
        Take,
        Shared,
        InternalOwn,
        Ports,
        Protocol,
        Icmp,
        Ping,
        Count
    };

    void move(int to, int from) { emit(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
    void moveValue(int to, std::int32_t value)
    {
        emit(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
    }
    void add(int to, int from) { emit(BPF_ALU64 | BPF_ADD | BPF_X, to, from, 0, 0); }
    void addValue(int to, std::int32_t value)
    {
        emit(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value);
    }
    void andWith(int to, int from) { emit(BPF_ALU64 | BPF_AND | BPF_X, to, from, 0, 0); }
    void andValue(int to, std::int32_t value)
    {
        emit(BPF_ALU64 | BPF_AND | BPF_K, to, 0, 0, value);
    }
    void shiftLeft(int to, std::int32_t by) { emit(BPF_ALU64 | BPF_LSH | BPF_K, to, 0, 0, by); }
    void shiftRight(int to, std::int32_t by) { emit(BPF_ALU64 | BPF_RSH | BPF_K, to, 0, 0, by); }
    void shiftRightBy(int to, int by) { emit(BPF_ALU64 | BPF_RSH | BPF_X, to, by, 0, 0); }
    /// The value in the packet's byte order becomes the host's.
    void fromNetwork16(int reg) { emit(BPF_ALU | BPF_END | BPF_TO_BE, reg, 0, 0, 16); }
    void load(int size, int to, int base, std::size_t offset)
    {
        emit(BPF_LDX | BPF_MEM | size, to, base, static_cast<int>(offset), 0);
    }
    void loadStack(int size, int to, int offset)
    {
        emit(BPF_LDX | BPF_MEM | size, to, 10, offset, 0);
    }
    void storeStackValue(int offset, std::int32_t value)
    {
        emit(BPF_ST | BPF_MEM | BPF_W, 10, 0, offset, value);
    }
    void stackAddress(int to, int offset)
    {
        move(to, 10);
        addValue(to, offset);
    }
    void loadMap(int to, int descriptor)
    {
        emit(BPF_LD | BPF_IMM | BPF_DW, to, BPF_PSEUDO_MAP_FD, 0, descriptor);
        emit(0, 0, 0, 0, 0);
    }
    void call(std::int32_t function) { emit(BPF_JMP | BPF_CALL, 0, 0, 0, function); }
    void jump(Label to) { emitJump(BPF_JMP | BPF_JA, 0, 0, 0, to); }
    void ifValue(int reg, std::int32_t value, Label to)
    {
        emitJump(BPF_JMP | BPF_JEQ | BPF_K, reg, 0, value, to);
    }
    void ifNotValue(int reg, std::int32_t value, Label to)
    {
        emitJump(BPF_JMP | BPF_JNE | BPF_K, reg, 0, value, to);
    }
    void ifGreater(int a, int b, Label to) { emitJump(BPF_JMP | BPF_JGT | BPF_X, a, b, 0, to); }
    void ifEqual(int a, int b, Label to) { emitJump(BPF_JMP | BPF_JEQ | BPF_X, a, b, 0, to); }
    void returnValue(std::int32_t value)
    {
        moveValue(0, value);
        emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }
    void place(Label label) { m_places[static_cast<std::size_t>(label)] = m_code.size(); }

    std::vector<bpf_insn> finish()
    {
        for (const auto& [at, label] : m_jumps) {
            const auto target = m_places[static_cast<std::size_t>(label)];
            m_code[at].off = static_cast<std::int16_t>(target - at - 1);
        }
        return std::move(m_code);
    }

private:
    void emit(int code, int to, int from, int offset, std::int32_t value)
    {
        bpf_insn instruction{};
        instruction.code = static_cast<std::uint8_t>(code);
        instruction.dst_reg = static_cast<std::uint8_t>(to & 15);
        instruction.src_reg = static_cast<std::uint8_t>(from & 15);
        instruction.off = static_cast<std::int16_t>(offset);
        instruction.imm = value;
        m_code.push_back(instruction);
    }
    void emitJump(int code, int to, int from, std::int32_t value, Label label)
    {
        m_jumps.emplace_back(m_code.size(), label);
        emit(code, to, from, 0, value);
    }

    std::vector<bpf_insn> m_code;
    std::vector<std::pair<std::size_t, Label>> m_jumps;
    std::array<std::size_t, static_cast<std::size_t>(Label::Count)> m_places{};
};

// Registers that survive calls, by what they hold.
constexpr int kContext = 6;
constexpr int kTable = 7;
constexpr int kDestination = 8;  ///< later: offset of the port bits in the table
constexpr int kProtocol = 9;
// The stack, below the frame pointer.
constexpr int kHeaderAt = -24;
constexpr int kKeyAt = -28;
constexpr int kPortAt = -32;

using Label = Assembler::Label;

void ifAmong(Assembler& code, std::size_t list, Label to)
{
    for (std::size_t i = 0; i < kMostGuardedAddresses; ++i) {
        code.load(BPF_W, 1, kTable, list + i * sizeof(GuardTable::Address));
        code.ifEqual(1, kDestination, to);
    }
}

/// Where the packet's payload begins, into register 2.
void payloadOffset(Assembler& code, int linkHeader)
{
    code.loadStack(BPF_B, 2, kHeaderAt);
    code.andValue(2, 15);
    code.shiftLeft(2, 2);
    code.addValue(2, linkHeader);
}

/// `size` octets at register 2 to the stack; register 0 is not zero if there are not so many.
void loadPacket(Assembler& code, int to, std::int32_t size)
{
    code.move(1, kContext);
    code.stackAddress(3, to);
    code.moveValue(4, size);
    code.call(BPF_FUNC_skb_load_bytes);
}

/// Takes pings that the plan does not answer, and "fragmentation needed" about answers to pings:
/// none of those that are answered is ever too large.
void judgeIcmp(Assembler& code, int linkHeader)
{
    constexpr int kLimit = kDestination;
    constexpr int kFragment = kProtocol;
    constexpr int kQuote = kProtocol;  // from where the fragment bits are not asked for any more
    code.load(BPF_W, kLimit, kTable, offsetof(GuardTable, largestPing));
    code.ifValue(kLimit, kNoLimit, Label::Pass);
    code.loadStack(BPF_H, kFragment, kHeaderAt + 6);
    code.fromNetwork16(kFragment);
    code.andValue(kFragment, kFragmentBits);
    // As with ports: without its first part the host throws a later fragment away in silence.
    code.move(1, kFragment);
    code.andValue(1, kFragmentOffset);
    code.ifNotValue(1, 0, Label::Pass);
    payloadOffset(code, linkHeader);
    loadPacket(code, kPortAt, 2);
    code.ifNotValue(0, 0, Label::Pass);
    code.loadStack(BPF_B, 1, kPortAt);
    code.ifValue(1, ICMP_ECHO, Label::Ping);
    code.ifValue(1, ICMP_TIMESTAMP, Label::Ping);
    code.ifNotValue(1, ICMP_DEST_UNREACH, Label::Pass);
    code.loadStack(BPF_B, 1, kPortAt + 1);
    code.ifNotValue(1, ICMP_FRAG_NEEDED, Label::Pass);
    // Its quote may not hide in another fragment.
    code.ifNotValue(kFragment, 0, Label::Take);
    payloadOffset(code, linkHeader);
    code.addValue(2, 8);
    code.move(kQuote, 2);
    loadPacket(code, kHeaderAt, 20);
    code.ifNotValue(0, 0, Label::Take);
    code.loadStack(BPF_B, 1, kHeaderAt + 9);
    code.ifNotValue(1, kProtocolIcmp, Label::Pass);
    payloadOffset(code, 0);
    code.add(2, kQuote);
    loadPacket(code, kPortAt, 1);
    code.ifNotValue(0, 0, Label::Take);
    code.loadStack(BPF_B, 1, kPortAt);
    code.ifValue(1, ICMP_ECHOREPLY, Label::Take);
    code.jump(Label::Pass);

    code.place(Label::Ping);
    code.ifNotValue(kFragment, 0, Label::Take);
    code.loadStack(BPF_H, 1, kHeaderAt + 2);
    code.fromNetwork16(1);
    code.ifGreater(1, kLimit, Label::Take);
    code.jump(Label::Pass);
}

std::uint32_t largestPing(nat::PingsFromOutside pings)
{
    switch (pings) {
    case nat::PingsFromOutside::Small: return nat::kLargestSmallPing;
    case nat::PingsFromOutside::All: return kNoLimit;
    case nat::PingsFromOutside::None: return 0;
    }
    return kNoLimit;
}

void setBits(GuardTable::Ports& bits, const std::vector<net::PortRange>& ranges)
{
    for (const auto& range : ranges) {
        for (std::uint32_t port = range.first.hostOrder(); port <= range.last.hostOrder(); ++port) {
            bits[port / 8] = static_cast<std::uint8_t>(bits[port / 8] | (1U << (port % 8)));
        }
    }
}

void setAddresses(std::array<GuardTable::Address, kMostGuardedAddresses>& to,
                  const std::vector<net::Ipv4Address>& from)
{
    for (std::size_t i = 0; i < std::min(from.size(), to.size()); ++i) {
        wire::store32(to[i], 0, from[i].hostOrder());
    }
}

}  // namespace

GuardTable guardTable(const GuardPlan& plan)
{
    GuardTable table;
    // A prefix of length zero would be everything; without one nothing must match.
    const bool known = plan.internalPrefix.length() != 0;
    wire::store32(table.internalNetwork, 0,
                  known ? plan.internalPrefix.network().hostOrder() : 0xffffffffU);
    wire::store32(table.internalMask, 0, known ? plan.internalPrefix.mask() : 0xffffffffU);
    table.largestPing = largestPing(plan.pings);
    setAddresses(table.internalAddresses, plan.internalAddresses);
    setAddresses(table.sharedAddresses, plan.sharedAddresses);
    setAddresses(table.engineAddresses, plan.engineAddresses);
    setBits(table.ports, plan.ports);
    setBits(table.internalUdp, plan.internalUdp);
    for (const auto protocol : plan.protocols) {
        table.protocols[protocol / 8] =
            static_cast<std::uint8_t>(table.protocols[protocol / 8] | (1U << (protocol % 8)));
    }
    return table;
}

std::vector<bpf_insn> guardProgram(GuardSide side, LinkKind link, int table)
{
    const int linkHeader = link == LinkKind::Ethernet ? ETH_HLEN : 0;
    Assembler code;

    // Untagged IPv4 that was sent to this station; all else is none of ours.
    code.move(kContext, 1);
    code.load(BPF_W, 0, kContext, offsetof(__sk_buff, protocol));
    code.ifNotValue(0, htons(ETH_P_IP), Label::Pass);
    code.load(BPF_W, 0, kContext, offsetof(__sk_buff, vlan_present));
    code.ifNotValue(0, 0, Label::Pass);
    code.load(BPF_W, 0, kContext, offsetof(__sk_buff, pkt_type));
    code.ifNotValue(0, PACKET_HOST, Label::Pass);

    code.move(1, kContext);
    code.moveValue(2, linkHeader);
    code.stackAddress(3, kHeaderAt);
    code.moveValue(4, 20);
    code.call(BPF_FUNC_skb_load_bytes);
    code.ifNotValue(0, 0, Label::Pass);

    code.storeStackValue(kKeyAt, 0);
    code.loadMap(1, table);
    code.stackAddress(2, kKeyAt);
    code.call(BPF_FUNC_map_lookup_elem);
    code.ifValue(0, 0, Label::Pass);
    code.move(kTable, 0);
    code.loadStack(BPF_W, kDestination, kHeaderAt + 16);
    code.loadStack(BPF_B, kProtocol, kHeaderAt + 9);
    code.ifValue(kDestination, 0, Label::Pass);

    if (side == GuardSide::Internal) {
        ifAmong(code, offsetof(GuardTable, internalAddresses), Label::InternalOwn);
        ifAmong(code, offsetof(GuardTable, sharedAddresses), Label::Shared);
        // The host would forward it, beside the engine.
        code.jump(Label::Take);
    } else {
        ifAmong(code, offsetof(GuardTable, engineAddresses), Label::Take);
        ifAmong(code, offsetof(GuardTable, sharedAddresses), Label::Shared);
        // Straight into the internal network, past the engine: never.
        code.move(1, kDestination);
        code.load(BPF_W, 2, kTable, offsetof(GuardTable, internalMask));
        code.andWith(1, 2);
        code.load(BPF_W, 2, kTable, offsetof(GuardTable, internalNetwork));
        code.ifEqual(1, 2, Label::Take);
        code.jump(Label::Pass);
    }

    // An address that the host and the engine share: by port or protocol.
    code.place(Label::Shared);
    code.moveValue(kDestination, offsetof(GuardTable, ports));
    code.ifValue(kProtocol, kProtocolTcp, Label::Ports);
    code.ifValue(kProtocol, kProtocolUdp, Label::Ports);
    if (side == GuardSide::External) code.ifValue(kProtocol, kProtocolIcmp, Label::Icmp);
    code.jump(Label::Protocol);

    // The host's own address inside: its services stay its own, but for what the engine serves.
    if (side == GuardSide::Internal) {
        code.place(Label::InternalOwn);
        code.moveValue(kDestination, offsetof(GuardTable, internalUdp));
        code.ifValue(kProtocol, kProtocolUdp, Label::Ports);
        code.jump(Label::Pass);
    }

    // The destination port decides. Later fragments have none and pass: without their first part
    // the host throws them away in silence.
    code.place(Label::Ports);
    code.loadStack(BPF_H, 1, kHeaderAt + 6);
    code.fromNetwork16(1);
    code.andValue(1, kFragmentOffset);
    code.ifNotValue(1, 0, Label::Pass);
    payloadOffset(code, linkHeader + 2);
    loadPacket(code, kPortAt, 2);
    code.ifNotValue(0, 0, Label::Pass);
    code.loadStack(BPF_H, 1, kPortAt);
    code.fromNetwork16(1);
    code.move(2, 1);
    code.shiftRight(2, 3);
    code.andValue(2, 8191);
    code.move(3, kTable);
    code.add(3, kDestination);
    code.add(3, 2);
    code.load(BPF_B, 4, 3, 0);
    code.andValue(1, 7);
    code.shiftRightBy(4, 1);
    code.andValue(4, 1);
    code.ifNotValue(4, 0, Label::Take);
    code.jump(Label::Pass);

    code.place(Label::Protocol);
    code.move(1, kProtocol);
    code.shiftRight(1, 3);
    code.andValue(1, 31);
    code.move(2, kTable);
    code.add(2, 1);
    code.load(BPF_B, 3, 2, offsetof(GuardTable, protocols));
    code.andValue(kProtocol, 7);
    code.shiftRightBy(3, kProtocol);
    code.andValue(3, 1);
    code.ifNotValue(3, 0, Label::Take);

    if (side == GuardSide::External) {
        code.jump(Label::Pass);
        code.place(Label::Icmp);
        judgeIcmp(code, linkHeader);
    }

    code.place(Label::Pass);
    code.returnValue(TC_ACT_UNSPEC);  // other filters of the admin still have their say
    code.place(Label::Take);
    code.returnValue(TC_ACT_SHOT);
    return code.finish();
}

}  // namespace engine::io
