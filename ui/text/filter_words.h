#pragma once

#include <QString>

#include <vector>

/// What is typed into a filter field.
namespace ui {

struct FilterWord {
    QString text;
    bool excluded = false;  ///< rows that have it are left out
    friend bool operator==(const FilterWord&, const FilterWord&) = default;
};

/// Words between spaces; quotes hold several together, a minus in front leaves out.
[[nodiscard]] std::vector<FilterWord> filterWords(const QString& typed);
/// That text as one word of a filter.
[[nodiscard]] QString asFilterWord(const QString& text, bool excluded);

}  // namespace ui
