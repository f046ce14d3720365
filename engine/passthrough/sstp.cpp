#include "engine/passthrough/sstp.h"

namespace engine::passthrough {
namespace {

// Plain lengths from [MS-SSTP] and HTTP plus 17 to 69 octets that TLS adds (tag or MAC, padding,
// content type); ours are the margins.
constexpr std::size_t kRequestShortest = 130;
constexpr std::size_t kRequestLongest = 420;
constexpr std::size_t kAnswerShortest = 90;
constexpr std::size_t kAnswerLongest = 420;
constexpr std::size_t kCallRequestShortest = 14 + 16;
constexpr std::size_t kCallRequestLongest = 14 + 69;
constexpr std::size_t kCallAnswerShortest = 40 + 16;
constexpr std::size_t kCallAnswerLongest = 48 + 69;
constexpr std::size_t kNegotiationLongest = 260;
constexpr std::uint8_t kNegotiationEachWay = 3;
/// TLS 1.3 sends the rest of its handshake and its tickets as application records: four and one,
/// and the two tickets that OpenSSL gives.
constexpr std::uint8_t kMostSkipped = 8;

constexpr bool isWithin(std::size_t length, std::size_t shortest, std::size_t longest)
{
    return length >= shortest && length <= longest;
}

}  // namespace

bool SstpOutline::take(net::Direction direction, std::size_t length)
{
    const bool fromClient = direction == net::Direction::Outbound;
    const auto skip = [this] {
        if (++m_skipped > kMostSkipped) m_step = Step::Failed;
    };
    switch (m_step) {
    case Step::Request:
        if (fromClient && isWithin(length, kRequestShortest, kRequestLongest)) {
            m_step = Step::Answer;
        } else {
            skip();
        }
        break;
    case Step::Answer:
        if (fromClient) {
            m_step = Step::Failed;  // nothing is sent before the server has agreed
        } else if (isWithin(length, kAnswerShortest, kAnswerLongest)) {
            m_step = Step::CallRequest;
        } else {
            m_step = Step::Failed;
        }
        break;
    case Step::CallRequest:
        if (!fromClient && isWithin(length, kAnswerShortest, kAnswerLongest)) {
            skip();  // what was taken for the answer was a session ticket
        } else if (fromClient && isWithin(length, kCallRequestShortest, kCallRequestLongest)) {
            m_step = Step::CallAnswer;
        } else {
            m_step = Step::Failed;
        }
        break;
    case Step::CallAnswer:
        m_step = !fromClient && isWithin(length, kCallAnswerShortest, kCallAnswerLongest)
                     ? Step::Negotiation
                     : Step::Failed;
        break;
    case Step::Negotiation:
        if (length > kNegotiationLongest) {
            m_step = Step::Failed;
            break;
        }
        ++(fromClient ? m_fromClient : m_fromServer);
        if (m_fromClient >= kNegotiationEachWay && m_fromServer >= kNegotiationEachWay) {
            m_step = Step::Done;
        }
        break;
    case Step::Failed:
    case Step::Done: break;
    }
    return m_step == Step::Done;
}

}  // namespace engine::passthrough
