#include "core/stream_transcript.hpp"

#include <algorithm>
#include <utility>

#include "core/body.hpp"
#include "core/bounds.hpp"

namespace spillway {

namespace {

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

struct Text {
  std::string value;
  bool exact = true;  // false: half of a surrogate pair, whose other half comes in another event
};

Text decode(std::string_view literal) {
  if (literal.empty()) return {};
  Text text{unescape(literal).value_or(std::string())};
  text.exact = text.value.find(kReplacementCharacter) == std::string::npos ||
               literal.find("\\u") == std::string_view::npos;
  return text;
}

}  // namespace

void StreamTranscript::forsake() {
  resumable_ = false;
  text_ = std::string();
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
}

StreamTranscript::Step StreamTranscript::take(const EventFacts& facts, std::string_view data,
                                              std::string& replacement) {
  return resuming() ? go_on(facts, data, replacement) : take_down(facts);
}

StreamTranscript::Step StreamTranscript::take_down(const EventFacts& facts) {
  if (!resumable_) return Step::pass;
  if (id_.empty()) id_ = facts.id;
  const Text text = decode(facts.text);
  if (facts.plain && text.exact)
    append(text.value, facts.finished.any());
  else
    forsake();
  return Step::pass;
}

StreamTranscript::Step StreamTranscript::go_on(const EventFacts& facts, std::string_view data,
                                               std::string& replacement) {
  const Text text = decode(facts.text);
  if (!facts.plain || (!caught_up_ && !text.exact)) return Step::diverged;
  std::string_view rest = text.value;
  if (!caught_up_) {
    const std::size_t common = std::min(rest.size(), text_.size() - matched_);
    if (text_.compare(matched_, common, rest.substr(0, common)) != 0) return Step::diverged;
    matched_ += common;
    rest.remove_prefix(common);
    caught_up_ = matched_ == text_.size();
  }
  const bool finished = facts.finished.any();
  if (finished && !caught_up_) return Step::diverged;
  // Roles and filter results were said by the first leg.
  if (rest.empty() && !finished && !said_more_) return Step::swallow;
  said_more_ = true;
  replacement = rewrite(facts, data, rest);
  if (resumable_ && text.exact)
    append(rest, finished);
  else
    forsake();
  return Step::replace;
}

void StreamTranscript::append(std::string_view text, bool finished) {
  text_.append(text);
  if (finished || text_.size() > bounds::kResumableTextBytes) forsake();
}

// The event with the first leg's id and only `text` of its text; all else is as it came.
std::string StreamTranscript::rewrite(const EventFacts& facts, std::string_view data,
                                      std::string_view text) const {
  struct Edit {
    std::string_view literal;
    std::string by;
  };
  Edit edits[] = {{facts.id, id_}, {facts.text, quote(text)}};
  if (edits[0].literal.data() > edits[1].literal.data()) std::swap(edits[0], edits[1]);
  std::string event = "data: ";
  std::size_t done = 0;
  for (const Edit& edit : edits) {
    if (edit.literal.empty() || edit.by.empty()) continue;
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
