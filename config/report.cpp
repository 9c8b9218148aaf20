#include "config/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "config/bounds.hpp"

namespace spillway::config {

namespace {

std::vector<Notice> sorted(std::vector<Notice> notices, const std::vector<std::string>& names) {
  const auto position = [&](const Notice& notice) {
    const auto file = std::find(names.begin(), names.end(), notice.file) - names.begin();
    return std::tuple(file, notice.line, notice.column);
  };
  std::stable_sort(notices.begin(), notices.end(),
                   [&](const Notice& a, const Notice& b) { return position(a) < position(b); });
  // A default is read for every deployment that has it, and said once.
  notices.erase(std::unique(notices.begin(), notices.end()), notices.end());
  return notices;
}

}  // namespace

std::uint32_t Report::add_file(std::string name) {
  names_.push_back(std::move(name));
  return static_cast<std::uint32_t>(names_.size() - 1);
}

void Report::add(std::vector<Notice>& list, Severity severity, const Place& place,
                 std::string_view path, std::string message) {
  if (list.size() > kMaxNotices) return;
  if (list.size() == kMaxNotices) message = "and more that is not listed";
  list.push_back({.severity = severity,
                  .file = names_[place.file],
                  .line = place.line,
                  .column = place.column,
                  .path = std::string(path),
                  .message = std::move(message)});
}

std::string Report::describe(const Place& place, std::string_view path) const {
  return to_string({.file = names_[place.file],
                    .line = place.line,
                    .column = place.column,
                    .path = std::string(path),
                    .message = {}});
}

void Report::fault(const Place& place, std::string_view path, std::string message) {
  add(faults_, Severity::fault, place, path, std::move(message));
}

void Report::warn(const Place& place, std::string_view path, std::string message) {
  add(warnings_, Severity::warning, place, path, std::move(message));
}

std::vector<Notice> Report::take_faults() {
  return sorted(std::exchange(faults_, {}), names_);
}

std::vector<Notice> Report::take_warnings() {
  return sorted(std::exchange(warnings_, {}), names_);
}

std::string to_string(const Notice& notice) {
  std::string out = notice.file;
  if (!notice.file.empty() && notice.line > 0) {
    out += fmt::format(":{}:{}", notice.line, std::max(notice.column, 1));
  }
  for (const std::string& part : {notice.path, notice.message}) {
    if (part.empty()) continue;
    if (!out.empty()) out += ": ";
    out += part;
  }
  return out;
}

}  // namespace spillway::config
