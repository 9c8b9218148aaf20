// One client connection's life: read a request, check it, answer it, again. The steps of a request
// stand in serve(), top to bottom.
#pragma once

#include <string>

#include "server/access_log.hpp"
#include "server/answer.hpp"
#include "server/client_connection.hpp"
#include "server/client_request.hpp"
#include "server/routes.hpp"
#include "server/snapshot.hpp"

namespace spillway::server {

class Forward;
class Worker;

class Session {
 public:
  Session(Worker& worker, Descriptor socket);

  // Returns when the connection is over.
  Awaitable<void> run();

  void close_if_idle();  // drain
  void close_if_kept();  // the same, except for connections that have not asked yet
  void close();          // cut
  // Since when the next request, or the first, is not there as a whole; max: it is being answered.
  TimePoint silent_since() const { return silent_since_; }
  void make_room();  // ends one that is silent

 private:
  enum class Next { keep, close };

  Awaitable<Next> serve_next();
  Awaitable<Next> serve(ClientRequest& request, const SnapshotPtr& snapshot);
  Awaitable<void> refuse(ClientRequest& request, const Config& config, AnswerPtr refused);
  Awaitable<void> refuse_starved(ClientRequest& request, const Config& config);
  // `forward` if the answer is one that it left to be written.
  Awaitable<Next> answer(const ClientRequest& request, const Config& config, AnswerPtr answer,
                         Forward* forward = nullptr);
  std::string head_of(const ClientRequest& request, const Config& config, const Answer& answer,
                      bool keep);
  Answer own_page(const Route& route, const ClientRequest& request, const Snapshot& snapshot);
  std::optional<Answer> check_head(const ClientRequest& request, const Config& config,
                                   const Route*& route, std::string& key_name);
  void record(const ClientRequest& request, const Config& config, const Answer& answer,
              std::size_t bytes);
  void record_unanswered(const ClientRequest& request, const Config& config);
  AccessRecord line_of(const ClientRequest& request) const;
  bool keeps(const ClientRequest& request) const;

  Worker& worker_;
  ClientConnection connection_;
  TimePoint silent_since_;
  bool cut_ = false;  // by close()
};

}  // namespace spillway::server
