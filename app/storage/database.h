#pragma once

#include "app/storage/storage_error.h"
#include "engine/base/result.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace app::storage {

/// One numbered step of a schema. Numbers start at 1 and have no holes.
struct Migration {
    int number = 0;
    std::string_view name;
    std::string_view sql;
};

/// The steps compiled in from resources/sql/, in order.
[[nodiscard]] std::span<const Migration> rulesMigrations();
[[nodiscard]] std::span<const Migration> historyMigrations();

/// A value bound to a `?`; text and octets are copied when bound.
using Value =
    std::variant<std::nullptr_t, std::int64_t, std::string_view, std::span<const std::uint8_t>>;

/// One row of an answer, valid only inside the call it is handed to. Missing values are 0 and "".
class Row {
public:
    explicit Row(sqlite3_stmt* statement) : m_statement(statement) {}
    [[nodiscard]] bool isNull(int column) const;
    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] std::string text(int column) const;
    [[nodiscard]] std::vector<std::uint8_t> octets(int column) const;

private:
    sqlite3_stmt* m_statement;
};

/// An SQLite database. Owns the connection and its prepared statements. One thread at a time.
/// Statements must be string literals: they are prepared once and kept.
class Database {
public:
    enum class Durability : std::uint8_t {
        Full,    ///< a commit is on the disk when run() returns
        Normal,  ///< the last moments may be lost with the power, never the consistency
    };
    enum class Access : std::uint8_t { ReadWrite, ReadOnly };

    /// Opens or creates the file, hardens the connection and checks the whole file. Does not look
    /// at the schema. An empty path makes a database in memory.
    static engine::Result<Database, StorageError> open(const std::string& path, Access access,
                                                       Durability durability);
    ~Database();
    Database(Database&& other) noexcept;
    Database& operator=(Database&& other) noexcept;
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    /// Brings the schema up to date, each step in a transaction of its own. A schema newer than the
    /// last migration is refused and not touched.
    engine::Result<void, StorageError> migrate(std::span<const Migration> migrations);
    [[nodiscard]] engine::Result<int, StorageError> schemaVersion();

    engine::Result<void, StorageError> run(std::string_view sql, std::vector<Value> values = {});
    engine::Result<void, StorageError> query(std::string_view sql, std::vector<Value> values,
                                             const std::function<void(const Row&)>& row);
    /// Everything in `work` or nothing.
    engine::Result<void, StorageError> transaction(
        const std::function<engine::Result<void, StorageError>()>& work);
    [[nodiscard]] std::int64_t lastRowId() const;
    /// A copy of everything that is committed, complete or absent.
    engine::Result<void, StorageError> backUpTo(const std::string& path);

private:
    explicit Database(sqlite3* connection, std::string path);
    engine::Result<void, StorageError> script(std::string_view sql);
    engine::Result<sqlite3_stmt*, StorageError> prepared(std::string_view sql);
    [[nodiscard]] StorageError lastError() const;

    sqlite3* m_connection = nullptr;
    std::string m_path;
    std::unordered_map<std::string_view, sqlite3_stmt*> m_statements;
};

/// A database that is ready for use, or as ready as it can be, and what people should know.
struct OpenedDatabase {
    std::unique_ptr<Database> database;  ///< null: nothing can be kept
    bool writable = false;
    std::string message;  ///< empty: all is well
};

/// Opens, checks and migrates. A corrupt file is set aside (`NAME.corrupt-SECONDS`) and replaced by
/// the last backup (`NAME.backup`) or a fresh one; a newer one is opened for reading only; one that
/// cannot be written is opened for reading only. Never throws the user's file away. A file that was
/// found good is backed up when `keepsBackup`.
[[nodiscard]] OpenedDatabase openOrRepair(const std::string& path,
                                          std::span<const Migration> migrations,
                                          Database::Durability durability, bool keepsBackup);

}  // namespace app::storage
