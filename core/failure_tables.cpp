#include "core/failure_tables.hpp"

#include <algorithm>
#include <string>

namespace spillway {
namespace {

// A row matches if the message holds both parts; the second may be empty.
struct PhraseRow {
  RejectionKind kind;
  std::string_view text;
  std::string_view and_text;
};

constexpr auto kContext = RejectionKind::context_window;
constexpr auto kPolicy = RejectionKind::content_policy;

// Phrases that providers and inference servers are known to send with a 4xx. Whole clauses, so that
// a prompt quoted in an error does not match by a single common word.
constexpr PhraseRow kRejections[] = {
    {kContext, "maximum context length", ""},  // OpenAI, vLLM, DeepSeek, OpenRouter
    {kContext, "maximum context limit", ""},
    {kContext, "exceed context limit", ""},                // Anthropic
    {kContext, "exceeds the available context size", ""},  // llama.cpp
    {kContext, "exceeds the context window", ""},
    {kContext, "exceeds the model's context", ""},
    {kContext, "longer than the model's context length", ""},
    {kContext, "longer than the maximum model length", ""},  // vLLM
    {kContext, "input tokens exceed the configured limit", ""},
    {kContext, "exceeds the maximum number of tokens allowed", ""},  // Gemini
    {kContext, "string too long. expected a string with maximum length", ""},
    {kContext, "prompt is too long", ""},                          // Anthropic
    {kContext, "prompt: length", ""},                              // Anthropic
    {kContext, "input is too long for requested model", ""},       // Bedrock
    {kContext, "too large for model with", "maximum context"},     // Mistral
    {kContext, "`inputs` tokens + `max_new_tokens` must be", ""},  // text-generation-inference
    {kContext, "current length is", "while limit is"},             // Cerebras
    {kPolicy, "rejected as a result of our safety system", ""},
    {kPolicy, "rejected as a result of the safety system", ""},
    {kPolicy, "failed as a result of our safety system", ""},
    {kPolicy, "prompt triggering azure openai's content management", ""},
    {kPolicy, "invalid prompt", "violating our usage policy"},
    {kPolicy, "model produced invalid content", ""},
    {kPolicy, "content_filter_policy", ""},
    {kPolicy, "output blocked by content filtering policy", ""},  // Anthropic
};

constexpr std::array<std::string_view, 3> kRetryPhrases = {"try again", "retry", "reset after"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::optional<RejectionKind> rejection_in_message(std::string_view message) {
  std::string folded(message);
  std::ranges::transform(folded, folded.begin(), lower);
  for (const PhraseRow& row : kRejections) {
    if (folded.find(row.text) != std::string::npos &&
        folded.find(row.and_text) != std::string::npos) {
      return row.kind;
    }
  }
  return std::nullopt;
}

std::span<const std::string_view> retry_phrases() {
  return kRetryPhrases;
}

}  // namespace spillway
