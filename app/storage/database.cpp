#include "app/storage/database.h"

#include <sqlite3.h>

#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace app::storage {

using engine::Err;
using engine::Result;

namespace {

/// `system` is what the operating system said last, zero if nothing: SQLite calls a full disk an
/// input/output error where it could not lengthen a file it has mapped.
StorageError errorOf(int code, int system, const std::string& path, const std::string& detail)
{
    using Kind = StorageError::Kind;
    const StorageError full{Kind::Full, "The disk is full: " + path + " was not written."};
    const StorageError readOnly{Kind::ReadOnly, path + " cannot be written (read-only)."};
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return {Kind::Corrupt, path + " is damaged (" + detail + ")."};
    case SQLITE_FULL: return full;
    case SQLITE_READONLY:
    case SQLITE_PERM: return readOnly;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return {Kind::Busy, path + " is in use by another program."};
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        if (system == ENOSPC || system == EDQUOT) return full;
        if (system == EROFS || (::access(path.c_str(), W_OK) != 0 && errno == EROFS)) {
            return readOnly;
        }
        if ((code & 0xff) == SQLITE_CANTOPEN) {
            const std::string why =
                system == 0 ? "" : std::string{" ("} + std::strerror(system) + ')';
            return {Kind::CannotOpen, path + " cannot be opened" + why + "."};
        }
        return {Kind::Full, path + " could not be read or written (" + detail + ")."};
    }
    return {Kind::Other, path + ": " + detail + "."};
}

int bindOne(sqlite3_stmt* statement, int index, const Value& value)
{
    struct Binder {
        sqlite3_stmt* statement;
        int index;
        int operator()(std::nullptr_t) const { return sqlite3_bind_null(statement, index); }
        int operator()(std::int64_t number) const
        {
            return sqlite3_bind_int64(statement, index, number);
        }
        int operator()(std::string_view text) const
        {
            return sqlite3_bind_text(statement, index, text.empty() ? "" : text.data(),
                                     static_cast<int>(text.size()), SQLITE_TRANSIENT);
        }
        int operator()(std::span<const std::uint8_t> octets) const
        {
            if (octets.empty()) return sqlite3_bind_zeroblob(statement, index, 0);
            return sqlite3_bind_blob(statement, index, octets.data(),
                                     static_cast<int>(octets.size()), SQLITE_TRANSIENT);
        }
    };
    return std::visit(Binder{statement, index}, value);
}

}  // namespace

bool Row::isNull(int column) const
{
    return sqlite3_column_type(m_statement, column) == SQLITE_NULL;
}
std::int64_t Row::integer(int column) const
{
    return sqlite3_column_int64(m_statement, column);
}

std::string Row::text(int column) const
{
    const auto* octets = static_cast<const char*>(sqlite3_column_blob(m_statement, column));
    const int size = sqlite3_column_bytes(m_statement, column);
    return octets == nullptr ? std::string{} : std::string(octets, static_cast<std::size_t>(size));
}

std::vector<std::uint8_t> Row::octets(int column) const
{
    const auto* first = static_cast<const std::uint8_t*>(sqlite3_column_blob(m_statement, column));
    const int size = sqlite3_column_bytes(m_statement, column);
    if (first == nullptr) return {};
    return {first, first + size};
}

Database::Database(sqlite3* connection, std::string path)
    : m_connection(connection), m_path(std::move(path))
{}

Database::Database(Database&& other) noexcept
    : m_connection(std::exchange(other.m_connection, nullptr)),
      m_path(std::move(other.m_path)),
      m_statements(std::exchange(other.m_statements, {}))
{}

Database& Database::operator=(Database&& other) noexcept
{
    std::swap(m_connection, other.m_connection);
    std::swap(m_path, other.m_path);
    std::swap(m_statements, other.m_statements);
    return *this;
}

Database::~Database()
{
    for (const auto& [sql, statement] : m_statements) {
        sqlite3_finalize(statement);
    }
    sqlite3_close(m_connection);
}

Result<Database, StorageError> Database::open(const std::string& path, Access access,
                                              Durability durability)
{
    const std::string name = path.empty() ? "the database in memory" : path;
    if (!path.empty() && access == Access::ReadWrite) {
        // SQLite would create it readable by everybody; what a network does is nobody's business.
        const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (file >= 0) ::close(file);
    }
    sqlite3* connection = nullptr;
    // A database on a read-only file system can only be opened if it promises not to change.
    const bool immutable = access == Access::ReadOnly && !path.empty();
    std::string target = path.empty() ? ":memory:" : path;
    int flags = access == Access::ReadWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                            : SQLITE_OPEN_READONLY;
    int code = sqlite3_open_v2(target.c_str(), &connection, flags | SQLITE_OPEN_NOMUTEX, nullptr);
    if (code == SQLITE_OK && immutable &&
        sqlite3_exec(connection, "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr) !=
            SQLITE_OK) {
        sqlite3_close(connection);
        target = "file:" + path + "?immutable=1";
        flags |= SQLITE_OPEN_URI;
        code = sqlite3_open_v2(target.c_str(), &connection, flags | SQLITE_OPEN_NOMUTEX, nullptr);
    }
    Database database{connection, name};
    if (code != SQLITE_OK) return Err{database.lastError()};

    sqlite3_extended_result_codes(connection, 1);
    sqlite3_busy_timeout(connection, 2000);
    sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(connection, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    if (const auto done = database.script("PRAGMA cell_size_check=ON; PRAGMA foreign_keys=ON;");
        !done) {
        return Err{done.error()};
    }
    // The whole file is looked at before anything in it is believed.
    std::string verdict;
    const auto checked =
        database.query("PRAGMA quick_check(1)", {}, [&](const Row& row) { verdict = row.text(0); });
    if (!checked) return Err{checked.error()};
    if (verdict != "ok") {
        return Err{
            StorageError{StorageError::Kind::Corrupt, name + " is damaged (" + verdict + ")."}};
    }
    if (access == Access::ReadWrite && !path.empty()) {
        const auto done = database.script(
            durability == Durability::Full ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                           : "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;");
        if (!done) return Err{done.error()};
    }
    return database;
}

StorageError Database::lastError() const
{
    if (m_connection == nullptr) return {StorageError::Kind::Other, m_path + ": out of memory."};
    return errorOf(sqlite3_errcode(m_connection), sqlite3_system_errno(m_connection), m_path,
                   sqlite3_errmsg(m_connection));
}

Result<void, StorageError> Database::script(std::string_view sql)
{
    const std::string terminated{sql};
    if (sqlite3_exec(m_connection, terminated.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
        return Err{lastError()};
    }
    return {};
}

Result<sqlite3_stmt*, StorageError> Database::prepared(std::string_view sql)
{
    if (const auto found = m_statements.find(sql); found != m_statements.end()) {
        return found->second;
    }
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(m_connection, sql.data(), static_cast<int>(sql.size()),
                           SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
        return Err{lastError()};
    }
    m_statements.emplace(sql, statement);
    return statement;
}

Result<void, StorageError> Database::query(std::string_view sql, std::vector<Value> values,
                                           const std::function<void(const Row&)>& row)
{
    auto statement = prepared(sql);
    if (!statement) return Err{statement.error()};
    assert(sqlite3_bind_parameter_count(*statement) == static_cast<int>(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (bindOne(*statement, static_cast<int>(i) + 1, values[i]) != SQLITE_OK) {
            return Err{lastError()};
        }
    }
    int code = sqlite3_step(*statement);
    while (code == SQLITE_ROW) {
        row(Row{*statement});
        code = sqlite3_step(*statement);
    }
    const StorageError error = code == SQLITE_DONE ? StorageError{} : lastError();
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
    if (code != SQLITE_DONE) return Err{error};
    return {};
}

Result<void, StorageError> Database::run(std::string_view sql, std::vector<Value> values)
{
    return query(sql, std::move(values), [](const Row&) {});
}

Result<void, StorageError> Database::transaction(
    const std::function<Result<void, StorageError>()>& work)
{
    if (auto begun = run("BEGIN IMMEDIATE"); !begun) return begun;
    auto done = work();
    if (done) done = run("COMMIT");
    // After some errors SQLite has rolled back on its own; asking again then is harmless.
    if (!done && sqlite3_get_autocommit(m_connection) == 0) {
        static_cast<void>(run("ROLLBACK").has_value());
    }
    return done;
}

std::int64_t Database::lastRowId() const
{
    return sqlite3_last_insert_rowid(m_connection);
}

Result<int, StorageError> Database::schemaVersion()
{
    int version = 0;
    const auto done = query("PRAGMA user_version", {},
                            [&](const Row& row) { version = static_cast<int>(row.integer(0)); });
    if (!done) return Err{done.error()};
    return version;
}

Result<void, StorageError> Database::migrate(std::span<const Migration> migrations)
{
    const auto version = schemaVersion();
    if (!version) return Err{version.error()};
    const int newest = static_cast<int>(migrations.size());
    if (*version > newest) {
        return Err{StorageError{
            StorageError::Kind::Newer,
            m_path + " was written by a newer version of this program (schema " +
                std::to_string(*version) + ", known up to " + std::to_string(newest) + ")."}};
    }
    for (const Migration& step : migrations.subspan(static_cast<std::size_t>(*version))) {
        const auto done = transaction([&]() -> Result<void, StorageError> {
            if (auto made = script(step.sql); !made) return made;
            return script("PRAGMA user_version=" + std::to_string(step.number));
        });
        if (!done) return done;
    }
    return {};
}

Result<void, StorageError> Database::backUpTo(const std::string& path)
{
    const std::string half = path + ".new";
    std::error_code ignored;
    std::filesystem::remove(half, ignored);
    const int file = ::open(half.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file >= 0) ::close(file);
    if (auto done = run("VACUUM INTO ?", {std::string_view{half}}); !done) return done;
    std::error_code failed;
    std::filesystem::rename(half, path, failed);
    if (failed) {
        return Err{StorageError{StorageError::Kind::Other, path + ": " + failed.message() + "."}};
    }
    return {};
}

namespace {

Result<Database, StorageError> openAndMigrate(const std::string& path,
                                              std::span<const Migration> migrations,
                                              Database::Durability durability)
{
    {
        // The version is read before anything is written: opening for writing may already change
        // the journal mode, and a newer program's file is not ours to touch.
        auto looked = Database::open(path, Database::Access::ReadOnly, durability);
        if (looked) {
            const auto version = looked->schemaVersion();
            if (version && *version > static_cast<int>(migrations.size())) {
                if (auto refused = looked->migrate(migrations); !refused)
                    return Err{refused.error()};
            }
        } else if (looked.error().kind == StorageError::Kind::Corrupt) {
            return looked;
        }
    }
    auto database = Database::open(path, Database::Access::ReadWrite, durability);
    if (!database) return database;
    if (auto done = database->migrate(migrations); !done) return Err{done.error()};
    return database;
}

/// Moves the file and its companions out of the way. Returns where it is now; empty if it stayed.
std::string setAside(const std::string& path)
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count();
    std::string kept = path + ".corrupt-" + std::to_string(seconds);
    for (int number = 1; std::filesystem::exists(kept) && number < 1000; ++number) {
        kept = path + ".corrupt-" + std::to_string(seconds) + '-' + std::to_string(number);
    }
    std::error_code failed;
    std::filesystem::rename(path, kept, failed);
    if (failed) return {};
    for (const char* companion : {"-wal", "-shm"}) {
        std::error_code ignored;
        std::filesystem::rename(path + companion, kept + companion, ignored);
    }
    return kept;
}

OpenedDatabase readOnly(const std::string& path, std::span<const Migration> migrations,
                        Database::Durability durability, const std::string& why)
{
    auto database = Database::open(path, Database::Access::ReadOnly, durability);
    if (database) {
        const auto version = database->schemaVersion();
        // Older than the program and not to be migrated: its tables cannot be relied on.
        if (version && *version >= static_cast<int>(migrations.size())) {
            return {std::make_unique<Database>(std::move(*database)), false,
                    why +
                        " It is read but not changed; new rules and history last until the program "
                        "ends."};
        }
    }
    return {nullptr, false, why + " The router runs; rules and history last until it ends."};
}

}  // namespace

OpenedDatabase openOrRepair(const std::string& path, std::span<const Migration> migrations,
                            Database::Durability durability, bool keepsBackup)
{
    auto database = openAndMigrate(path, migrations, durability);
    std::string message;
    if (!database && database.error().kind == StorageError::Kind::Corrupt) {
        message = database.error().sentence;
        const std::string kept = setAside(path);
        if (kept.empty()) return readOnly(path, migrations, durability, message);
        message += " It was kept as " + kept;
        const std::string backup = path + ".backup";
        std::error_code failed;
        bool restored = false;
        if (keepsBackup && std::filesystem::exists(backup)) {
            std::filesystem::copy_file(backup, path, failed);
            if (!failed) {
                database = openAndMigrate(path, migrations, durability);
                restored = database.has_value();
            }
            if (!restored) setAside(path);
        }
        if (!restored) database = openAndMigrate(path, migrations, durability);
        message += restored ? " and the last backup is used." : " and an empty one is used.";
    }
    if (!database) return readOnly(path, migrations, durability, database.error().sentence);
    if (keepsBackup && message.empty()) {
        if (const auto done = database->backUpTo(path + ".backup"); !done) {
            message = "No backup was made. " + done.error().sentence;
        }
    }
    return {std::make_unique<Database>(std::move(*database)), true, message};
}

}  // namespace app::storage
