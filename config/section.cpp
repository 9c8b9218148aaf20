#include "config/section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/scalars.hpp"
#include "config/suggest.hpp"

namespace spillway::config {

namespace {

std::string format_count(std::uint64_t value) {
  return fmt::format("{}", value);
}
std::string format_number(double value) {
  return fmt::format("{}", value);
}
std::string format_bytes(std::uint64_t value) {
  return fmt::format("{} bytes", value);
}

bool secret_segment(std::string_view segment) {
  const auto has = [&](std::string_view part) {
    return segment.find(part) != std::string_view::npos;
  };
  return segment == "key" || segment == "keys" || segment.ends_with("_key") ||
         (has("token") && !segment.ends_with("tokens")) || has("password") || has("secret") ||
         has("credential") || has("headers") || segment.starts_with("environment_variables") ||
         segment == "redis_url";
}

}  // namespace

bool may_be_secret(std::string_view path) {
  std::string folded(path);
  for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  const std::string_view view = folded;
  for (std::size_t begin = 0; begin <= view.size();) {
    const std::size_t end = std::min(view.find_first_of(".[", begin), view.size());
    if (secret_segment(view.substr(begin, end - begin))) return true;
    begin = end + 1;
  }
  return false;
}

std::string shown(const Node& node) {
  if (node.kind != NodeKind::scalar) return std::string(kind_name(node));
  if (may_be_secret(node.path)) return "a value that is not shown";
  // Several lines are a slip of indentation, and may have swallowed a neighbour that is secret.
  if (node.text.find('\n') != std::string::npos) return "a text of several lines";
  constexpr std::size_t kLongest = 60;
  const bool cut = node.text.size() > kLongest;
  return fmt::format("\"{}{}\"", node.text.substr(0, kLongest), cut ? "..." : "");
}

void Context::fault(const Node& node, std::string message) const {
  report.fault(node.place, node.path, std::move(message));
}

void Context::fault_of_value(const Node& node, std::string_view message) const {
  fault(node, fmt::format("{}{}", message, told_source(node.text, variables)));
}

void Context::warn(const Node& node, std::string message) const {
  report.warn(node.place, node.path, std::move(message));
}

Section::Section(const Node* node, Context& context, OnMissing on_missing)
    : node_(node), context_(context), on_missing_(on_missing) {
  if (node_ == nullptr || node_->kind == NodeKind::map) return;
  if (node_->kind != NodeKind::null) {
    context_.fault(*node_, fmt::format("must be a map, not {}", kind_name(*node_)));
  }
  node_ = nullptr;
}

const Node* Section::get(std::string_view key) {
  asked_.push_back(key);
  const Node* value = node_ == nullptr ? nullptr : node_->find(key);
  return value == nullptr || value->kind == NodeKind::null ? nullptr : value;
}

const Node* Section::member(std::string_view key) {
  asked_.push_back(key);
  return node_ == nullptr ? nullptr : node_->find(key);
}

bool Section::has(std::string_view key) const {
  return node_ != nullptr && node_->find(key) != nullptr;
}

std::optional<std::string> Section::resolve_setting(const Node& scalar) {
  std::string wrong = malformed_reference(scalar.text);
  if (wrong.empty()) return resolve(scalar);
  context_.fault(scalar, std::move(wrong));
  return std::nullopt;
}

std::optional<std::string> Section::resolve(const Node& scalar) {
  if (std::string wrong = malformed_reference(scalar.text); !wrong.empty())
    context_.warn(scalar, std::move(wrong));
  auto value = substitute_environment(scalar.text, context_.variables);
  if (value) return *value;
  const std::string& name = value.error().name;
  switch (on_missing_) {
    case OnMissing::warn:
      context_.warn(scalar, fmt::format("{} is not set; the default is used", name));
      break;
    case OnMissing::fault:
      context_.fault(scalar, fmt::format("{} is not set", name));
      break;
    case OnMissing::collect:
      if (missing_.empty()) missing_ = name;
      break;
  }
  return std::nullopt;
}

template <typename T, typename Parse>
std::optional<T> Section::parsed(std::string_view key, Parse parse, std::string_view expected) {
  const Node* node = get(key);
  if (node == nullptr) return std::nullopt;
  if (node->kind == NodeKind::scalar) {
    const auto value = resolve_setting(*node);
    if (!value) return std::nullopt;
    if (auto result = parse(*value)) return result;
  }
  const bool hidden = node->kind == NodeKind::scalar && may_be_secret(node->path);
  if (hidden)
    context_.fault_of_value(*node, fmt::format("must be {}", expected));
  else
    context_.fault(*node, fmt::format("must be {}, not {}", expected, shown(*node)));
  return std::nullopt;
}

template <typename T>
std::optional<T> Section::within(std::string_view key, std::optional<T> value, Range<T> range,
                                 std::string (*format)(T)) {
  if (!value || (*value >= range.least && *value <= range.most)) return value;
  context_.fault(*get(key),
                 fmt::format("must be between {} and {}", format(range.least), format(range.most)));
  return std::nullopt;
}

std::optional<std::string> Section::text(std::string_view key) {
  return parsed<std::string>(
      key, [](const std::string& value) { return std::optional(value); }, "a text");
}

std::optional<std::string> Section::free_text(std::string_view key) {
  const Node* node = get(key);
  return node != nullptr && node->kind == NodeKind::scalar ? resolve(*node) : text(key);
}

std::optional<NamedFile> Section::file(std::string_view key) {
  const auto path = text(key);
  if (!path) return std::nullopt;
  const Node& node = *get(key);
  return NamedFile{.path = *path, .setting = context_.report.describe(node.place, node.path)};
}

std::optional<bool> Section::boolean(std::string_view key) {
  return parsed<bool>(key, parse_boolean, "true or false");
}

std::optional<std::uint64_t> Section::count(std::string_view key, Range<std::uint64_t> range) {
  return within(key, parsed<std::uint64_t>(key, parse_count, "a whole number of 0 or more"), range,
                format_count);
}

std::optional<double> Section::number(std::string_view key, Range<double> range) {
  return within(key, parsed<double>(key, parse_number, "a number"), range, format_number);
}

std::optional<Duration> Section::time(std::string_view key, Range<Duration> range) {
  const auto value = parsed<Duration>(key, parse_time,
                                      "a time such as 250ms, 5s or 2m (a bare number is seconds)");
  return within(key, value, range, format_time);
}

std::optional<std::uint64_t> Section::size(std::string_view key, Range<std::uint64_t> range) {
  const auto value = parsed<std::uint64_t>(
      key, parse_size, "a size such as 64KiB or 32MiB (a bare number is bytes)");
  return within(key, value, range, format_bytes);
}

std::optional<std::vector<std::string>> Section::texts(std::string_view key) {
  const Node* node = get(key);
  if (node == nullptr) return std::nullopt;
  std::vector<std::string> out;
  const std::vector<Node> single{*node};
  for (const Node& item : node->kind == NodeKind::sequence ? node->items : single) {
    if (item.kind != NodeKind::scalar) {
      context_.fault(item, fmt::format("must be a text, not {}", kind_name(item)));
    } else if (auto value = resolve_setting(item)) {
      out.push_back(std::move(*value));
    }
  }
  return out;
}

const std::vector<Node>* Section::list(std::string_view key) {
  const Node* node = get(key);
  if (node == nullptr) return nullptr;
  if (node->kind == NodeKind::sequence) return &node->items;
  context_.fault(*node, fmt::format("must be a list, not {}", shown(*node)));
  return nullptr;
}

const Node* Section::map(std::string_view key) {
  const Node* node = get(key);
  if (node == nullptr || node->kind == NodeKind::map) return node;
  context_.fault(*node, fmt::format("must be a map, not {}", shown(*node)));
  return nullptr;
}

void Section::unsupported(std::span<const std::string_view> keys) {
  lists_.push_back(keys);
  if (node_ == nullptr) return;
  for (const Member& member : node_->members) {
    if (std::find(keys.begin(), keys.end(), member.key) == keys.end()) continue;
    context_.report.warn(member.place, member.value.path, "is not supported yet and has no effect");
  }
}

void Section::ignore(std::span<const std::string_view> keys) {
  lists_.push_back(keys);
}

std::vector<std::string_view> Section::known() const {
  std::vector<std::string_view> out = asked_;
  for (const auto keys : lists_) out.insert(out.end(), keys.begin(), keys.end());
  return out;
}

bool Section::knows(std::string_view key) const {
  const auto holds = [&](std::span<const std::string_view> keys) {
    return std::ranges::find(keys, key) != keys.end();
  };
  return holds(asked_) || std::ranges::any_of(lists_, holds);
}

std::vector<const Member*> Section::rest() const {
  std::vector<const Member*> out;
  if (node_ == nullptr) return out;
  for (const Member& member : node_->members) {
    if (!knows(member.key)) out.push_back(&member);
  }
  return out;
}

void Section::finish() {
  const std::vector<const Member*> unknown = rest();
  if (unknown.empty()) return;
  const std::vector<std::string_view> names = known();
  for (const Member* member : unknown) {
    context_.report.fault(member->place, member->value.path,
                          "unknown key" + did_you_mean(member->key, names));
  }
}

}  // namespace spillway::config
