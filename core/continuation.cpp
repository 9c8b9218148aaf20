#include "core/continuation.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "core/bounds.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

// How much of the whole answer a continuation may still say cannot be told exactly: nobody counts
// its tokens as the provider does.
constexpr auto kAboutTheWholeAnswer = std::to_array<std::string_view>(
    {"guided_grammar", "guided_json", "guided_regex", "max_completion_tokens", "max_new_tokens",
     "max_output_tokens", "max_tokens", "min_tokens", "response_format", "stop", "stop_sequences"});

// Some providers read their members' names without regard to case.
bool about_the_whole_answer(std::string_view name) {
  return std::ranges::find(kAboutTheWholeAnswer, fold(name)) != kAboutTheWholeAnswer.end();
}

std::string_view value(JsonCursor& cursor) {
  const std::size_t begin = cursor.offset();
  cursor.skip();
  return cursor.since(begin);
}

bool is_assistants(std::string_view message) {
  JsonCursor cursor(message);
  if (!cursor.enter_object()) return false;
  JsonString key;
  bool assistants = false;
  while (cursor.next_member(key)) {
    JsonString role;
    if (key.is("role") && cursor.peek() == JsonType::string && cursor.read_string(role))
      assistants = role.is("assistant");
    else
      cursor.skip();
  }
  return assistants;
}

bool ends_with_the_assistant(std::string_view messages) {
  JsonCursor cursor(messages);
  if (!cursor.enter_array()) return false;
  std::string_view last;
  while (cursor.next_element()) last = value(cursor);
  return !last.empty() && is_assistants(last);
}

}  // namespace

bool may_be_continued(Endpoint endpoint, std::string_view body, const BodyView& view) {
  const StreamDialect dialect = traits(endpoint).dialect;
  const bool has_choices = dialect == StreamDialect::chat || dialect == StreamDialect::completions;
  const BodyMember* n = view.find("n");
  const bool one_choice = n == nullptr || n->type == JsonType::null ||
                          body.substr(n->value_begin, n->value_end - n->value_begin) == "1";
  return view.stream && has_choices && one_choice && body.size() <= bounds::kResumableBodyBytes;
}

bool continues_by_prefix(std::string_view body) {
  JsonCursor cursor(body);
  if (!cursor.enter_object()) return false;
  JsonString key;
  while (cursor.next_member(key)) {
    const std::string name = key.unescaped();
    const std::string_view said = value(cursor);
    if (about_the_whole_answer(name) && said != "null") return false;
    if (name == "messages" && ends_with_the_assistant(said)) return false;
  }
  return cursor.finish();
}

bool continues_by_prefix(const Deployment& deployment) {
  const auto forbids = [](const auto& added) { return about_the_whole_answer(added.first); };
  return deployment.assistant_prefill && std::ranges::none_of(deployment.body.defaults, forbids);
}

}  // namespace spillway
