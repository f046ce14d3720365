#include "app/control/socket_path.h"

#include <QDir>
#include <QFileInfo>
#include <QLocalSocket>

#include <cerrno>
#include <cstring>
#include <grp.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace app::control {

using engine::Err;
using engine::Result;

Result<void, QString> preparePath(const QString& path)
{
    const QFileInfo target(path);
    if (!target.isAbsolute()) {
        return Err{
            QStringLiteral("The control socket needs an absolute path, not \"%1\".").arg(path)};
    }
    // sun_path holds 108 octets with its end mark.
    if (path.toLocal8Bit().size() > 100) {
        return Err{QStringLiteral("The path of the control socket is too long: %1.").arg(path)};
    }
    const QString directory = target.absolutePath();
    const QByteArray directoryName = directory.toLocal8Bit();
    struct stat about {};
    if (::lstat(directoryName.constData(), &about) != 0) {
        // Whoever the socket is for must come to it; a narrow umask is for other files.
        if (::mkdir(directoryName.constData(), 0755) != 0 ||
            ::chmod(directoryName.constData(), 0755) != 0 ||
            ::lstat(directoryName.constData(), &about) != 0) {
            return Err{QStringLiteral("The control socket's folder %1 cannot be made (%2).")
                           .arg(directory, QString::fromLocal8Bit(std::strerror(errno)))};
        }
    }
    if (!S_ISDIR(about.st_mode)) {
        return Err{QStringLiteral("%1 is no directory (links are not followed).").arg(directory)};
    }
    const bool foreign = about.st_uid != ::geteuid() && about.st_uid != 0;
    const bool open = (about.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (about.st_mode & S_ISVTX) == 0;
    if (foreign || open) {
        return Err{
            QStringLiteral("Others can write to %1, so the control socket is not safe there.")
                .arg(directory)};
    }
    if (::access(directoryName.constData(), W_OK | X_OK) != 0) {
        return Err{QStringLiteral("The control socket cannot be made in %1 (%2).")
                       .arg(directory, QString::fromLocal8Bit(std::strerror(errno)))};
    }
    const QByteArray name = path.toLocal8Bit();
    if (::lstat(name.constData(), &about) != 0) return {};
    if (!S_ISSOCK(about.st_mode) || (about.st_uid != ::geteuid() && ::geteuid() != 0)) {
        return Err{QStringLiteral("Something that is not ours is already at %1.").arg(path)};
    }
    if (about.st_uid != ::geteuid()) {
        return Err{QStringLiteral("Another user's socket is already at %1.").arg(path)};
    }
    QLocalSocket probe;
    probe.connectToServer(path);
    if (probe.waitForConnected(500)) {
        return Err{QStringLiteral("Another instance already listens at %1.").arg(path)};
    }
    if (::unlink(name.constData()) != 0) {
        return Err{QStringLiteral("The old socket at %1 cannot be removed.").arg(path)};
    }
    return {};
}

std::optional<PeerIdentity> peerOf(qintptr descriptor)
{
    const int socket = static_cast<int>(descriptor);
    struct ucred credentials {};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 ||
        size != sizeof credentials) {
        return std::nullopt;
    }
    PeerIdentity peer{credentials.uid, {credentials.gid}};
    // The kernel says how many there are when there is no room for them.
    std::vector<gid_t> groups(32);
    size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    int asked = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    if (asked != 0 && errno == ERANGE) {
        groups.resize(size / sizeof(gid_t));
        asked = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    }
    if (asked == 0) {
        groups.resize(size / sizeof(gid_t));
        peer.groups.insert(peer.groups.end(), groups.begin(), groups.end());
    }
    return peer;
}

std::optional<std::uint32_t> groupNamed(const QString& name)
{
    const struct group* found = ::getgrnam(name.toLocal8Bit().constData());
    if (found == nullptr) return std::nullopt;
    return found->gr_gid;
}

Result<void, QString> openToGroup(const QString& path, std::uint32_t group)
{
    const QByteArray name = path.toLocal8Bit();
    // First whose it is, then who may: never open to a group that was not meant.
    if (::chown(name.constData(), static_cast<uid_t>(-1), group) != 0 ||
        ::chmod(name.constData(), 0660) != 0) {
        return Err{QStringLiteral("The control socket cannot be given to the group (%1).")
                       .arg(QString::fromLocal8Bit(std::strerror(errno)))};
    }
    return {};
}

QString groupOf(const QString& path)
{
    struct stat facts {};
    if (::stat(path.toLocal8Bit().constData(), &facts) != 0) return {};
    if ((facts.st_mode & S_IWGRP) == 0) return {};
    const struct group* found = ::getgrgid(facts.st_gid);
    return found == nullptr ? QString::number(facts.st_gid)
                            : QString::fromLocal8Bit(found->gr_name);
}

}  // namespace app::control
