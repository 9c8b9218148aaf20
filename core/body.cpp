#include "core/body.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>

#include "core/ascii.hpp"
#include "core/body_error.hpp"
#include "core/bounds.hpp"
#include "core/gateway_body_keys.hpp"
#include "core/json_scan.hpp"

namespace spillway {

namespace {

constexpr auto kOtherReadKeys =
    std::to_array<std::string_view>({"api_base", "api_key", "base_url", "messages", "metadata",
                                     "model", "n", "stream", "stream_options", "temperature"});

constexpr auto kCoreReadKeys = [] {
  std::array<std::string_view, kGatewayBodyKeys.size() + kOtherReadKeys.size()> keys;
  const auto behind = std::ranges::copy(kGatewayBodyKeys, keys.begin()).out;
  std::ranges::copy(kOtherReadKeys, behind);
  std::ranges::sort(keys);
  return keys;
}();

// A client that could set these would choose where its call, and the gateway's credential, goes.
constexpr std::array<std::string_view, 3> kRefusedKeys{"api_base", "api_key", "base_url"};

constexpr std::size_t kUsualMembers = 8;  // of the key set, in one body

using Mistake = std::optional<BodyError>;

// A key in lower case, beside the key itself.
class FoldedKey {
 public:
  explicit FoldedKey(std::string_view key) {
    char* folded = short_.data();
    if (key.size() > short_.size()) {
      long_.resize(key.size());
      folded = long_.data();
    }
    std::ranges::transform(key, folded, [](char c) { return ascii::lower(c); });
    text_ = {folded, key.size()};
  }
  FoldedKey(const FoldedKey&) = delete;
  FoldedKey& operator=(const FoldedKey&) = delete;

  std::string_view text() const { return text_; }

 private:
  std::array<char, 64> short_;
  std::string long_;
  std::string_view text_;
};

// A set of indices below `size`.
class IndexSet {
 public:
  explicit IndexSet(std::size_t size) : beyond_(size > kFew ? size - kFew : 0) {}

  // True if the index was not there before.
  bool insert(std::size_t index) {
    const bool there = index < kFew ? few_[index] : beyond_[index - kFew];
    if (index < kFew)
      few_.set(index);
    else
      beyond_[index - kFew] = true;
    return !there;
  }

 private:
  static constexpr std::size_t kFew = 256;  // without an allocation
  std::bitset<kFew> few_;
  std::vector<bool> beyond_;
};

// Walks the top level once, checking all of the text and recording the members of the key set.
class BodyReader {
 public:
  BodyReader(std::string_view body, const ReadKeys& read_keys)
      : body_(body), cursor_(body), read_keys_(read_keys), seen_(read_keys.size()) {
    view_.members.reserve(kUsualMembers);
  }

  std::expected<BodyView, BodyError> read() {
    const std::optional<JsonType> type = cursor_.peek();
    if (type && *type != JsonType::object) return std::unexpected(other_than_object(*type));
    view_.object_begin = cursor_.offset();
    view_.object_empty = true;
    cursor_.enter_object();
    JsonString key;
    while (cursor_.next_member(key)) {
      view_.object_empty = false;
      if (Mistake mistake = member(key)) return std::unexpected(std::move(*mistake));
    }
    view_.object_end = cursor_.offset();
    if (!cursor_.finish()) return std::unexpected(body_error::not_json(*cursor_.fault()));
    return std::move(view_);
  }

 private:
  BodyError other_than_object(JsonType type) {
    const bool json = cursor_.skip() && cursor_.finish();
    return json ? body_error::not_an_object(type) : body_error::not_json(*cursor_.fault());
  }

  // The cursor stands at the value of `key` and passes it. A fault of the JSON itself stays with
  // the cursor.
  Mistake member(const JsonString& key) {
    const std::string_view name = key.text(room_);
    const FoldedKey folded(name);
    const auto known = read_keys_.find(folded.text());
    if (!known) {
      cursor_.skip();
      return std::nullopt;
    }
    if (std::ranges::find(kRefusedKeys, folded.text()) != kRefusedKeys.end())
      return body_error::refused(folded.text());
    if (!seen_.insert(known->index)) return body_error::repeated(name, folded.text());

    view_.for_gateway |= known->for_gateway;

    BodyMember& member = view_.members.emplace_back();
    member.key = name;
    member.key_begin = static_cast<std::size_t>(key.raw.data() - body_.data()) - 1;
    member.key_end = member.key_begin + key.raw.size() + 2;
    member.value_begin = cursor_.offset();
    member.type = cursor_.peek().value_or(JsonType::null);
    const bool options = member.key == "stream_options" && member.type == JsonType::object;
    if (!options) {
      cursor_.skip();
    } else if (Mistake mistake = stream_options()) {
      return mistake;
    }
    member.value_end = cursor_.offset();
    return std::nullopt;
  }

  Mistake stream_options() {
    bool seen = false;
    JsonString key;
    cursor_.enter_object();
    while (cursor_.next_member(key)) {
      const std::string_view name = key.text(room_);
      const std::size_t begin = cursor_.offset();
      cursor_.skip();
      if (!equals_ignoring_case(name, "include_usage")) continue;
      if (seen) return body_error::repeated(name, "stream_options.include_usage");
      seen = true;
      view_.include_usage = name == "include_usage" && cursor_.since(begin) == "true";
    }
    return std::nullopt;
  }

  std::string_view body_;
  JsonCursor cursor_;
  const ReadKeys& read_keys_;
  IndexSet seen_;
  std::string room_;  // of an escaped key
  BodyView view_;
};

std::string_view value_of(std::string_view body, const BodyMember& member) {
  return body.substr(member.value_begin, member.value_end - member.value_begin);
}

Mistake read_model(std::string_view body, BodyView& view) {
  const BodyMember* model = view.find("model");
  if (model == nullptr) {
    const bool other_case = std::ranges::any_of(view.members, [](const BodyMember& member) {
      return equals_ignoring_case(member.key, "model");
    });
    return body_error::model_missing(other_case);
  }
  if (model->type != JsonType::string) {
    return body_error::wrong_type("model", "a string", model->type);
  }
  view.model = unescape(value_of(body, *model)).value_or("");
  if (view.model.empty()) return body_error::model_empty();
  if (view.model.size() > bounds::kModelNameBytes) return body_error::model_too_long();
  return std::nullopt;
}

Mistake read_stream(std::string_view body, BodyView& view) {
  const BodyMember* stream = view.find("stream");
  if (stream == nullptr || stream->type == JsonType::null) return std::nullopt;
  if (stream->type != JsonType::boolean) {
    return body_error::wrong_type("stream", "a boolean", stream->type);
  }
  view.stream = value_of(body, *stream) == "true";
  return std::nullopt;
}

Mistake check_messages(const BodyView& view) {
  const BodyMember* messages = view.find("messages");
  if (messages == nullptr || messages->type == JsonType::array) return std::nullopt;
  return body_error::wrong_type("messages", "an array", messages->type);
}

Mistake check_n(std::string_view body, const BodyView& view) {
  const BodyMember* n = view.find("n");
  if (n == nullptr || n->type == JsonType::null) return std::nullopt;
  if (n->type != JsonType::number) return body_error::wrong_type("n", "an integer", n->type);
  const std::string_view text = value_of(body, *n);
  std::int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc() && end == text.data() + text.size()) return std::nullopt;
  return body_error::not_an_integer("n");
}

// The members whose meaning depends on the endpoint: elsewhere they are the provider's own.
Mistake check_types(std::string_view body, const BodyView& view, Endpoint endpoint) {
  const bool chat = endpoint == Endpoint::chat_completions;
  const bool choices =
      chat || endpoint == Endpoint::completions || endpoint == Endpoint::images_generations;
  Mistake mistake;
  if (chat) mistake = check_messages(view);
  if (!mistake && choices) mistake = check_n(body, view);
  return mistake;
}

}  // namespace

std::span<const std::string_view> core_read_keys() {
  return kCoreReadKeys;
}

std::string fold(std::string_view key) {
  std::string folded(key);
  for (char& c : folded) c = ascii::lower(c);
  return folded;
}

std::expected<BodyView, BodyError> view_body(std::string_view body, Endpoint endpoint,
                                             const ReadKeys& read_keys) {
  std::expected<BodyView, BodyError> view = BodyReader(body, read_keys).read();
  if (!view) return view;
  Mistake mistake = read_model(body, *view);
  if (!mistake) mistake = read_stream(body, *view);
  if (!mistake) mistake = check_types(body, *view, endpoint);
  if (mistake) return std::unexpected(std::move(*mistake));
  return view;
}

bool is_json(std::string_view text) {
  JsonCursor cursor(text);
  return cursor.skip() && cursor.finish();
}

}  // namespace spillway
