// One map of the configuration, read key by key: whatever nobody asked for is told at the end.
//
// Asking for a key makes it known, with the type it was asked as; a value of another type is a
// fault at its place. The names asked for are also what a misspelt key is compared with.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/environment.hpp"
#include "config/node.hpp"
#include "config/report.hpp"
#include "core/config.hpp"
#include "core/time.hpp"

namespace spillway::config {

// What every step of loading reads from and reports to.
struct Context {
  Report& report;
  Variables variables;

  void fault(const Node& node, std::string message) const;
  // About a value that is not shown: names the variable that it comes from, if it does.
  void fault_of_value(const Node& node, std::string_view message) const;
  void warn(const Node& node, std::string message) const;
};

// What a variable that is not set means: an operator's setting that then keeps its default, or a
// deployment that cannot be used and has to know the name.
enum class OnMissing : std::uint8_t { warn, fault, collect };

template <typename T>
struct Range {
  T least;
  T most;
};

class Section {
 public:
  // `node` may be null or nothing (an empty section); anything but a map is a fault and reads as
  // empty.
  Section(const Node* node, Context& context, OnMissing on_missing = OnMissing::warn);

  // The key's value unless it is absent or null. The key is known from here on.
  const Node* get(std::string_view key);
  bool has(std::string_view key) const;
  // The same with null; nullptr only if absent.
  const Node* member(std::string_view key);

  std::optional<std::string> text(std::string_view key);
  // A text that others wrote for others, in which a ${ need not be meant for us: a warning.
  std::optional<std::string> free_text(std::string_view key);
  // A text that names a file; nobody has looked whether it is there.
  std::optional<NamedFile> file(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::uint64_t> count(std::string_view key, Range<std::uint64_t> range);
  std::optional<double> number(std::string_view key, Range<double> range);
  std::optional<Duration> time(std::string_view key, Range<Duration> range);
  std::optional<std::uint64_t> size(std::string_view key, Range<std::uint64_t> range);
  // A list of texts; a single text is a list of one.
  std::optional<std::vector<std::string>> texts(std::string_view key);
  // A list's items; nullptr if absent. Anything but a list is a fault.
  const std::vector<Node>* list(std::string_view key);
  // A map, or nullptr.
  const Node* map(std::string_view key);

  // Keys that exist in LiteLLM: each one present is a warning ("is not supported"). They outlive
  // the section.
  void unsupported(std::span<const std::string_view> keys);
  // Keys that need no reaction. They outlive the section.
  void ignore(std::span<const std::string_view> keys);

  // Members nobody asked for.
  std::vector<const Member*> rest() const;
  // Each of the rest is a fault, with the nearest known key.
  void finish();

  std::vector<std::string_view> known() const;
  // The variable that was missing first, when they are collected.
  const std::string& missing() const { return missing_; }

  // A free text with its environment references replaced; nullopt after reporting or collecting
  // what is missing.
  std::optional<std::string> resolve(const Node& scalar);

 private:
  // The same of a setting's value, in which a ${ without a variable is a fault.
  std::optional<std::string> resolve_setting(const Node& scalar);
  template <typename T, typename Parse>
  std::optional<T> parsed(std::string_view key, Parse parse, std::string_view expected);
  template <typename T>
  std::optional<T> within(std::string_view key, std::optional<T> value, Range<T> range,
                          std::string (*format)(T));

  const Node* node_;
  Context& context_;
  OnMissing on_missing_;
  bool knows(std::string_view key) const;

  // A map has few members, so a look through all that is known for each of them is less than to
  // keep what is known in order.
  std::vector<std::string_view> asked_;
  std::vector<std::span<const std::string_view>> lists_;
  std::string missing_;
};

// A value as it may be quoted in a message: "\"abc\"", or "a value that is not shown" if its key
// may hold a secret.
std::string shown(const Node& node);

// True for api_key, master_key, anything that ends in _key, holds "token" or "password", for header
// values and for redis_url.
bool may_be_secret(std::string_view path);

}  // namespace spillway::config
