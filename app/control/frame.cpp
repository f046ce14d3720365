#include "app/control/frame.h"

#include <QJsonDocument>
#include <QtEndian>

#include <algorithm>
#include <utility>

namespace app::control {

using engine::Err;
using engine::Result;

namespace {
constexpr char kMoreFollows = 1;
}

QByteArray framed(const QJsonObject& message)
{
    const QByteArray text = QJsonDocument(message).toJson(QJsonDocument::Compact);
    QByteArray octets;
    octets.reserve(text.size() + kFrameHeader * (text.size() / kMostPayload + 1));
    qsizetype at = 0;
    do {
        const qsizetype size = std::min(kMostPayload, text.size() - at);
        char header[sizeof(quint32)];
        qToBigEndian(static_cast<quint32>(size), header);
        octets.append(header, sizeof header);
        octets.append(at + size < text.size() ? kMoreFollows : '\0');
        octets.append(text.constData() + at, size);
        at += size;
    } while (at < text.size());
    return octets;
}

Result<std::optional<QJsonObject>, FrameError> FrameReader::next()
{
    if (m_error) return Err{*m_error};
    const auto fail = [this](FrameError error) {
        m_error = error;
        m_buffer.clear();
        m_message.clear();
        return Err{error};
    };
    while (m_buffer.size() >= kFrameHeader) {
        const auto size = static_cast<qsizetype>(qFromBigEndian<quint32>(m_buffer.constData()));
        const char flags = m_buffer.at(4);
        if (size > kMostPayload || m_message.size() + size > m_most)
            return fail(FrameError::TooLong);
        if ((flags & ~kMoreFollows) != 0) return fail(FrameError::UnknownFlags);
        if (m_buffer.size() < kFrameHeader + size) break;
        m_message.append(m_buffer.constData() + kFrameHeader, size);
        m_buffer.remove(0, kFrameHeader + size);
        if ((flags & kMoreFollows) != 0) {
            // An endless row of empty frames would never reach the limit above.
            if (size == 0) return fail(FrameError::NotAnObject);
            continue;
        }
        const QJsonDocument document = QJsonDocument::fromJson(std::exchange(m_message, {}));
        if (!document.isObject()) return fail(FrameError::NotAnObject);
        return std::optional{document.object()};
    }
    return std::optional<QJsonObject>{};
}

}  // namespace app::control
