#include "config/variables.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "config/bounds.hpp"
#include "config/document.hpp"

namespace spillway::config {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileSuffix = "_FILE";

bool anybody_may_read(const fs::path& file) {
  std::error_code error;
  const fs::perms permissions = fs::status(file, error).permissions();
  return !error && (permissions & fs::perms::others_read) != fs::perms::none;
}

}  // namespace

Variables::Variables(Environment values, Report& report)
    : values_(std::move(values)), report_(&report) {}

std::optional<std::string> Variables::find(std::string_view name) const {
  const bool here = is_set(name);
  const auto in_file = from_file(std::string(name), here);
  return here ? values_.find(name)->second : in_file;
}

bool Variables::is_set(std::string_view name) const {
  const auto found = values_.find(name);
  return found != values_.end() && !found->second.empty();
}

std::string Variables::source(std::string_view name) const {
  return fmt::format("{}{}", name, is_set(name) ? "" : kFileSuffix);
}

void Variables::set(const std::string& name, std::string value) {
  values_[name] = std::move(value);
}

std::optional<std::string> Variables::from_file(const std::string& name, bool also_set) const {
  const auto file = values_.find(name + std::string(kFileSuffix));
  if (file == values_.end() || file->second.empty()) return std::nullopt;
  const auto known = files_.find(name);
  if (known != files_.end()) return known->second;
  std::optional<std::string> value;
  if (also_set) {
    report_->fault({}, file->first, fmt::format("is set and so is {}; which counts?", name));
  } else {
    value = read(file->first, file->second);
  }
  return files_.emplace(name, std::move(value)).first->second;
}

std::optional<std::string> Variables::read(const std::string& name, const std::string& file) const {
  auto text = read_text(file);
  if (!text) {
    report_->fault({}, name, fmt::format("{} {}", file, text.error()));
    return std::nullopt;
  }
  if (text->size() > kMaxSecretBytes) {
    report_->fault({}, name, fmt::format("{} is larger than {} KiB", file, kMaxSecretBytes / 1024));
    return std::nullopt;
  }
  while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
  if (text->empty()) {
    report_->fault({}, name, fmt::format("{} is empty", file));
    return std::nullopt;
  }
  if (anybody_may_read(file)) {
    report_->warn(
        {}, name,
        fmt::format("{} can be read by every user of this machine; 0400 is enough", file));
  }
  return *std::move(text);
}

}  // namespace spillway::config
