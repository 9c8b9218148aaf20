#include "core/splice.hpp"

#include <algorithm>

#include "core/ascii.hpp"
#include "core/body_edits.hpp"
#include "core/gateway_body_keys.hpp"

namespace spillway {

namespace {

std::size_t skip_space(std::string_view body, std::size_t at) {
  return std::min(body.find_first_not_of(" \t\r\n", at), body.size());
}

// One past the comma that follows a member, or nullopt if the member is the object's last.
std::optional<std::size_t> comma_after(std::string_view body, std::size_t value_end) {
  const std::size_t next = skip_space(body, value_end);
  if (next < body.size() && body[next] == ',') return next + 1;
  return std::nullopt;
}

// Where the comma before a member stands, or nullopt if the member is the object's first.
std::optional<std::size_t> comma_before(std::string_view body, std::size_t key_begin) {
  const std::size_t previous = body.find_last_not_of(" \t\r\n", key_begin - 1);
  if (body[previous] == ',') return previous;
  return std::nullopt;
}

// Cuts dropped members out, neighbours together, each run with exactly one comma.
std::vector<Cut> cuts_of_dropped(std::string_view body, const std::vector<EditedMember>& members) {
  std::vector<Cut> cuts;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!members[i].dropped || members[i].source == nullptr) continue;
    const std::size_t begin = members[i].source->key_begin;
    std::size_t end = members[i].source->value_end;
    std::optional<std::size_t> comma = comma_after(body, end);
    while (comma && i + 1 < members.size() && members[i + 1].dropped &&
           members[i + 1].source != nullptr &&
           skip_space(body, *comma) == members[i + 1].source->key_begin) {
      end = members[++i].source->value_end;
      comma = comma_after(body, end);
    }
    if (comma) {
      cuts.push_back({begin, *comma, ""});
    } else {
      cuts.push_back({comma_before(body, begin).value_or(begin), end, ""});
    }
  }
  return cuts;
}

// Replaced keys and values.
void add_changes(const std::vector<EditedMember>& members, std::vector<Cut>& cuts) {
  for (const EditedMember& member : members) {
    if (member.source == nullptr || member.dropped) continue;
    if (member.renamed()) {
      cuts.push_back({member.source->key_begin, member.source->key_end, quote(member.name)});
    }
    if (member.value) {
      cuts.push_back({member.source->value_begin, member.source->value_end, *member.value});
    }
  }
}

// The new members, before the closing brace.
void add_insertions(const BodyView& view, const std::vector<EditedMember>& members,
                    std::vector<Cut>& cuts) {
  std::string text;
  bool comma = !view.object_empty;
  for (const EditedMember& member : members) {
    if (member.source != nullptr || member.dropped) continue;
    if (comma) text += ',';
    comma = true;
    text += quote(member.name) + ":" + *member.value;
  }
  if (!text.empty()) cuts.push_back({view.object_end - 1, view.object_end - 1, std::move(text)});
}

void add_joined_content(std::string_view body, const std::vector<EditedMember>& members,
                        std::vector<Cut>& cuts) {
  for (const EditedMember& member : members) {
    const BodyMember* source = member.source;
    if (source == nullptr || source->key != "messages" || member.dropped || member.value) continue;
    const std::size_t length = source->value_end - source->value_begin;
    for (Cut& cut :
         join_text_parts(body.substr(source->value_begin, length), source->value_begin)) {
      cuts.push_back(std::move(cut));
    }
  }
}

SplicedBody assemble(std::string_view body, std::vector<Cut> cuts) {
  std::ranges::sort(cuts, {}, &Cut::begin);
  SplicedBody result;
  std::size_t at = 0;
  for (Cut& cut : cuts) {
    result.append_view(body.substr(at, cut.begin - at));
    result.append_owned(std::move(cut.text));
    at = cut.end;
  }
  result.append_view(body.substr(at));
  return result;
}

// True if no rule and no member of the gateway's own can make another change than the model's. The
// deployments of most providers have no rule at all.
bool only_model_changes(const BodyView& view, const BodyRules& rules) {
  const bool no_rule = rules.rename.empty() && rules.defaults.empty() && rules.force.empty() &&
                       rules.drop.empty() && !rules.content_list_to_string &&
                       !rules.temperature_max && !rules.temperature_min &&
                       !rules.temperature_min_with_n_gt_1;
  return no_rule && !view.for_gateway;
}

// What edit_members and assemble come to where only_model_changes. A view has its model.
SplicedBody replace_model(std::string_view body, const BodyView& view,
                          std::string_view upstream_model) {
  const BodyMember& model = *view.find("model");
  SplicedBody result;
  result.append_view(body.substr(0, model.value_begin));
  result.append_owned(quote(upstream_model));
  result.append_view(body.substr(model.value_end));
  return result;
}

}  // namespace

void SplicedBody::append_view(std::string_view text) {
  if (text.empty()) return;
  size_ += text.size();
  if (count_ < few_.size()) {
    few_[count_++] = text;
    return;
  }
  if (many_.empty()) many_.assign(few_.begin(), few_.end());
  many_.push_back(text);
}

void SplicedBody::append_owned(std::string text) {
  if (text.empty()) return;
  append_view(owned_.emplace_front(std::move(text)));
}

std::string SplicedBody::to_string() const {
  std::string text;
  text.reserve(size_);
  for (const std::string_view piece : pieces()) text.append(piece);
  return text;
}

SplicedBody splice(std::string_view body, const BodyView& view, const Deployment& deployment,
                   std::string_view upstream_model, Endpoint endpoint) {
  if (only_model_changes(view, deployment.body)) return replace_model(body, view, upstream_model);
  const std::vector<EditedMember> members =
      edit_members(body, view, deployment.body, upstream_model, endpoint);
  std::vector<Cut> cuts = cuts_of_dropped(body, members);
  add_changes(members, cuts);
  const bool chat = endpoint == Endpoint::chat_completions;
  if (chat && deployment.body.content_list_to_string) add_joined_content(body, members, cuts);
  add_insertions(view, members, cuts);
  return assemble(body, std::move(cuts));
}

std::optional<std::string> with_assistant_prefix(std::string_view body, const BodyView& view,
                                                 std::string_view text) {
  const BodyMember* messages = view.find("messages");
  if (messages == nullptr || messages->type != JsonType::array) return std::nullopt;
  const std::size_t end = messages->value_end - 1;  // of the ']'
  const bool empty = body[body.find_last_not_of(" \t\r\n", end - 1)] == '[';
  std::string out(body.substr(0, end));
  out.append(empty ? "" : ",").append(R"({"role":"assistant","content":)");
  out.append(quote(text)).append("}").append(body.substr(end));
  return out;
}

}  // namespace spillway
