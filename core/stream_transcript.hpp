// What a client has been sent of a chat stream, and how another deployment's answer is made to
// continue it exactly: no character twice, none missing, one completion id (DESIGN.md section 6).
//
// A first leg is only taken down. In a later leg the text that comes must begin with what was sent,
// which is swallowed; what follows is put out under the first leg's id. A deployment that was asked
// to continue the text is taken at its word, unless its first characters are those that the text
// began with: then it may be continuing or repeating, and whoever has to know asks it afresh.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/stream_event.hpp"

namespace spillway {

// How a deployment is asked to go on with a stream that somebody else began.
enum class Resume : std::uint8_t {
  no,      // it is the first to answer
  afresh,  // the same question again; its answer must begin with what was sent
  prefix,  // with what was sent as the beginning of its answer
};

class StreamTranscript {
 public:
  // True if what was sent can be continued: plain text of one choice, not finished, within
  // bounds::kResumableTextBytes.
  bool resumable() const { return resumable_; }
  const std::string& text() const { return text_; }

  // Something was sent that cannot be continued.
  void forsake();

  // The next events are those of another leg: with Resume::no the first one, else only while
  // resumable().
  void begin_leg(Resume resume);
  bool resuming() const { return resume_ != Resume::no; }
  // False while a later leg still repeats what was sent, or may be doing so.
  bool caught_up() const { return caught_up_; }

  enum class Step : std::uint8_t {
    pass,     // put out as it came
    swallow,  // the client has it already
    replace,  // put out `replacement` instead
    // It says something else than what was sent; or, unless caught_up(), it was to continue that
    // and may be repeating it.
    diverged,
  };
  // `facts` were read from `data`, one whole event of the leg. `replacement` is a whole event.
  Step take(const EventFacts& facts, std::string_view data, std::string& replacement);

 private:
  Step take_down(const EventFacts& facts);
  Step go_on(const EventFacts& facts, std::string_view data, std::string& replacement);
  bool pass_over_sent(std::string& text);
  bool sound_out(std::string& text);
  bool is_over(const EventFacts& facts) const;
  std::string rewrite(const EventFacts& facts, std::string_view data,
                      std::optional<std::string_view> text) const;

  std::string text_;
  std::string id_;  // literal of the first leg's completion id
  Resume resume_ = Resume::no;
  std::size_t matched_ = 0;  // of text_, in this leg
  bool caught_up_ = true;
  std::string
      withheld_;         // what a leg that is to continue has said, while that is text_'s beginning
  bool trusted_ = true;  // it does continue
  bool said_more_ = false;  // in this leg
  bool resumable_ = true;
};

}  // namespace spillway
