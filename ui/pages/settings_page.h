#pragma once

#include "ui/pages/host_card.h"
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
    void setHost(const HostHoldings& holdings) { m_host->setHoldings(holdings); }
    void setSnapshot(const engine::Snapshot& snapshot) { m_host->setSnapshot(snapshot); }
    void setVersions(const std::vector<VersionLine>& lines);

Q_SIGNALS:
    void changed(const ui::WindowSettings& settings);
    void restoreAsked();

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
    HostCard* m_host;
    Card* m_about;
    QGridLayout* m_versions;
    int m_versionRows = 0;
};

}  // namespace ui
