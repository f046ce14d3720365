#include "ui/text/filter_words.h"

namespace ui {

std::vector<FilterWord> filterWords(const QString& typed)
{
    std::vector<FilterWord> words;
    FilterWord word;
    bool quoted = false;
    const auto finish = [&] {
        if (!word.text.isEmpty()) words.push_back(word);
        word = {};
    };
    for (const QChar c : typed) {
        if (c == QLatin1Char('"')) {
            quoted = !quoted;
        } else if (c == QLatin1Char('-') && !quoted && word.text.isEmpty() && !word.excluded) {
            word.excluded = true;
        } else if (c.isSpace() && !quoted) {
            finish();
        } else {
            word.text += c;
        }
    }
    finish();
    return words;
}

QString asFilterWord(const QString& text, bool excluded)
{
    QString plain = text;
    plain.remove(QLatin1Char('"'));
    const bool quotes = plain.contains(QLatin1Char(' ')) || plain.startsWith(QLatin1Char('-'));
    return (excluded ? QStringLiteral("-") : QString()) +
           (quotes ? QLatin1Char('"') + plain + QLatin1Char('"') : plain);
}

}  // namespace ui
