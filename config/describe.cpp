// The table of model groups and deployments that is shown at start and by `check`.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/base_url.hpp"
#include "config/load.hpp"

namespace spillway::config {

namespace {

constexpr std::size_t kColumns = 6;
using Row = std::array<std::string, kColumns>;

// Names may come with anything in them; a table has lines.
std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

// Code points, which is near enough to columns.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

Row row(const Config& config, const Deployment& deployment) {
  const bool placed = !deployment.origin.host.empty();
  return {one_line(config.at(deployment.group).name),
          one_line(deployment.id),
          one_line(deployment.provider),
          one_line(deployment.model),
          placed ? to_string(deployment.origin) : "-",
          deployment.usable() ? "ready" : "left out: " + one_line(deployment.unusable)};
}

}  // namespace

std::string describe(const Config& config) {
  std::vector<Row> rows{{"MODEL", "DEPLOYMENT", "PROVIDER", "UPSTREAM MODEL", "ORIGIN", "STATE"}};
  for (const ModelGroup& group : config.groups) {
    for (const auto* list : {&group.deployments, &group.left_out}) {
      for (const DeploymentIndex index : *list) rows.push_back(row(config, config.at(index)));
    }
  }
  std::array<std::size_t, kColumns> widths{};
  for (const Row& cells : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], width(cells[i]));
  }
  std::string out;
  for (const Row& cells : rows) {
    for (std::size_t i = 0; i + 1 < kColumns; ++i) {
      out += cells[i] + std::string(widths[i] - width(cells[i]) + 2, ' ');
    }
    out += cells.back() + '\n';
  }
  return out;
}

bool any_usable(const Config& config) {
  return std::any_of(config.deployments.begin(), config.deployments.end(),
                     [](const Deployment& deployment) { return deployment.usable(); });
}

}  // namespace spillway::config
