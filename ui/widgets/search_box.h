#pragma once

#include "ui/widgets/building_blocks.h"

#include <QLineEdit>
#include <QListWidget>

#include <functional>
#include <vector>

namespace ui {

/// Something that can be gone to.
struct SearchEntry {
    QString kind;    ///< "Page", "Device"…
    QString title;   ///< safe already
    QString detail;  ///< muted words that are searched, too
    std::function<void()> open;
};

/// One field and one list over the window: every word typed must occur in an entry. The keyboard
/// never leaves the field: up and down choose, Return opens, Escape goes.
class SearchBox final : public QFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(SearchBox)

public:
    explicit SearchBox(QWidget* parent);
    /// Shows itself over the parent with these entries, which are kept until it goes.
    void open(std::vector<SearchEntry> entries);
    [[nodiscard]] QLineEdit* field() { return m_field; }
    [[nodiscard]] QListWidget* list() { return m_list; }

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    void find();
    void choose(int step);
    void openChosen();

    QLineEdit* m_field;
    QListWidget* m_list;
    SafeLabel* m_none;
    std::vector<SearchEntry> m_entries;
};

}  // namespace ui
