// What one JSON object of a provider says, read in one pass without a document: the judgement that
// StreamRelay makes of every event, and judge_plain_answer of a whole answer.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/endpoint.hpp"

namespace spillway {

// Of one answer at most bounds::kUsageTokens each, whatever it claims.
struct TokenUsage {
  std::uint64_t prompt = 0;
  std::uint64_t completion = 0;
  bool known = false;  // missing usage stays missing

  void add(const TokenUsage& other) {
    prompt += other.prompt;
    completion += other.completion;
    known |= other.known;
  }
};

// The choices of a stream by their index; more than anybody asks for.
using ChoiceSet = std::bitset<128>;

struct EventFacts {
  bool object = false;  // the text is a JSON object
  bool error =
      false;  // it reports an error, in any of the shapes of core/outcome.hpp's InBandError
  bool bare_error = false;   // it has nothing of an answer but `message` and `code`
  bool has_choices = false;  // a `choices` array
  bool content = false;      // a choice says something: text, tool call, reasoning, finish reason
  ChoiceSet choices;         // those that occur
  ChoiceSet finished;        // those with a finish reason
  std::string_view type;     // the `type` member, as spelled
  TokenUsage usage;
  // For core/stream_transcript.hpp.
  std::string_view id;    // the `id` member's literal, with its quotes; empty: not a string
  std::string_view text;  // likewise, the text that choice 0 adds
  std::string_view role;  // the member of choice 0's delta, from its key to its value's end
  // The event says nothing that text of one choice does not: no tool calls, no reasoning, no log
  // probabilities.
  bool plain = true;
  // For core/event_pattern.hpp, with their quotes: the last string of a choice that is content, and
  // the `obfuscation` member, random letters that OpenAI adds to hide how long the text is (API
  // reference, `stream_options`).
  std::string_view said;
  std::string_view obfuscation;
};

// nullopt: `json` is not JSON. Views are into `json`.
std::optional<EventFacts> read_event(std::string_view json);

}  // namespace spillway
