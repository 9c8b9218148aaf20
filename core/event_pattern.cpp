#include "core/event_pattern.hpp"

#include <limits>

#include "core/bounds.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

static_assert(bounds::kEventPatternBytes <= std::numeric_limits<std::uint16_t>::max());

// Takes `expected` off the front of `json`; false: something else stands there.
bool take(std::string_view& json, std::string_view expected) {
  if (!json.starts_with(expected)) return false;
  json.remove_prefix(expected.size());
  return true;
}

// Takes a string literal that is not empty off the front of `json`. Empty: none stands there.
std::string_view take_string(std::string_view& json) {
  if (!json.starts_with('"')) return {};  // the cursor would pass white space before one
  JsonCursor cursor(json);
  JsonString text;
  if (!cursor.read_string(text) || text.raw.empty()) return {};
  const std::string_view literal = json.substr(0, cursor.offset());
  json.remove_prefix(literal.size());
  return literal;
}

// It says nothing but what match() makes up again: what varies is all the text there is, and stands
// between the id and the obfuscation.
bool is_ordinary(const EventFacts& facts) {
  const bool ends = facts.finished.any() || facts.usage.known;
  if (facts.error || ends || facts.choices != ChoiceSet(1)) return false;
  if (facts.said.empty() || !facts.type.empty() || !facts.role.empty()) return false;
  const bool other_text = !facts.text.empty() && facts.text.data() != facts.said.data();
  return !other_text && (facts.id.empty() || facts.id.data() < facts.said.data()) &&
         (facts.obfuscation.empty() || facts.said.data() < facts.obfuscation.data());
}

}  // namespace

std::optional<EventFacts> EventPattern::match(std::string_view json) const {
  std::optional<EventFacts> facts;
  const std::string_view fixed = fixed_;
  std::string_view rest = json;
  if (fixed.empty() || !take(rest, fixed.substr(0, said_at_))) return facts;
  const std::string_view said = take_string(rest);
  if (said.empty() || !take(rest, fixed.substr(said_at_, obfuscation_at_ - said_at_))) return facts;
  if (obfuscation_at_ < fixed.size() && take_string(rest).empty()) return facts;
  if (rest != fixed.substr(obfuscation_at_)) return facts;

  facts.emplace();
  facts->object = facts->has_choices = facts->content = true;
  facts->choices.set(0);
  facts->plain = plain_;
  facts->id = json.substr(id_at_, id_size_);
  if (text_) facts->text = said;
  return facts;
}

void EventPattern::learn(std::string_view json, const EventFacts& facts) {
  fixed_.clear();
  if (json.size() > bounds::kEventPatternBytes || !is_ordinary(facts)) return;
  const auto offset = [json](std::string_view literal) {
    return static_cast<std::uint16_t>(literal.data() - json.data());
  };
  said_at_ = offset(facts.said);
  id_at_ = facts.id.empty() ? std::uint16_t{0} : offset(facts.id);
  id_size_ = static_cast<std::uint16_t>(facts.id.size());
  text_ = !facts.text.empty();
  plain_ = facts.plain;

  const std::size_t behind_said = said_at_ + facts.said.size();
  const std::size_t obfuscation =
      facts.obfuscation.empty() ? json.size() : offset(facts.obfuscation);
  fixed_.reserve(json.size() - facts.said.size() - facts.obfuscation.size());
  fixed_.append(json, 0, said_at_).append(json, behind_said, obfuscation - behind_said);
  obfuscation_at_ = static_cast<std::uint16_t>(fixed_.size());
  fixed_.append(json, obfuscation + facts.obfuscation.size());
}

}  // namespace spillway
