#pragma once

#include "engine/base/result.h"

#include <QByteArray>
#include <QJsonObject>
#include <QtGlobal>

#include <cstdint>
#include <optional>

/// The control protocol's bytes. A message is one JSON object, cut into frames: four octets of
/// length (network order), one octet of flags, then so many octets of the object's text. Flag 1
/// says that more of the same message follows. Both sides speak the same frames.
namespace app::control {

/// Changes when an old client would misunderstand a new server.
inline constexpr int kProtocolVersion = 1;
inline constexpr qsizetype kMostPayload = 65536;
inline constexpr qsizetype kFrameHeader = 5;
/// Ours: a change of rules brings their whole list, and a thousand port forwards fit in. Answers
/// may be long.
inline constexpr qsizetype kMostRequest = 4 * kMostPayload;
inline constexpr qsizetype kMostAnswer = 64 * 1024 * 1024;

enum class FrameError : std::uint8_t {
    TooLong,  ///< a frame or a message above its limit
    UnknownFlags,
    NotAnObject,  ///< the text is not one JSON object
};

[[nodiscard]] QByteArray framed(const QJsonObject& message);

/// Puts a peer's octets together again. Holds at most one message and one frame; after an error it
/// stays in error, since nothing says where the next frame would begin.
class FrameReader {
public:
    explicit FrameReader(qsizetype mostMessage) : m_most(mostMessage) {}

    void append(const QByteArray& octets) { m_buffer.append(octets); }
    /// The next whole message; none if more octets are needed.
    engine::Result<std::optional<QJsonObject>, FrameError> next();
    /// True while a message has begun that is not complete.
    [[nodiscard]] bool isInside() const { return !m_buffer.isEmpty() || !m_message.isEmpty(); }

private:
    qsizetype m_most;
    QByteArray m_buffer;
    QByteArray m_message;
    std::optional<FrameError> m_error;
};

}  // namespace app::control
