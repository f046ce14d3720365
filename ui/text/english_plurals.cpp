#include "ui/text/english_plurals.h"

#include <QCoreApplication>

namespace ui {

QString EnglishPlurals::translate(const char* /*context*/, const char* source,
                                  const char* /*disambiguation*/, int n) const
{
    if (n < 0) return {};
    QString text = QString::fromUtf8(source);
    if (!text.contains(QLatin1String("(s)"))) return {};
    return text.replace(QLatin1String("(s)"), n == 1 ? QString() : QStringLiteral("s"));
}

void installEnglishPlurals()
{
    QCoreApplication* application = QCoreApplication::instance();
    if (application == nullptr || application->findChild<EnglishPlurals*>() != nullptr) return;
    QCoreApplication::installTranslator(new EnglishPlurals(application));
}

}  // namespace ui
