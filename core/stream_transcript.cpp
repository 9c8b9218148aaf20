#include "core/stream_transcript.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/body.hpp"
#include "core/bounds.hpp"
#include "core/free_text.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";
constexpr std::string_view kSpace = " \t\r\n";

// Bytes. A continuation seldom begins with what its own text began with; somebody who answers anew
// in other words soon differs. Whoever is wrongly doubted is only asked once more.
constexpr std::size_t kTellingBytes = 4;

// Appends what a literal says, if there is one. False: it may have half of a surrogate pair, whose
// other half comes in another event.
bool append_text(std::string_view literal, std::string& out) {
  const std::optional<JsonString> text = read_literal(literal);
  if (!text) return true;
  const std::size_t before = out.size();
  text->append_to(out);
  return !text->escaped || text->raw.find("\\u") == std::string_view::npos ||
         out.find(kReplacementCharacter, before) == std::string::npos;
}

// A member of an object, with the comma that would be left over without it.
std::string_view with_comma(std::string_view data, std::string_view member) {
  const auto begin = static_cast<std::size_t>(member.data() - data.data());
  const std::size_t end = begin + member.size();
  const std::size_t next = data.find_first_not_of(kSpace, end);
  if (data[next] == ',') return data.substr(begin, next + 1 - begin);
  const std::size_t previous = data.find_last_not_of(kSpace, begin - 1);
  return data[previous] == ',' ? data.substr(previous, end - previous) : member;
}

}  // namespace

void StreamTranscript::forsake() {
  resumable_ = false;
  free_text(text_);
}

void StreamTranscript::begin_leg(Resume resume) {
  if (resume == Resume::no) {  // whatever came before was not sent
    id_.clear();
    text_.clear();
    resumable_ = true;
  }
  resume_ = resume;
  said_more_ = false;
  matched_ = resume == Resume::prefix ? text_.size() : 0;
  caught_up_ = resume != Resume::afresh || text_.empty();
  trusted_ = resume != Resume::prefix || text_.empty();
  withheld_.clear();
}

StreamTranscript::Step StreamTranscript::take(const EventFacts& facts, std::string_view data,
                                              std::string& replacement) {
  return resuming() ? go_on(facts, data, replacement) : take_down(facts);
}

StreamTranscript::Step StreamTranscript::take_down(const EventFacts& facts) {
  if (!resumable_) return Step::pass;
  if (id_.empty()) id_ = facts.id;
  const bool exact = append_text(facts.text, text_);
  if (!facts.plain || !exact || is_over(facts)) forsake();
  return Step::pass;
}

StreamTranscript::Step StreamTranscript::go_on(const EventFacts& facts, std::string_view data,
                                               std::string& replacement) {
  std::string text;
  const bool exact = append_text(facts.text, text);
  if (!facts.plain || (!caught_up_ && !exact)) return Step::diverged;
  std::string rest = text;
  const bool may_go_on = trusted_ ? pass_over_sent(rest) : sound_out(rest);
  const bool finished = facts.finished.any();
  if (!may_go_on || (finished && !caught_up_)) return Step::diverged;
  // Roles and filter results were said by the first leg.
  if (rest.empty() && !finished && !said_more_) return Step::swallow;
  said_more_ = true;
  const bool as_it_came = rest == text;
  replacement = rewrite(facts, data, as_it_came ? std::nullopt : std::optional(rest));
  if (resumable_) text_.append(rest);
  if (!exact || is_over(facts)) forsake();
  return Step::replace;
}

// Leaves of `text` what the client does not have yet. False: it differs from what was sent.
bool StreamTranscript::pass_over_sent(std::string& text) {
  if (caught_up_) return true;
  if (!resumable_) return false;  // what was sent is no longer known
  const std::size_t common = std::min(text.size(), text_.size() - matched_);
  if (text_.compare(matched_, common, text, 0, common) != 0) return false;
  matched_ += common;
  text.erase(0, common);
  caught_up_ = matched_ == text_.size();
  return true;
}

// Leaves of `text` what is new beyond doubt. False: it may well be what was sent, once more.
bool StreamTranscript::sound_out(std::string& text) {
  withheld_ += std::exchange(text, {});
  if (withheld_.empty()) return true;
  const std::size_t telling = std::min(kTellingBytes, text_.size());
  const std::size_t compared = std::min(telling, withheld_.size());
  trusted_ = text_.compare(0, compared, withheld_, 0, compared) != 0;
  caught_up_ = trusted_;
  if (trusted_) text = std::exchange(withheld_, {});
  return trusted_ || compared < telling;
}

// Nothing more can be said, or be kept.
bool StreamTranscript::is_over(const EventFacts& facts) const {
  return facts.finished.any() || text_.size() > bounds::kResumableTextBytes;
}

// The event with the first leg's id, without a role, which the first leg told, and with `text`, if
// that is another than its own; all else is as it came.
std::string StreamTranscript::rewrite(const EventFacts& facts, std::string_view data,
                                      std::optional<std::string_view> text) const {
  struct Edit {
    std::string_view literal;
    std::string by;
  };
  std::vector<Edit> edits;
  if (!facts.id.empty() && !id_.empty()) edits.push_back({facts.id, id_});
  if (!facts.role.empty()) edits.push_back({with_comma(data, facts.role), ""});
  if (!facts.text.empty() && text) edits.push_back({facts.text, quote(*text)});
  std::ranges::sort(edits, {}, [](const Edit& edit) { return edit.literal.data(); });
  std::string event = "data: ";
  std::size_t done = 0;
  for (const Edit& edit : edits) {
    const auto at = static_cast<std::size_t>(edit.literal.data() - data.data());
    event.append(data.substr(done, at - done)).append(edit.by);
    done = at + edit.literal.size();
  }
  event.append(data.substr(done));
  // Data of several lines is white space between JSON tokens: no string holds a line's end.
  std::ranges::replace(event, '\n', ' ');
  return event.append("\n\n");
}

}  // namespace spillway
