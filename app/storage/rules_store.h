#pragma once

#include "app/rules.h"
#include "app/storage/database.h"

namespace app::storage {

/// rules.db: what the user has decided. A save is on the disk when it returns success.
class RulesStore {
public:
    /// Empty `directory`: nothing is kept beyond this process.
    static RulesStore openIn(const std::string& directory);

    /// Empty if all is well; else what happened to the database, for people.
    [[nodiscard]] const std::string& message() const { return m_message; }

    /// Rows that no version of this program could have written are left out, not guessed at.
    [[nodiscard]] engine::Result<Rules, StorageError> load();
    /// Saves what the command changes; the caller passes the rules after it.
    engine::Result<void, StorageError> save(const Rules& rules, const engine::Command& command);
    engine::Result<void, StorageError> saveSettings(const Settings& settings);
    engine::Result<void, StorageError> saveDeviceName(const engine::net::MacAddress& device,
                                                      const std::string& name);

private:
    explicit RulesStore(OpenedDatabase opened);
    engine::Result<void, StorageError> changed(
        const std::function<engine::Result<void, StorageError>()>& work);

    OpenedDatabase m_opened;
    std::string m_message;
};

}  // namespace app::storage
