#pragma once

#include "ui/pages/page_frame.h"
#include "ui/values/message.h"
#include "ui/values/window_settings.h"

#include <vector>

class QCheckBox;
class QGridLayout;
class QSpinBox;

namespace ui {

/// "How should this program behave?" Everything here acts at once.
class SettingsPage final : public PageFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(SettingsPage)

public:
    explicit SettingsPage(QWidget* parent);
    void setSettings(const WindowSettings& settings);
    void setVersions(const std::vector<VersionLine>& lines);

Q_SIGNALS:
    void changed(const ui::WindowSettings& settings);

private:
    void change(const WindowSettings& settings);

    WindowSettings m_settings;
    SegmentedSwitch* m_theme;
    SegmentedSwitch* m_units;
    SegmentedSwitch* m_rates;
    SegmentedSwitch* m_motion;
    SegmentedSwitch* m_onLive;
    SafeLabel* m_onLiveWords;
    QSpinBox* m_days;
    QSpinBox* m_megabytes;
    Card* m_about;
    QGridLayout* m_versions;
    int m_versionRows = 0;
};

}  // namespace ui
