// The memory of requests that have ended, for those that come: most are alike.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "server/client_request.hpp"

namespace spillway::server {

// Belongs to one worker.
class RequestMemory {
 public:
  RequestMemory() { kept_.reserve(kMostKept); }

  // Lends a request that has just begun to arrive what it will fill.
  void lend(ClientRequest& request) {
    if (kept_.empty()) {
      request.fields.reserve(kUsualFields);
      return;
    }
    Room& room = kept_.back();
    request.head = std::move(room.head);
    request.fields = std::move(room.fields);
    request.body = std::move(room.body);
    kept_.pop_back();
  }

  // Of a request that nobody reads any more. Only usual amounts are kept.
  void take_back(ClientRequest& request) {
    const bool usual =
        request.head.capacity() <= kUsualBytes && request.fields.capacity() >= kUsualFields &&
        request.fields.capacity() <= 4 * kUsualFields && request.body.capacity() <= kUsualBytes;
    if (!usual || kept_.size() == kMostKept) return;
    request.head.clear();
    request.fields.clear();
    request.body.clear();
    kept_.push_back({std::move(request.head), std::move(request.fields), std::move(request.body)});
  }

 private:
  static constexpr std::size_t kUsualFields = 16;
  static constexpr std::size_t kUsualBytes = 4096;
  static constexpr std::size_t kMostKept = 32;  // at most 0.3 MB in all

  struct Room {
    std::vector<char> head;
    std::vector<HeaderView> fields;
    std::string body;
  };
  std::vector<Room> kept_;
};

}  // namespace spillway::server
