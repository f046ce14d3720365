#pragma once

#include <QTranslator>

namespace ui {

/// Turns "%n tunnel(s)" of the source language into "1 tunnel" and "4 tunnels". A real translation
/// that is installed later comes first.
class EnglishPlurals final : public QTranslator {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(EnglishPlurals)

public:
    explicit EnglishPlurals(QObject* parent = nullptr) : QTranslator(parent) {}
    [[nodiscard]] bool isEmpty() const override { return false; }
    [[nodiscard]] QString translate(const char* context, const char* source,
                                    const char* disambiguation, int n) const override;
};

/// Once per application; safe to call again.
void installEnglishPlurals();

}  // namespace ui
