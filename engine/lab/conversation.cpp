#include "engine/lab/conversation.h"

#include "engine/base/siphash.h"

#include <algorithm>

namespace engine::lab {

namespace {

constexpr std::uint32_t kMagic = 0x4c414221;
constexpr HashKey kCheckKey{0x6c61622d63686563, 0x6b2d776f72642121};

std::uint64_t hashOf(wire::ConstBytes bytes)
{
    std::uint64_t hash = bytes.size();
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        std::uint64_t word = 0;
        for (std::size_t i = at; i < std::min(at + 8, bytes.size()); ++i) {
            word = word << 8 | bytes[i];
        }
        hash = sipHash(kCheckKey, hash, word);
    }
    return hash;
}

Octets keystream(std::uint64_t key, std::size_t size)
{
    Writer writer;
    for (std::uint64_t block = 0; writer.size() < size; ++block) {
        writer.put64(sipHash(HashKey{key, 0x7365616c}, block, size));
    }
    Octets stream = writer.take();
    stream.resize(size);
    return stream;
}

}  // namespace

Octets encode(const Message& message, std::size_t size)
{
    Writer writer;
    writer.put32(kMagic).put32(message.from).put32(message.to).put32(message.serial);
    writer.put16(std::max(size, Message::kHeader)).put16(message.replySize);
    writer.put8(message.replies).put8(0).put16(0).put64(0);
    const std::uint8_t pad = static_cast<std::uint8_t>(message.from * 31 + message.to * 7 + 1);
    if (size > Message::kHeader) writer.fill(size - Message::kHeader, pad);
    Octets bytes = writer.take();
    const std::uint64_t check = hashOf(bytes);
    wire::store64(bytes, Message::kHeader - 8, check);
    return bytes;
}

Heard decode(wire::ConstBytes bytes, Message& message)
{
    if (bytes.size() < Message::kHeader || wire::load32(bytes, 0) != kMagic) return Heard::Garbled;
    const std::size_t size = wire::load16(bytes, 16);
    if (size < Message::kHeader || size > bytes.size()) return Heard::Garbled;
    Octets copy = copyOf(bytes.first(size));
    const std::uint64_t check = wire::load64(copy, Message::kHeader - 8);
    wire::store64(copy, Message::kHeader - 8, 0);
    if (check != hashOf(copy)) return Heard::Garbled;
    message.from = wire::load32(bytes, 4);
    message.to = wire::load32(bytes, 8);
    message.serial = wire::load32(bytes, 12);
    message.replySize = wire::load16(bytes, 18);
    message.replies = bytes[20];
    return Heard::Fine;
}

Duration Speaker::pause(Random& random) const
{
    if (m_talk.jitter.count() <= 0) return m_talk.every;
    const auto steps = static_cast<std::uint32_t>(m_talk.jitter / 1ms) + 1;
    return m_talk.every + random.below(steps) * Duration{1ms};
}

Octets Speaker::next(PeerReport& report)
{
    ++report.sent;
    return encode(Message{.from = m_self,
                          .serial = ++m_serial,
                          .replySize = m_talk.replySize,
                          .replies = m_talk.replies},
                  m_talk.size);
}

void Speaker::hear(wire::ConstBytes bytes, PeerReport& report) const
{
    Message message;
    const bool mine = decode(bytes, message) == Heard::Fine && message.to == m_self;
    ++(mine ? report.received : report.wrong);
}

std::vector<Octets> answer(wire::ConstBytes bytes, Identity server, Identity expectedClient,
                           PeerReport& report)
{
    Message message;
    if (decode(bytes, message) != Heard::Fine || message.from != expectedClient) {
        ++report.wrong;
        return {};
    }
    ++report.received;
    std::vector<Octets> replies;
    for (std::uint8_t i = 0; i < message.replies; ++i) {
        ++report.sent;
        replies.push_back(
            encode(Message{.from = server, .to = message.from, .serial = message.serial * 256 + i},
                   message.replySize));
    }
    return replies;
}

Octets seal(std::uint64_t key, wire::ConstBytes clear)
{
    Octets sealed = Writer{}.put64(hashOf(clear)).put(clear).take();
    const Octets stream = keystream(key, sealed.size());
    for (std::size_t i = 0; i < sealed.size(); ++i)
        sealed[i] ^= stream[i];
    return sealed;
}

bool unseal(std::uint64_t key, wire::ConstBytes sealed, Octets& clear)
{
    if (sealed.size() < kSealOverhead) return false;
    Octets open = copyOf(sealed);
    const Octets stream = keystream(key, open.size());
    for (std::size_t i = 0; i < open.size(); ++i)
        open[i] ^= stream[i];
    clear.assign(open.begin() + kSealOverhead, open.end());
    return wire::load64(open, 0) == hashOf(clear);
}

}  // namespace engine::lab
